//! Client-side discovery and load balancing on Kubernetes, for stateful workloads above all.
//!
//! Portolan follows the Pods behind a Service and chooses one for each request. It is linked into
//! the client: no sidecar, no control plane.
//!
//! ```
//! use portolan::{Cluster, Endpoint, Placement, source::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a cluster this is `Cluster::infer().await?`.
//! let cluster = Cluster::from_source(Fixed::from_iter([
//!     Endpoint::new(Placement::new("db-0"), "10.0.0.1:5432".parse()?),
//!     Endpoint::new(Placement::new("db-1"), "10.0.0.2:5432".parse()?),
//! ]));
//!
//! let nodes = cluster.service("db.shop:client")?.nodes()?;
//! let lease = nodes.pick("user:17").await?;
//! println!("talk to {} at {}", lease.endpoint().placement(), lease.address());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! All add API and change no behaviour.
//!
//! | feature | what it adds | default |
//! |---|---|---|
//! | `kube` | discovery over the Kubernetes API: [`Cluster::infer`], [`mod@kube`] | yes |
//! | `dns` | discovery over DNS, without any permission: [`mod@dns`], `Cluster::from(Dns)` | no |
//! | `http` | HTTP/1.1 and HTTP/2 clients on hyper: [`mod@http`] | yes |
//! | `grpc` | channels for generated gRPC clients, of tonic or others: [`grpc`] | no |
//! | `reqwest` | reqwest clients: [`mod@reqwest`] | no |
//! | `file` | endpoints from a file that is watched: [`source::file`] | no |
//! | `cached` | endpoints kept on disk, for a start while no source can be reached: [`source::cached`] | no |
//! | `config` | a policy chosen from configuration, with a JSON schema: [`mod@config`] | no |
//! | `metrics` | what a balancer does, told to the `metrics` facade: [`mod@metrics`] | no |
//! | `tls` | TLS for all of them, by rustls with ring; no provider is installed for the process | no |
//!
//! A program that uses `kube` also names the oldest Kubernetes that it is to work with, as every
//! user of that library does: `k8s-openapi = { version = "0.29", features = ["v1_33"] }`.

pub mod admission;
#[cfg(feature = "http")]
pub mod affinity;
mod backoff;
mod balance;
mod builder;
mod clock;
mod cluster;
#[cfg(feature = "config")]
pub mod config;
mod counters;
mod driver;
mod endpoint;
mod error;
mod follow;
#[cfg(feature = "grpc")]
pub mod grpc;
mod happy_eyeballs;
pub mod health_check;
pub mod hedge;
#[cfg(feature = "http")]
pub mod http;
mod latest;
mod lease;
mod level;
#[cfg(feature = "metrics")]
pub mod metrics;
mod nodes;
#[cfg(feature = "http")]
pub mod orca;
#[cfg(feature = "http")]
mod protobuf;
mod protocol;
#[cfg(feature = "reqwest")]
pub mod reqwest;
/// Requests of one's own that may be sent twice: see [`BalanceLayer::repeat_if`].
pub mod repeat {
    pub use crate::balance::repeat::{
        Answered, RepeatLayer, Repeated, Repeater, RepeaterFuture, Unanswered,
    };
}
pub mod retry;
pub mod role_probe;
mod routing;
pub mod scatter;
mod seldom;
pub mod session;
mod settings;
pub mod shard_maps;
pub mod source;
#[cfg(feature = "http")]
pub mod sticky;
pub mod subset;
#[cfg(feature = "file")]
mod watched_file;

pub use balance::{Balance, BalanceLayer, Drained, Observer, ResponseFuture, Routed, View};
pub use builder::BalancerBuilder;
pub use cluster::Cluster;
pub use counters::Counters;
pub use endpoint::{MakeEndpoint, Reachability};
pub use error::{Attempt, BoxError, BuildError, Error, ErrorKind, Misdirection};
pub use follow::{Follow, Told};
pub use lease::Lease;
pub use nodes::Nodes;
pub use portolan_core::{
    Candidate, Conditions, Endpoint, EndpointSet, EndpointState, Explanation, Freshness, Hints,
    HostResolver, Incarnation, Intent, InternalTraffic, LoadReport, LoadReportError, Location,
    Measurement, Outcome, ParseServiceRefError, PickContext, Picker, Pin, Placement, Policy,
    PortRef, Rate, Reach, Reason, ReportedBusyness, ReportedQueue, Resolution, ServiceRef,
    SessionAffinity, Source, SourceError, SourceErrorKind, Time, Topology, Uid, Utilization,
    Verdict, Weight, health, policy,
};
#[cfg(feature = "dns")]
pub use portolan_dns as dns;
#[cfg(feature = "kube")]
pub use portolan_kube as kube;
pub use protocol::{Culprit, Duplicate, Failure, Kept, Opaque, Protocol, Refusal, Sent};
pub use routing::{Key, Routing};
#[cfg(any(feature = "http", feature = "reqwest"))]
pub use settings::Naming;
pub use settings::{TrafficRules, Wait};
