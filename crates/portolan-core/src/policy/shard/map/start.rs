//! Where a range begins, so that most comparisons follow no pointer.

use std::cmp::Ordering;

/// The least key of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The first eight bytes, and zeros where there are fewer. Where these differ between two keys, they are in
    /// the same order as the keys.
    prefix: u64,
    bytes: Box<[u8]>,
}

impl Start {
    pub(super) fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            prefix: prefix(&bytes),
            bytes,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// How many of the ranges begin at the key or before it.
pub(super) fn partition(starts: &[Start], key: &[u8]) -> usize {
    let wanted = prefix(key);
    starts.partition_point(|start| {
        let order = start.prefix.cmp(&wanted);
        order.then_with(|| (*start.bytes).cmp(key)) != Ordering::Greater
    })
}

fn prefix(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}
