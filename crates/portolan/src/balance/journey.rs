//! The way of one request: where it has been, and where it may go next.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use portolan_core::{
    Endpoint, EndpointState, Explanation, Freshness, InFlight, Index, Intent, PickContext, Pin,
    Placement, Reason, Snapshot, SourceErrorKind, Time, Tried, Verdict, policy::Redirect,
};
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

use super::{
    detours::{Asked, Detours, Left},
    published::{Published, Reached, Waited},
};
use crate::{
    Attempt, BoxError, Error, ErrorKind, Kept, Lease, Misdirection, Sent, routing::Seen,
    seldom::Seldom, session::Session,
};

/// What is known of a request besides itself. A request whose first try succeeds, as nearly all do,
/// allocates nothing for it, and carries a pointer of it from place to place.
pub(crate) struct Journey<Req> {
    pub(super) detours: Seldom<Detours<Req>>,
    /// Since when the endpoint that was chosen last had been there.
    since: u64,
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

/// How many times as many endpoints may be tried as otherwise, where each tried at last could not be reached.
const MORE: usize = 3;

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

    /// Notes that the endpoint for which the request waited is not the right one any more. `Err` where that has
    /// happened as often as endpoints may be tried.
    pub(crate) fn turned_away<S>(&mut self, published: &Published<S>) -> Result<(), Error> {
        let detours = self.detours();
        detours.turned_away += 1;
        match detours.turned_away >= published.settings.max_attempts {
            true => Err(self.end(published)),
            false => Ok(()),
        }
    }

    /// Notes that an endpoint did not take the request. Whether another may be asked is for the
    /// caller to know; `Err` where there have been too many already.
    pub(crate) fn failed<S>(
        &mut self,
        published: &Published<S>,
        state: Arc<EndpointState>,
        sent: Sent,
        cause: BoxError,
    ) -> Result<(), Error> {
        tracing::debug!(
            service = %published.service, endpoint = %state.endpoint().placement(), ?sent, %cause,
            "an endpoint did not take a request"
        );
        if sent == Sent::Unreachable {
            published.report_unreachable(&state);
        }
        let endpoint = known_as(published, &state);
        let asked = Asked {
            state,
            endpoint: Arc::clone(&endpoint),
            sent,
            answered: false,
            since: self.since,
        };
        let detours = self.detours();
        detours.times_sent += usize::from(sent == Sent::Maybe);
        detours.attempts.push(Attempt::new(endpoint, sent, cause));
        detours.asked.push(asked);
        detours.nobody_else = false;
        // Whoever it was sent on to did not take it: the policy may know better by now.
        detours.sent_on = None;
        // It has not been waiting, it has been with this endpoint. There are so many waits at most as
        // there are attempts.
        if detours.more == 0 {
            detours.waiting = None;
        }
        let max = published.settings.max_attempts;
        if detours.attempts.len() < max + detours.more {
            return Ok(());
        }
        // Where so many are away at once, the client may not have heard of it yet. So the request waits, as it does where
        // nobody is there, and tries one more with each change.
        let mut attempts = detours.attempts.iter();
        let found_nobody = sent != Sent::Maybe && attempts.any(|one| one.sent == Sent::Unreachable);
        if !found_nobody || detours.more >= MORE * max {
            return Err(self.end(published));
        }
        detours.found_nobody = true;
        Ok(())
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

    /// Notes that an endpoint has answered that it cannot serve the request, which is to be sent again.
    pub(super) fn put_aside<S>(
        &mut self,
        published: &Published<S>,
        lease: Option<Lease>,
        cause: BoxError,
    ) {
        let Some(mut lease) = lease else {
            return;
        };
        lease.untrace();
        lease.fail_by_response();
        let state = lease.into_state();
        tracing::debug!(
            service = %published.service, endpoint = %state.endpoint().placement(), %cause,
            "an endpoint cannot serve a request"
        );
        let endpoint = known_as(published, &state);
        let sent = Sent::Maybe;
        let asked = Asked {
            state,
            endpoint: Arc::clone(&endpoint),
            sent,
            answered: true,
            since: self.since,
        };
        let detours = self.detours();
        detours.times_sent += 1;
        detours.attempts.push(Attempt::new(endpoint, sent, cause));
        detours.asked.push(asked);
        detours.nobody_else = false;
        detours.sent_on = None;
        detours.waiting = None;
    }

    /// Another endpoint than the first one, which has the request, for a second try; nothing where the policy has
    /// nobody at once.
    pub(super) fn another<S: Clone>(
        &mut self,
        published: &Published<S>,
        seen: Seen<'_>,
        first: &Lease,
    ) -> Option<(S, Lease, u64)> {
        // Both may fail, and count.
        if self.attempts().len() + 2 > published.settings.max_attempts {
            return None;
        }
        let snapshot = published.load();
        let mut tried = self.tried_in(&snapshot);
        let list = snapshot.candidates().as_slice();
        let of_first = list.iter().position(|one| first.is_of(&one.state))?;
        tried.insert(Index::new(u32::try_from(of_first).ok()?));
        let now = published.clock.now();
        let mut context = PickContext::new(now, fastrand::u64(..)).with_tried(&tried);
        self.show(seen, &mut context);
        let Verdict::Use(index) = pick(&snapshot, &context) else {
            return None;
        };
        let (candidate, reached) = snapshot.get(index).filter(|_| !tried.contains(index))?;
        let limit = published.settings.max_in_flight_per_endpoint;
        let in_flight = InFlight::try_begin(&candidate.state, limit)?;
        let lease = Lease::new(in_flight, Some(now), published.clock);
        Some((reached.service.clone(), lease, reached.since))
    }

    /// Goes on with the try at an endpoint that had been there since then. Since when the former one had been.
    pub(super) fn turn_to(&mut self, since: u64) -> u64 {
        std::mem::replace(&mut self.since, since)
    }

    /// How often it was sent to an endpoint that may have processed it.
    pub(crate) fn times_sent(&self) -> usize {
        let detours = self.detours.as_ref();
        detours.map_or(0, |detours| detours.times_sent)
    }

    /// Keeps something to send the request once more from, where redirects are followed.
    pub(crate) fn keep(&mut self, kept: Kept<Req>) {
        self.detours().kept = Some(kept);
    }

    /// What was kept.
    #[inline]
    pub(crate) fn take_kept(&mut self) -> Option<Kept<Req>> {
        self.detours.as_mut()?.kept.take()
    }

    /// The next endpoint is this one, and no other.
    pub(crate) fn send_on(&mut self, to: Placement) {
        self.detours().sent_on = Some(Pin::Placement(to));
    }

    /// An answer says that the request belongs elsewhere: whither, if it may be followed.
    pub(crate) fn redirected<S>(
        &mut self,
        published: &Published<S>,
        redirect: &Redirect,
        by: Option<Placement>,
        hops: usize,
    ) -> Result<Placement, Error> {
        let snapshot = published.load();
        let destination = redirect.destination(snapshot.membership()).cloned();
        let detours = self.detours();
        detours.hops += 1;
        // It has been answered, and not waited for anybody.
        detours.waiting = None;
        detours.sent_on = None;
        let because = match destination {
            Some(to) if detours.hops <= hops => return Ok(to),
            Some(_) => Misdirection::TooManyHops,
            None => Misdirection::Stranger,
        };
        let to = redirect.to_string();
        let by = by.map(|by| by.to_string()).unwrap_or_default();
        Err(self.error(published, ErrorKind::Misdirected { by, to, because }))
    }

    /// Every endpoint has been tried, and the request may be sent again nevertheless, or it would
    /// not be here.
    ///
    /// It waits for the next change: for another endpoint, be it a Pod's next incarnation, or for one
    /// that has been away and comes back. Where there is one endpoint only, and it broke off
    /// before it got the request, that one is tried once more first: it closed a connection and no more,
    /// or it is found to be out of reach.
    fn next_round<S: Clone>(
        &mut self,
        published: &Published<S>,
        snapshot: &Snapshot<Reached<S>>,
        seen: Seen<'_>,
        lease: &mut Option<Lease>,
    ) -> Result<Step<S>, Error> {
        let detours = self.detours();
        // Who answers is there, and may do so better the next time. How often, the rules for retries say.
        if detours.asked.iter().any(|one| one.answered) {
            detours.asked.retain(|one| !one.answered);
            return self.next(published, seen, lease);
        }
        let broke_off = matches!(&*detours.attempts, [only] if only.sent == Sent::No);
        // A policy that says of nobody that all have been tried must not be asked for ever.
        if broke_off && !detours.asked.is_empty() {
            detours.asked.clear();
            return self.next(published, seen, lease);
        }
        // Those that may have got the request, and have been away since, are not too bad now.
        if !std::mem::replace(&mut detours.nobody_else, true) {
            return self.next(published, seen, lease);
        }
        self.wait(published, snapshot, seen, lease, None)
    }

    fn wait<S: Clone>(
        &mut self,
        published: &Published<S>,
        snapshot: &Snapshot<Reached<S>>,
        seen: Seen<'_>,
        lease: &mut Option<Lease>,
        limit: Option<Duration>,
    ) -> Result<Step<S>, Error> {
        let known = match snapshot.freshness() {
            Freshness::Pending => false,
            // The question itself is wrong: time does not mend it.
            Freshness::Stale { error, .. } if error.kind() == SourceErrorKind::Invalid => {
                return Err(self.error(published, ErrorKind::Discovery));
            }
            _ => true,
        };
        let session = self.session(seen);
        let now = Instant::now();
        let detours = self.detours();
        let since = *detours.waiting.get_or_insert(now);
        // Whoever is there after the wait is asked in the same order: first those who were not yet.
        detours.nobody_else = false;
        // The limit is not the same before and after the source's first word. One beyond what the
        // clock can say is a day, which is as good as for ever.
        let mut limit = limit.unwrap_or_else(|| published.settings.wait.limit(known));
        if known && let Some(session) = session {
            // A source that fails may have missed that it is back.
            let is_live = matches!(snapshot.freshness(), Freshness::Live);
            let may_return = !is_live || snapshot.may_return(session.pin());
            limit = session.waits(limit, may_return);
        }
        let day = Duration::from_secs(86_400);
        let deadline = since.checked_add(limit).unwrap_or(since + day);
        if deadline > now {
            return Ok(Step::Wait(snapshot.generation(), deadline));
        }
        if known && session.is_some_and(Session::moves) {
            // It has waited for that endpoint, which counts where it must wait for anybody, too.
            detours.left_session = Some(Left::Gone);
            return self.next(published, seen, lease);
        }
        Err(self.waited_in_vain(published, seen, Waited::TimedOut))
    }

    /// Whether the endpoint that held its session is gone, and the session moves.
    #[cfg(feature = "http")]
    pub(super) fn session_moves(&self) -> bool {
        let detours = self.detours.as_ref();
        detours.is_some_and(|detours| detours.left_session == Some(Left::Gone))
    }

    /// What comes after a wait: another choice, or the end.
    pub(crate) fn after<S>(
        &mut self,
        published: &Published<S>,
        seen: Seen<'_>,
        how: Waited,
    ) -> Result<(), Error> {
        match how {
            Waited::Changed => {
                if let Some(detours) = &mut *self.detours
                    && std::mem::take(&mut detours.found_nobody)
                {
                    detours.more += 1;
                }
                Ok(())
            }
            // Whether it goes on elsewhere is for the next choice to say.
            Waited::TimedOut if self.session(seen).is_some() => Ok(()),
            // There is no room to wait for its endpoint in, and it can go elsewhere.
            Waited::Crowded if self.session(seen).is_some_and(Session::moves) => {
                self.detours().left_session = Some(Left::Gone);
                Ok(())
            }
            how => Err(self.waited_in_vain(published, seen, how)),
        }
    }

    pub(super) fn attempts(&self) -> &[Attempt] {
        self.detours
            .as_ref()
            .map_or(&[], |detours| &detours.attempts)
    }

    fn detours(&mut self) -> &mut Detours<Req> {
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
fn pick<S>(snapshot: &Snapshot<Reached<S>>, context: &PickContext<'_>) -> Verdict {
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

/// The endpoint as it is told now: its UID may have been learnt since it was first seen. Looked up here
/// and not kept for each request, nearly none of which needs it.
fn known_as<S>(published: &Published<S>, state: &Arc<EndpointState>) -> Arc<Endpoint> {
    let snapshot = published.load();
    let mut candidates = snapshot.candidates().iter();
    let now = candidates.find(|one| Arc::ptr_eq(&one.state, state));
    Arc::clone(now.map_or(state.endpoint(), |one| &one.endpoint))
}
