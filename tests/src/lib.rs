//! The scenarios of Portolan's tests, and the clusters that they run on.
//!
//! A scenario ([`scenarios`]) is a story told once: it starts from an [`Arena`](arena::Arena), a
//! namespace of some cluster, and knows nothing else of that cluster. [`suite!`] makes a test of each
//! of them, for the embedded cluster (`cargo test -p portolan-scenarios`) and for etcd,
//! kube-apiserver and kube-controller-manager (`cargo xtask real`). What passes on one and fails on
//! the other is a bug, in Portolan or in the imitation.

pub mod access;
pub mod arena;
pub mod caller;
#[cfg(feature = "real")]
pub mod curl;
pub mod failure;
pub mod follow;
pub mod greeter;
pub mod guide;
pub mod key_value;
#[cfg(feature = "real")]
pub mod kube_proxy;
pub mod line;
pub mod load;
pub mod packets;
pub mod questions;
#[cfg(feature = "real")]
pub mod real;
pub mod scenarios;
pub mod steady;
mod suite;
