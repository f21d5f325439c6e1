//! Which endpoints a read had better leave out: those too far behind, and those too slow.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwapOption, Guard};

use super::ReplicaLag;
use crate::{
    Candidates, Index, Policy, Time, Tried,
    policy::Group,
    sync::{AtomicU64, Ordering},
};

/// Latencies and lags are compared anew so often, by one request: often enough to follow what they do, seldom enough
/// to cost nothing.
const INTERVAL: Duration = Duration::from_millis(100);

/// Which endpoints reads leave out at present.
#[derive(Debug)]
pub(super) struct Readable {
    limits: Limits,
    /// When to look again, in nanoseconds.
    next: AtomicU64,
    /// Nothing while nobody is left out.
    narrowed: ArcSwapOption<Narrowed>,
}

/// What is asked of an endpoint that is to be read from.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// How much slower than the fastest.
    pub(super) window: Option<Duration>,
    /// How far behind, and who knows that.
    pub(super) lag: Option<(Duration, ReplicaLag)>,
}

/// Those that are left, in groups of their own: a pick among them has nobody to leave out.
#[derive(Debug)]
pub(super) struct Narrowed {
    out: Out,
    /// Neither too far behind nor out of the window.
    pub(super) near: Group,
    /// Not too far behind.
    pub(super) fresh: Group,
}

/// Those that are left out.
#[derive(Debug, Default, PartialEq)]
struct Out {
    /// They may not be read from: they are too far behind.
    stale: Tried,
    /// They are out of the window.
    slow: Tried,
}

impl Readable {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: AtomicU64::new(0),
            narrowed: ArcSwapOption::empty(),
        }
    }

    /// Whether it goes by the time.
    pub(super) fn is_timed(&self) -> bool {
        self.limits.window.is_some() || self.limits.lag.is_some()
    }

    /// Who is left of these now; nothing where all are. Only where it is not the same as before, groups are made,
    /// by one request, which nobody else waits for.
    pub(super) fn narrowed(
        &self,
        now: Time,
        candidates: &Candidates,
        among: &[Index],
        inner: &dyn Policy,
    ) -> Guard<Option<Arc<Narrowed>>> {
        let due = self.next.load(Ordering::Relaxed);
        if self.is_timed() && now.as_nanos() >= due {
            let next = (now + INTERVAL).as_nanos().max(1);
            let order = Ordering::Relaxed;
            if self.next.compare_exchange(due, next, order, order).is_ok() {
                let out = self.limits.out(now, candidates, among);
                let former = self.narrowed.load();
                if former
                    .as_ref()
                    .map_or(out != Out::default(), |former| former.out != out)
                {
                    self.narrowed
                        .store(Narrowed::of(out, candidates, among, inner));
                }
            }
        }
        self.narrowed.load()
    }
}

impl Narrowed {
    fn of(
        out: Out,
        candidates: &Candidates,
        among: &[Index],
        inner: &dyn Policy,
    ) -> Option<Arc<Self>> {
        if out == Out::default() {
            return None;
        }
        let fresh = among.iter().filter(|index| !out.stale.contains(**index));
        let near = fresh.clone().filter(|index| !out.slow.contains(**index));
        Some(Arc::new(Self {
            near: Group::at(candidates, near.copied(), inner),
            fresh: Group::at(candidates, fresh.copied(), inner),
            out,
        }))
    }
}

impl Limits {
    /// Whoever has not been measured, or of whose lag nothing is known, is not left out: nobody would learn of it.
    fn out(&self, now: Time, candidates: &Candidates, among: &[Index]) -> Out {
        let mut out = Out::default();
        let mut left = Vec::with_capacity(among.len());
        for (index, one) in among
            .iter()
            .filter_map(|at| Some((*at, candidates.get(*at)?)))
        {
            let lag = |(limit, lags): &(Duration, ReplicaLag)| {
                lags.of(one.endpoint.placement())
                    .is_some_and(|lag| lag > *limit)
            };
            if self.lag.as_ref().is_some_and(lag) {
                out.stale.insert(index);
            } else {
                left.push((index, one.state.latency(now)));
            }
        }
        let fastest = left.iter().filter_map(|(_, latency)| *latency).min();
        if let (Some(window), Some(fastest)) = (self.window, fastest) {
            let limit = fastest.saturating_add(window);
            let slow = left
                .iter()
                .filter(|(_, took)| took.is_some_and(|took| took > limit));
            slow.for_each(|(index, _)| out.slow.insert(*index));
        }
        out
    }
}
