//! Jump hash: which of n, so that nearly nothing moves when n grows.

use std::num::NonZeroU32;

/// The bucket of a hash, of so many (Lamping and Veach 2014). From n to n + 1 buckets, 1 in n + 1 keys moves,
/// and only to the new one. It takes ln n steps.
pub(super) fn jump(hash: u64, buckets: NonZeroU32) -> u32 {
    let (mut hash, mut bucket, mut next) = (hash, 0, 0);
    while next < u64::from(buckets.get()) {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // 2^31 over a number of 1 to 2^31: exact in f64, and so the same on every machine.
        let stride = f64::from(1u32 << 31) / ((hash >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * stride) as u64;
    }
    bucket as u32
}
