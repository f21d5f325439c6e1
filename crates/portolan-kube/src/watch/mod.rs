//! Watches on the API server: who starts them, who shares them, and what ends them.
//!
//! - [`registry`]: one watch per Service and cluster, however many balancers follow it.
//! - [`subscription`]: what a balancer holds: a stream, and its share of the watch.
//! - [`follow`]: the task behind them; it puts the two informers and the state machine together.
//! - [`nodes`]: the Nodes, watched once for all Services that need them.
//! - [`labels`]: the labels of Pods, joined onto the endpoints for those who asked for them.
//! - [`lease`]: the holder of a Lease, told to whoever goes by it.
//! - [`observe`]: one object, watched for a part of it: a ConfigMap, the size of a StatefulSet.
//! - [`hosts`]: the DNS names that a Service needs, asked of whoever knows DNS.
//! - [`informer`]: one collection, listed and watched for ever.
//! - [`api`]: the requests; [`streaming`]: whether a list is a stream; [`listing`]: a list that is decoded
//!   while it comes.
//! - [`stats`]: what they do, in numbers.
//! - [`fault`], [`pace`], [`body`]: errors in the user's words, delays, reading with a limit.

mod api;
mod body;
mod fault;
mod follow;
mod hosts;
mod informer;
mod labels;
mod lease;
mod listing;
mod nodes;
mod observe;
mod pace;
mod registry;
mod stats;
mod streaming;
mod subscription;

pub(crate) use labels::with_labels;
pub use lease::LeaseWatch;
pub(crate) use lease::watch_lease;
pub(crate) use nodes::NodeRegistry;
pub(crate) use observe::observe;
pub(crate) use registry::{Key, Registry};
pub(crate) use stats::Counters;
pub use stats::WatchStats;
pub(crate) use streaming::Streaming;
pub(crate) use subscription::subscribe;

#[cfg(test)]
mod tests;
