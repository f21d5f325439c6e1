//! A Pod's side of the network: its ports, its connections, its faults.
//!
//! A program sees a [`PodContext`] (who am I, am I to stop) and a [`PodListener`] per port. Both
//! are under the control of the test, which acts through a [`PodHandle`].

mod connection;
mod context;
mod faults;
mod handle;
mod listener;

pub use self::connection::PodStream;
pub use self::context::PodContext;
pub use self::handle::PodHandle;
pub use self::listener::PodListener;

pub(crate) use self::connection::{Connections, Reset};
pub(crate) use self::context::{PodIdentity, Wires};
pub(crate) use self::faults::{PodFaults, RequestFault};
pub(crate) use self::listener::Port;
