//! Endpoints that a view leaves out for their address alone.

use std::collections::HashSet;

use super::{View, World};
use crate::service::Family;

impl View {
    /// How many endpoints are left out since they have no address of the only family in use.
    pub(crate) fn without_address(&self, world: &World) -> usize {
        let Some(made) = self.made.as_ref() else {
            return 0;
        };
        if made.families.second.is_some() {
            return 0;
        }
        let (mut with, mut without) = (HashSet::new(), HashSet::new());
        for slice in world.all_slices() {
            if made.plan.in_ports(&slice.ports).is_none() {
                continue;
            }
            for (bucket, endpoint) in slice.entries() {
                if endpoint.address().is_ipv4() == (made.families.first == Family::V4) {
                    with.insert(bucket);
                } else {
                    without.insert(bucket);
                }
            }
        }
        without.difference(&with).count()
    }
}
