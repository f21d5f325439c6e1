//! The pure heart of Portolan.
//!
//! Everything that *decides* lives here, and nothing that *does*: no I/O, no clock, no spawning, no
//! request type. Time ([`Time`]) and entropy are arguments, so every decision can be tested exactly
//! and replayed from a seed.
//!
//! The way of the data, and of this crate's modules:
//!
//! 1. A [`ServiceRef`] names what is wanted; a [`Source`] follows it and yields [`Resolution`]s.
//! 2. [`reconcile()`] turns a resolution into a [`Membership`]: all endpoints, each with its
//!    [`EndpointState`], which survives from one resolution to the next for as long as the same
//!    incarnation lives. [`eligible()`] says which of them may get traffic now, from where the client
//!    stands: the [`Candidates`].
//! 3. A [`Policy`] builds a [`Picker`] from the candidates, off the request path.
//! 4. For each request the picker turns a [`PickContext`] into a [`Verdict`].
//! 5. What came of the request flows back into the [`EndpointState`] through an [`InFlight`] guard.
//!
//! Most users depend on the `portolan` crate, which re-exports what they need. Depend on this one to
//! write a [`Source`] or a [`Policy`] of your own.

mod candidates;
mod endpoint;
mod endpoint_set;
mod host;
mod pinned;
pub mod policy;
mod reach;
mod reconcile;
mod resolution;
mod service_ref;
mod session_affinity;
mod snapshot;
mod state;
pub mod subset;
mod sync;
mod time;
mod traffic;

pub use candidates::{Candidate, Candidates, Index};
pub use endpoint::{Conditions, Endpoint, Hints, Incarnation, Placement, Topology, Uid, Weight};
pub use endpoint_set::EndpointSet;
pub use host::HostResolver;
pub use policy::{Explanation, Intent, PickContext, Picker, Pin, Policy, Reason, Tried, Verdict};
pub use reach::Reach;
pub use reconcile::{Change, Membership, reconcile};
pub use resolution::{Resolution, Source, SourceError, SourceErrorKind};
pub use service_ref::{ParseServiceRefError, PortRef, ServiceRef};
pub use session_affinity::SessionAffinity;
pub use snapshot::{Freshness, Snapshot};
pub use state::{
    EndpointState, InFlight, LoadReport, LoadReportError, Measurement, Outcome, Rate,
    ReportedBusyness, ReportedQueue, Utilization,
};
pub use time::Time;
pub use traffic::{InternalTraffic, Location, categorize, eligible};
