//! Discovery for Portolan over the Kubernetes API.
//!
//! A [`Cluster`] is a [`Source`](portolan_core::Source): it watches a Service and its EndpointSlices
//! and says, after each change, what all the endpoints are.
//!
//! ```
//! use futures::StreamExt as _;
//! use portolan_core::{Resolution, ServiceRef, Source as _};
//! use portolan_kube::{Cluster, kube};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // A cluster without any Services; a real program says `Cluster::infer().await?`.
//! let empty = r#"{ "metadata": { "resourceVersion": "1" }, "items": [] }"#;
//! let answer = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
//!     Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::from(Vec::from(empty))))
//! });
//! let cluster = Cluster::from(kube::Client::new(answer, "shop"));
//!
//! let service: ServiceRef = "orders:http".parse().unwrap();
//! let mut resolutions = cluster.watch(&service);
//! while let Some(resolution) = resolutions.next().await {
//!     match resolution {
//!         Resolution::Present(endpoints) => println!("{endpoints:?}"),
//!         Resolution::Absent => {
//!             println!("there is no such Service (yet)");
//!             break;
//!         }
//!         Resolution::Failed(error) => println!("nothing was learnt: {error}"),
//!         _ => {}
//!     }
//! }
//! # });
//! ```
//!
//! The way of the data, and of this crate's modules: `watch` reads the API and never gives up;
//! `slice`, `service` and `node` keep what matters of what it reads; `resolve` is the state machine that
//! makes endpoints of it, without I/O or a clock.

mod cluster;
mod config_map;
mod error;
mod lease;
mod node;
mod object;
mod observed;
mod pod;
mod rbac;
mod redact;
mod resolve;
mod service;
mod slice;
mod stateful_set;
mod watch;

pub use cluster::{Cluster, IpFamilies, NodeAddresses, Vantage, WatchOptions};
pub use error::Error;
/// The Kubernetes client of [`Cluster::from`], in the version that this crate is built with.
pub use kube;
pub use observed::{Observations, Observed};
pub use rbac::{
    CLUSTER_ROLE, CONFIG_MAP_ROLE, LEASE_ROLE, LOCATION_ROLE, NODE_ROLE, POD_ROLE, ROLE,
    STATEFUL_SET_ROLE,
};
pub use stateful_set::StatefulSetSize;
pub use watch::{LeaseWatch, WatchStats};
