//! The client's own zone first, and others as far as they are needed.

mod control;
mod plan;

use std::sync::Arc;

use self::{
    control::{Control, Controls},
    plan::Plan,
};
use super::{
    Changes, Explanation, Group, LeastRequest, PickContext, Picker, Policy, Verdict,
    random::{low, next_entropy},
};
use crate::{Candidates, Index};

/// Requests stay in the client's zone, unless that is too small or too busy, and then only as many leave it
/// as must.
///
/// Traffic between zones costs money and a millisecond. Topology hints, which kube-proxy goes by, are all or
/// nothing, and know nothing of load. This policy decides twice:
///
/// - **Too small.** Clients are taken to be spread evenly over the zones. Where a zone's endpoints are
///   fewer than its part of them (by weight), it keeps what is within 10% of their fair share; the rest
///   goes to the zones that have more than theirs. (Envoy's zone-aware routing does the same.)
/// - **Too busy.** Every second the mean latencies of here and elsewhere are compared, over some 5 s.
///   While those here are more than 10% worse, the share that stays goes down; when they are
///   better, up again. An endpoint that fails counts as slow. To know how it is elsewhere, 3% of the
///   requests leave the zone at any time.
///
/// Inside of each zone another policy chooses, [`LeastRequest`] by default. Where the client does not know
/// its zone, or its zone has no endpoints, that policy chooses among all.
///
/// It sees only the endpoints that the Service's traffic rules leave: where the slices have hints for
/// zones, ignore those (`TrafficRules::Ignored`), or there is nowhere to go.
///
/// Each request is timed, which costs two looks at the clock; and once a second one request adds up what all
/// endpoints have counted, which nobody else waits for.
///
/// Inside of a policy that divides endpoints, such as [`Shard`](super::Shard), it decides for each of the groups by
/// itself.
///
/// Use one for each balancer. A clone is a handle on the same one: it [says](Self::kept) what share stays.
///
/// ```
/// use portolan_core::policy::{PeakEwma, ZoneAware};
///
/// let zones = ZoneAware::over(PeakEwma::new());
/// let policy = zones.clone(); // for the balancer
/// assert_eq!(zones.kept(), None); // nobody has asked for anything yet
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug)]
pub struct ZoneAware {
    inner: Arc<dyn Policy>,
    controls: Arc<Controls>,
}

#[derive(Debug)]
struct ZonePicker {
    candidates: Candidates,
    here: Group,
    elsewhere: Box<[Zone]>,
    control: Arc<Control>,
}

/// Another zone.
#[derive(Debug)]
struct Zone {
    group: Group,
    /// Of what leaves, in units of 2^-32, the share of this zone and those before it.
    up_to: u32,
}

impl Default for ZoneAware {
    fn default() -> Self {
        Self::new()
    }
}

impl ZoneAware {
    /// The policy, with [`LeastRequest`] inside of each zone.
    #[must_use]
    pub fn new() -> Self {
        Self::over(LeastRequest::new())
    }

    /// The policy, with another one inside of each zone.
    #[must_use]
    pub fn over(inner: impl Policy + 'static) -> Self {
        Self {
            inner: Arc::new(inner),
            controls: Arc::default(),
        }
    }

    /// The share of requests that stay in the zone at present, from 0 to 1. `None` where zones play no
    /// part: the client's is not known or has no endpoints, or there is no other.
    ///
    /// Inside of another policy (each shard, say, has zones of its own) shares differ; this is that of one of them.
    #[must_use]
    pub fn kept(&self) -> Option<f64> {
        self.controls.kept()
    }
}

impl Policy for ZoneAware {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let first = candidates.as_slice().first();
        let first = first.map(|one| one.endpoint.placement());
        let (Some(plan), Some(first)) = (Plan::of(candidates), first) else {
            self.controls.end(first);
            return self.inner.build(candidates);
        };
        let group = |zone: Option<&str>| {
            Group::of(candidates, |one| one.endpoint.zone() == zone, &*self.inner)
        };
        let here = group(candidates.location().zone());
        let mut elsewhere = Vec::with_capacity(plan.others.len());
        let mut up_to = 0.0;
        for (zone, share) in &plan.others {
            up_to += share;
            elsewhere.push(Zone {
                group: group(zone.as_deref()),
                up_to: (up_to * f64::from(u32::MAX)) as u32,
            });
        }
        let mut picker = ZonePicker {
            here,
            elsewhere: elsewhere.into(),
            candidates: candidates.clone(),
            control: Arc::default(),
        };
        picker.control = self.controls.begin(first, plan.kept, picker.totals());
        Arc::new(picker)
    }

    fn is_by_identity(&self) -> bool {
        self.inner.is_by_identity()
    }

    fn changes(&self) -> Option<Changes> {
        self.inner.changes()
    }
}

impl Picker for ZonePicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        self.control.look(context.now, || self.totals());
        let (group, inside) = self.first(context);
        match group.pick(&inside) {
            Verdict::Use(index) => Verdict::Use(index),
            first => self.anybody(|group| group.pick(&inside)).unwrap_or(first),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let (group, inside) = self.first(context);
        let wanted = match std::ptr::eq(group, &self.here) {
            true => "stays in the client's zone",
            false => "leaves the client's zone, for size and load",
        };
        let members = group.members();
        explanation.narrow("ZoneAware", wanted, &self.candidates, |index, _| {
            members.binary_search(&index).is_ok()
        });
        match group.explain(&inside, explanation) {
            Verdict::Use(index) => Verdict::Use(index),
            first => {
                explanation.note("ZoneAware", "nobody is left there: any zone will do");
                // Not picked: a picker inside may remember whom it has picked.
                self.anybody(|group| group.explain(&inside, &mut Explanation::in_brief()))
                    .unwrap_or(first)
            }
        }
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.groups().all(|group| group.admits(index, context))
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.groups().any(|group| group.may_pick(index, context))
    }

    /// Latencies are compared, whatever the policy inside.
    fn is_timed(&self) -> bool {
        true
    }

    fn never_panics(&self) -> bool {
        self.groups().all(Group::never_panics)
    }
}

impl ZonePicker {
    /// The zone that the request is for, and what its picker is asked.
    fn first<'a>(&self, context: &PickContext<'a>) -> (&Group, PickContext<'a>) {
        // Bits that decide the zone must not decide again inside of it.
        let bits = next_entropy(context.entropy);
        let inside = PickContext {
            entropy: next_entropy(bits),
            ..*context
        };
        let stays = self.control.stays(low(bits));
        match self.zone((bits >> 32) as u32) {
            Some(zone) if !stays => (zone, inside),
            _ => (&self.here, inside),
        }
    }

    /// Where nobody is left in the zone of a request, anybody is better than nobody.
    fn anybody(&self, ask: impl FnMut(&Group) -> Verdict) -> Option<Verdict> {
        self.groups()
            .map(ask)
            .find(|verdict| matches!(verdict, Verdict::Use(_)))
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.here).chain(self.elsewhere.iter().map(|zone| &zone.group))
    }

    /// The other zone of these bits.
    fn zone(&self, bits: u32) -> Option<&Group> {
        let such = self.elsewhere.iter().find(|zone| bits <= zone.up_to);
        such.or(self.elsewhere.last()).map(|zone| &zone.group)
    }

    fn totals(&self) -> control::Totals {
        let sum = |group: &Group| {
            let members = group.members().iter();
            members
                .filter_map(|index| self.candidates.get(*index))
                .map(|one| one.state.timed())
                .fold(control::Timed::default(), control::Timed::plus)
        };
        let elsewhere = self.elsewhere.iter().map(|zone| sum(&zone.group));
        control::Totals {
            here: sum(&self.here),
            elsewhere: elsewhere.fold(control::Timed::default(), |all, one| {
                all.plus((one.requests, one.took))
            }),
        }
    }
}

#[cfg(test)]
mod tests;
