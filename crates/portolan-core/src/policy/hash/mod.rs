//! Policies that send the same key to the same place.

mod key;

pub use key::key_hash;
