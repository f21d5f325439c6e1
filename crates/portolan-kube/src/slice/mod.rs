//! EndpointSlices, kept slim.
//!
//! A Service of 10,000 Pods has a hundred slices, and a process keeps them all, since an event
//! brings one slice whole and the rest must still be known. So an entry of a slice is the very endpoint that is
//! handed out, as far as that can be told when the slice comes, and what endpoints have in common is kept once
//! ([`Names`]).

mod convert;
mod entry;
mod names;
mod wire;

use std::sync::Arc;

use portolan_core::Endpoint;

pub(crate) use convert::Rejected;
pub(crate) use entry::at_port;
pub(crate) use names::Names;
pub(crate) use wire::WireSlice;

/// One EndpointSlice: at most 1,000 endpoints, all with the same ports and of the same IP family.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) name: Arc<str>,
    /// Its resource version: of two slices with the same endpoint, the higher knows better.
    pub(crate) version: u64,
    pub(crate) ports: Box<[SlicePort]>,
    endpoints: Box<[Arc<Endpoint>]>,
    /// Of each endpoint, in a place of its own: to find the entries of an endpoint in 100 slices is to look
    /// through 10,000 numbers, and nothing else should have to come from memory for that.
    buckets: Box<[Bucket]>,
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

/// The same for all entries that may be one and the same endpoint; different endpoints seldom share one.
pub(crate) type Bucket = u32;

impl Slice {
    pub(crate) fn new(
        name: Arc<str>,
        version: u64,
        ports: Box<[SlicePort]>,
        endpoints: Vec<Arc<Endpoint>>,
    ) -> Self {
        Self {
            name,
            version,
            ports,
            buckets: endpoints.iter().map(|one| entry::bucket(one)).collect(),
            endpoints: endpoints.into(),
        }
    }

    /// Its entries: each an endpoint, at the port that was likely to be wanted when the slice came (see
    /// [`at_port`]).
    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Its entries, each with its bucket.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Bucket, &Arc<Endpoint>)> {
        self.buckets.iter().copied().zip(&self.endpoints)
    }

    /// Takes over the endpoints that did not change, so that each is kept once and not once per event:
    /// from `former`, and those that have another place there, or come from another slice, from where
    /// `known` finds them.
    pub(crate) fn share_with(
        &mut self,
        former: Option<&Self>,
        known: impl Fn(&Endpoint) -> Option<Arc<Endpoint>>,
    ) {
        let former = former.map_or(&[][..], |former| &former.endpoints);
        let (prefix, suffix) = common_ends(former, &self.endpoints);
        let (before, after) = (former.len(), self.endpoints.len());
        for (at, endpoint) in self.endpoints.iter_mut().enumerate() {
            let place = if at < prefix {
                former.get(at)
            } else if at >= after - suffix {
                former.get(at + before - after)
            } else {
                None
            };
            match place {
                Some(same) => *endpoint = Arc::clone(same),
                None => {
                    if let Some(same) = known(endpoint) {
                        *endpoint = same;
                    }
                }
            }
        }
    }
}

/// How many entries at the beginning, and then at the end, are equal in both.
fn common_ends<T: PartialEq>(a: &[T], b: &[T]) -> (usize, usize) {
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

#[cfg(test)]
mod tests;
