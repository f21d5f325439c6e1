//! What makes an algorithm of consistent hashing.

use super::{host::Host, key_hash};

/// Puts the hosts in an order, a different one for each key.
pub(super) trait Order: Send + Sync + 'static {
    /// The policy's name, for explanations.
    const NAME: &'static str;

    /// The hash by which a key is known.
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        key_hash(key)
    }

    /// The first host in the key's order.
    fn first(&self, hash: u64) -> Option<Host>;

    /// The first host in the key's order that is `such`. It may be asked for one host more than once.
    fn first_such(&self, hash: u64, such: impl FnMut(Host) -> bool) -> Option<Host>;

    /// Whether no other host than the first may serve the key. Default: the next ones may.
    fn is_strict(&self) -> bool {
        false
    }
}
