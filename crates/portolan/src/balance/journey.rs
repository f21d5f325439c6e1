//! The way of one request: where it has been, and where it may go next.

use std::{fmt, sync::atomic::Ordering};

use portolan_core::{
    Explanation, InFlight, Intent, PickContext, Reason, Snapshot, Time, Tried, Verdict,
};
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

use super::{
    detours::{Detours, Left},
    published::{Published, Reached},
};
use crate::{Attempt, Error, ErrorKind, Lease, routing::Seen, seldom::Seldom, session::Session};

/// What is known of a request besides itself. A request whose first try succeeds, as nearly all do,
/// allocates nothing for it, and carries a pointer of it from place to place.
pub(crate) struct Journey<Req> {
    pub(super) detours: Seldom<Detours<Req>>,
    /// Since when the endpoint that was chosen last had been there.
    pub(super) since: u64,
}

impl<Req> Default for Journey<Req> {
    fn default() -> Self {
        Self {
            detours: Seldom::EMPTY,
            since: 0,
        }
    }
}

impl<Req> fmt::Debug for Journey<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journey")
            .field("attempts", &self.attempts())
            .finish_non_exhaustive()
    }
}

/// Where a request is to go next.
#[derive(Debug)]
pub(crate) enum Step<S> {
    /// To this endpoint, chosen from the snapshot of this generation, with the lease that has been put into its place.
    Go(S, u64),
    /// Nowhere, until the snapshot of this generation is replaced, or until the time is up.
    Wait(u64, Instant),
}

/// Of requests whose policy does not go by latency, one in so many is timed, for whoever looks at it:
/// the first that an endpoint answers, and then each that begins after so many more answers.
const TIMED_ONE_IN: u64 = 16;

/// How many endpoints that turn out to be full are passed over before the request is refused. The
/// policies avoid busy endpoints by themselves; where this many are full, most are.
const MAX_FULL: usize = 8;

impl<Req> Journey<Req> {
    /// Chooses the next endpoint. The lease is made where it is to stay: moving it right after would
    /// wait for what was just written (15 ns).
    #[inline]
    pub(crate) fn next<S: Clone>(
        &mut self,
        published: &Published<S>,
        seen: Seen<'_>,
        lease: &mut Option<Lease>,
    ) -> Result<Step<S>, Error> {
        // One that is under way already goes on.
        if self.detours.is_none() && published.shutdown.has_begun() {
            return Err(self.error(published, ErrorKind::ShutDown));
        }
        let snapshot = published.load();
        if self.found_nobody() {
            return self.wait(published, &snapshot, seen, lease, None);
        }
        let mut tried = self.tried_in(&snapshot);
        let picked_at = snapshot.is_timed().then(|| published.clock.now());
        let now = picked_at.unwrap_or(Time::ORIGIN);
        let mut full = 0;
        while full <= MAX_FULL {
            let mut context = PickContext::new(now, fastrand::u64(..)).with_tried(&tried);
            self.show(seen, &mut context);
            let index = match pick(&snapshot, &context) {
                Verdict::Use(index) => index,
                Verdict::Fail(Reason::AllTried) if full > 0 => break,
                Verdict::Fail(Reason::AllTried) => {
                    return self.next_round(published, &snapshot, seen, lease);
                }
                // The policy knows better than the answer that sent it there. (Each of these two happens once.)
                Verdict::Fail(Reason::PinRefused) if self.sent_on() => {
                    self.detours().sent_on = None;
                    continue;
                }
                // Such a request is not for whoever holds the session: a write, say, and that is a replica.
                Verdict::Fail(Reason::PinRefused) if self.session(seen).is_some() => {
                    self.detours().left_session = Some(Left::Refused);
                    continue;
                }
                Verdict::Fail(reason) => return Err(self.refused(published, seen, reason)),
                Verdict::WaitUpTo(limit) => {
                    return self.wait(published, &snapshot, seen, lease, Some(limit));
                }
                // Wait, and whatever verdict a later version adds.
                _ => return self.wait(published, &snapshot, seen, lease, None),
            };
            let chosen = snapshot.get(index).filter(|_| !tried.contains(index));
            let Some((candidate, reached)) = chosen else {
                tracing::error!(
                    service = %published.service, ?index, generation = snapshot.generation(),
                    endpoints = snapshot.candidates().len(),
                    "the policy named an endpoint that does not exist, or has been tried"
                );
                return Err(self.error(published, ErrorKind::PolicyAtFault));
            };
            let limit = published.settings.max_in_flight_per_endpoint;
            if let Some(in_flight) = InFlight::try_begin(&candidate.state, limit) {
                self.since = reached.since;
                let is_sample = || candidate.state.requests().is_multiple_of(TIMED_ONE_IN);
                let started = picked_at.or_else(|| is_sample().then(|| published.clock.now()));
                *lease = Some(Lease::new(in_flight, started, published.clock));
                return Ok(Step::Go(reached.service.clone(), snapshot.generation()));
            }
            tried.insert(index);
            full += 1;
        }
        Err(self.error(published, ErrorKind::Overloaded))
    }

    /// Shows a picker what decides of the request: what it says itself, unless an answer has sent it on.
    #[inline]
    pub(super) fn show<'c>(&'c self, seen: Seen<'c>, context: &mut PickContext<'c>) {
        seen.apply_to(context);
        let Some(detours) = &*self.detours else {
            return;
        };
        if detours.left_session.is_some() {
            context.pin = None;
        }
        if let Some(to) = &detours.sent_on {
            context.pin = Some(to);
        }
    }

    /// The session that the request goes by.
    pub(super) fn session<'s>(&self, seen: Seen<'s>) -> Option<&'s Session> {
        let detours = self.detours.as_ref();
        let goes_elsewhere =
            |detours: &Detours<Req>| detours.left_session.is_some() || detours.sent_on.is_some();
        seen.session()
            .filter(|_| !detours.is_some_and(|detours| goes_elsewhere(detours)))
    }

    /// Whether the endpoint that the request has been waiting for is still where it belongs, by a policy for which
    /// it matters who that is: the primary, say, may be another one by now. Nothing was sent yet.
    pub(crate) fn still_belongs_there<S>(
        &self,
        published: &Published<S>,
        seen: Seen<'_>,
        lease: Option<&Lease>,
        chosen_from: u64,
    ) -> bool {
        if !published.by_identity.load(Ordering::Relaxed) {
            return true;
        }
        let snapshot = published.load();
        let tried = self.tried_in(&snapshot);
        let is_timed = snapshot.is_timed();
        let now = if is_timed {
            published.clock.now()
        } else {
            Time::ORIGIN
        };
        let mut context = PickContext::new(now, fastrand::u64(..)).with_tried(&tried);
        self.show(seen, &mut context);
        if context.intent == Intent::Read {
            return true;
        }
        match pick(&snapshot, &context) {
            Verdict::Use(index) => {
                let chosen = snapshot.get(index).map(|(candidate, _)| &candidate.state);
                let same = chosen
                    .zip(lease)
                    .is_some_and(|(state, lease)| lease.is_of(state));
                // Among equals it may come out otherwise each time.
                same || snapshot.generation() == chosen_from
            }
            _ => false,
        }
    }

    /// Whether there is nothing to know of it.
    #[inline]
    pub(super) fn goes_straight(&self) -> bool {
        self.detours.is_none()
    }

    #[inline]
    fn found_nobody(&self) -> bool {
        let detours = self.detours.as_ref();
        detours.is_some_and(|detours| detours.found_nobody)
    }

    pub(super) fn attempts(&self) -> &[Attempt] {
        self.detours
            .as_ref()
            .map_or(&[], |detours| &detours.attempts)
    }

    pub(super) fn detours(&mut self) -> &mut Detours<Req> {
        self.detours.get_or_insert_default()
    }

    /// Whether an answer has sent it on.
    fn sent_on(&self) -> bool {
        let detours = self.detours.as_ref();
        detours.is_some_and(|detours| detours.sent_on.is_some())
    }

    /// Where those that are not to be asked again stand in this snapshot.
    #[inline]
    pub(super) fn tried_in<S>(&self, snapshot: &Snapshot<Reached<S>>) -> Tried {
        match &*self.detours {
            None => Tried::new(),
            Some(detours) => detours.tried_in(snapshot),
        }
    }
}

/// Asks the picker. Where somebody listens for that, the picker is asked why as well.
#[inline]
pub(super) fn pick<S>(snapshot: &Snapshot<Reached<S>>, context: &PickContext<'_>) -> Verdict {
    let verdict = snapshot.pick(context);
    if LevelFilter::current() >= LevelFilter::TRACE {
        tell(snapshot, context, verdict);
    }
    verdict
}

#[cold]
fn tell<S>(snapshot: &Snapshot<Reached<S>>, context: &PickContext<'_>, verdict: Verdict) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let mut explanation = Explanation::in_brief();
    snapshot.explain(context, &mut explanation);
    tracing::trace!(%explanation, ?verdict, "an endpoint is chosen");
}
