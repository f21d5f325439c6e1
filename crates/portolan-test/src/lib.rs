//! A Kubernetes cluster in one process, for tests of clients.
//!
//! [`TestCluster`] is an API server (list, watch, bookmarks, streaming lists, resource versions,
//! `410 Gone`, RBAC), the controllers that make EndpointSlices and roll StatefulSets and
//! Deployments, and a kubelet whose Pods are real servers on loopback addresses of their own. A
//! `kube::Client` connects to it as to any cluster, in the process or by HTTP. It needs no root, no
//! network and no other program. On demand, everything goes wrong: see [`Faults`] and
//! [`PodHandle`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use portolan_test::TestCluster;
//!
//! let cluster = TestCluster::start().await?;
//! let service = cluster.service("shop", "db").headless().port("http", 8080).create().await?;
//! let db = cluster.stateful_set("shop", "db", 3).port("http", 8080).create().await?;
//! db.wait_ready(3).await?;
//!
//! cluster.pod("shop", "db-1")?.kill(); // resets its connections, refuses new ones
//! service.wait_endpoints(3).await?; // until the kubelet has started it again
//! db.roll().await?;
//! db.wait_ready(3).await?;
//! # Ok(()) }
//! ```
//!
//! # How it differs from a real cluster
//!
//! - Objects are kept as they are sent: there is no schema, unknown fields stay, validation is
//!   thin. Addresses in 127.0.0.0/8, which a real API server refuses in slices, are welcome, as
//!   Pods have them here.
//! - Server-side apply does not track the owners of fields.
//! - A Deployment's ReplicaSets are implicit.
//! - `Endpoints` are stored but not made, and no node fails. Virtual IPs, node ports and load balancers lead
//!   somewhere only with [`TestClusterBuilder::kube_proxy`].
//! - When a container ends, all containers of its Pod are started again.
//!
//! Time is tokio's everywhere. Where no socket is needed, as with [`TestCluster::client`], tests
//! run under paused time.
//!
//! # Features
//!
//! | feature | what it adds | default |
//! |---|---|---|
//! | `dns` | a DNS server that answers as the cluster's does, or as the test tells it to: [`mod@dns`] | no |

mod api;
mod client;
mod clock;
mod cluster;
mod controllers;
#[cfg(feature = "dns")]
pub mod dns;
mod error;
mod faults;
mod json;
mod kind;
mod kubelet;
mod pod;
pub mod programs;
mod proxy;
mod requests;
mod selector;
mod store;
mod workloads;

pub use api::access::{Token, User};
pub use cluster::{ApiEndpoint, TestCluster, TestClusterBuilder};
pub use error::Error;
pub use faults::{Corruption, Faults, WatchedEvent};
pub use kubelet::{Kubelet, KubeletConfig, NodeSpec, PodNetwork};
pub use pod::{PodContext, PodHandle, PodListener, PodStream};
pub use programs::{Images, Program};
pub use requests::{OpenWatch, Requests, Verb};
pub use workloads::{NewService, NewWorkload, ServiceHandle, Workload, Workloads};
