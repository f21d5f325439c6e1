//! The hash of a key, which all clients of all releases must agree on.

/// The hash of a key: XXH3, 64 bits, seed 0, of its bytes.
///
/// It is a promise: it is the same in every release, on every machine, and in every language that has
/// [XXH3](https://github.com/Cyan4973/xxHash), so that clients of different make send the same key to the same
/// place. It is no protection against somebody who chooses keys so that they collide: a key that such
/// people can choose should be hashed with a secret by the caller first.
///
/// ```
/// use portolan_core::policy::key_hash;
/// assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
/// ```
#[must_use]
#[inline]
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

#[cfg(test)]
mod tests {
    use super::key_hash;

    /// From the reference implementation (xxhsum -H3, version 0.8), at lengths that take its different ways.
    #[test]
    fn it_is_xxh3_of_the_reference_implementation() {
        assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(key_hash(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(key_hash(b"abc"), 0x78af_5f94_892f_3950);
    }
}
