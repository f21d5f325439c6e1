//! Policies that send the same key to the same place: consistent hashing.
//!
//! All of them put the *hosts* in an order of its own for each key, and differ in how. A host is a
//! [placement](crate::Placement), the stable name, so that a Pod which restarts keeps its keys. The first host in
//! a key's order gets its requests; the next ones, in that order, get what the first cannot take: because it has
//! been tried, or because it has more than its share ([`RingHash::bounded_load`]). So a key that overflows meets the
//! same second host each time, which then knows it.
//!
//! - `host` says who the hosts are, `order` what an algorithm has to be able to do;
//! - `picker` is what they have in common: the first host, the next ones, requests without a key;
//! - `bound` keeps each host to its share;
//! - `ring`, `maglev`, `rendezvous` and `jump` are the algorithms.

mod bound;
mod host;
pub(crate) mod jump;
mod key;
mod maglev;
mod order;
mod picker;
mod rendezvous;
mod ring;
mod settings;

pub use jump::JumpHash;
pub use key::key_hash;
pub use maglev::Maglev;
pub use rendezvous::Rendezvous;
pub use ring::{GrpcRingHash, Ketama, RingHash};

#[cfg(test)]
mod tests;
