//! EndpointSlices, kept slim.
//!
//! A Service of 10,000 Pods has a hundred slices, and a process keeps them all, since an event
//! brings one slice whole and the rest must still be known. So a slice here holds what an endpoint
//! is made of and nothing else, and strings that repeat are shared ([`Names`]).

mod convert;
mod names;
mod wire;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use portolan_core::{Conditions, Hints};

pub(crate) use convert::Rejected;
pub(crate) use names::Names;
pub(crate) use wire::WireSlice;

/// One EndpointSlice: at most 1,000 endpoints, all with the same ports and of the same IP family.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) name: Arc<str>,
    /// Its resource version: of two slices with the same endpoint, the higher knows better.
    pub(crate) version: u64,
    pub(crate) ports: Box<[SlicePort]>,
    pub(crate) endpoints: Box<[SliceEndpoint]>,
}

/// A port of a slice. Slices of one Service may have different numbers under the same name, since a
/// named `targetPort` is looked up in each Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlicePort {
    /// Empty where the Service's only port has no name.
    pub(crate) name: Arc<str>,
    /// Nothing means that the slice does not say: any.
    pub(crate) number: Option<u16>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    pub(crate) ip: IpAddr,
    pub(crate) conditions: Conditions,
    pub(crate) hostname: Option<Arc<str>>,
    pub(crate) pod: Option<Arc<str>>,
    pub(crate) uid: Option<Arc<str>>,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) hints: Option<Arc<Hints>>,
    /// The same for all entries that may be one and the same endpoint; different endpoints seldom
    /// share one. To find the entries of an endpoint in 100 slices is to compare numbers.
    pub(crate) bucket: u64,
}

impl Slice {
    /// Takes over from `former` each endpoint that did not change, so that its strings are kept once
    /// and not once per event.
    pub(crate) fn share_with(&mut self, former: &Self) {
        let (prefix, suffix) = common_ends(&former.endpoints, &self.endpoints);
        let same = |endpoints: usize, at: usize| at < prefix || at >= endpoints - suffix;
        let (before, after) = (former.endpoints.len(), self.endpoints.len());
        let kept = (0..before).filter(|at| same(before, *at));
        let taking = (0..after).filter(|at| same(after, *at));
        for (from, to) in kept.zip(taking) {
            if let (Some(old), Some(new)) = (former.endpoints.get(from), self.endpoints.get_mut(to))
            {
                new.clone_from(old);
            }
        }
    }
}

/// How many entries at the beginning, and then at the end, are equal in both.
pub(crate) fn common_ends<T: PartialEq>(a: &[T], b: &[T]) -> (usize, usize) {
    let shorter = a.len().min(b.len());
    let prefix = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let suffix = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    (prefix, suffix.min(shorter - prefix))
}

/// The bucket of an endpoint: by its Pod's UID, else by its address.
pub(crate) fn bucket(uid: Option<&str>, ip: IpAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    match uid {
        Some(uid) => uid.hash(&mut hasher),
        None => ip.hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
