//! The Pods of a Service: all of them once, and then only those that a change touches.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use portolan_core::{Endpoint, EndpointSet};

use super::{
    FamilyOrder, Touched, World,
    merge::{self, Member},
    port::PortPlan,
    splice::{self, Changes},
};
use crate::{
    service::Family,
    slice::{Bucket, Slice},
};

/// What a set of Pods depends on besides the slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) plan: PortPlan,
    pub(super) families: FamilyOrder,
}

impl Made {
    /// Makes the set from scratch, with the endpoints of the old one where they are equal.
    pub(super) fn rebuild(&self, former: &EndpointSet, world: &World) -> (EndpointSet, Changes) {
        let most = world
            .all_slices()
            .map(|slice| slice.endpoints().len())
            .sum();
        let mut places = Buckets::with_capacity_and_hasher(most, BuildHasherDefault::default());
        let mut bundles: Vec<Bundle<'_>> = Vec::with_capacity(most);
        for (bucket, member) in world.all_slices().flat_map(|slice| self.members(slice)) {
            let place = *places.entry(bucket).or_insert(bundles.len());
            match bundles.get_mut(place) {
                Some(bundle) => bundle.others.push(member),
                None => bundles.push(Bundle {
                    first: member,
                    others: Vec::new(),
                }),
            }
        }
        let mut endpoints = Vec::with_capacity(bundles.len());
        for Bundle { first, mut others } in bundles {
            if others.is_empty() {
                merge::merge(&mut [first], self.families, &mut endpoints);
            } else {
                others.insert(0, first);
                merge::merge(&mut others, self.families, &mut endpoints);
            }
        }
        splice::replace(former, endpoints)
    }

    /// Changes the former set where the touched slices have something to say, or leaves it.
    pub(super) fn patch(
        &self,
        former: &EndpointSet,
        world: &World,
        touched: &[Touched],
    ) -> Option<(EndpointSet, Changes)> {
        // Each endpoint that stands in a touched slice, as it was and as it is: with its entries in
        // all other slices, since which entry is believed depends on them all.
        let mut buckets: Buckets<BeforeAndAfter<'_>> = Buckets::default();
        for Touched { before, after } in touched {
            for (bucket, member) in before.iter().flat_map(|slice| self.members(slice)) {
                buckets.entry(bucket).or_default().before.push(member);
            }
            for (bucket, member) in after.iter().flat_map(|slice| self.members(slice)) {
                buckets.entry(bucket).or_default().after.push(member);
            }
        }
        if buckets.is_empty() {
            return None;
        }
        let was_touched = |slice: &Slice| {
            let mut after = touched
                .iter()
                .filter_map(|touched| touched.after.as_deref());
            after.any(|after| std::ptr::eq(after, slice))
        };
        for slice in world.all_slices().filter(|slice| !was_touched(slice)) {
            for (bucket, member) in self.members(slice) {
                if let Some(endpoint) = buckets.get_mut(&bucket) {
                    endpoint.before.push(member);
                    endpoint.after.push(member);
                }
            }
        }
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for BeforeAndAfter {
            mut before,
            mut after,
        } in buckets.into_values()
        {
            // As 99 of the 100 endpoints in a slice of which one has changed.
            if let ([was], [is]) = (&before[..], &after[..])
                && was.port == is.port
                && was.endpoint == is.endpoint
            {
                continue;
            }
            merge::merge(&mut before, self.families, &mut old);
            merge::merge(&mut after, self.families, &mut new);
        }
        splice::splice(former, &mut old, new)
    }

    /// The entries of a slice that have the port, of the families in use, each with its bucket.
    fn members<'a>(&self, slice: &'a Slice) -> impl Iterator<Item = (Bucket, Member<'a>)> {
        // All entries of a slice are of one family, so whether one is used is asked of the first only: the
        // others need not even come from memory.
        let is_used = |first: &Arc<Endpoint>| {
            let family = Family::of(first.address().ip());
            self.families.rank(family).is_some()
        };
        let used = slice.endpoints().first().is_some_and(is_used);
        let port = self.plan.in_ports(&slice.ports).filter(|_| used);
        let with_port = move |(bucket, endpoint)| {
            let member = Member {
                endpoint,
                slice,
                port: port?,
            };
            Some((bucket, member))
        };
        slice.entries().map_while(with_port)
    }
}

/// By [`Bucket`], which is a hash already.
type Buckets<T> = HashMap<Bucket, T, BuildHasherDefault<AlreadyHashed>>;

/// The entries of one bucket. Nearly all endpoints stand in one slice only, and need no list.
struct Bundle<'a> {
    first: Member<'a>,
    others: Vec<Member<'a>>,
}

#[derive(Default)]
struct BeforeAndAfter<'a> {
    before: Vec<Member<'a>>,
    after: Vec<Member<'a>>,
}

#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, hash: u32) {
        // The map wants 64 bits, the highest above all.
        self.0 = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
