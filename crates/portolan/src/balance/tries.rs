//! What is noted of each endpoint that a request was with, and what that means for where it may go.

use std::sync::Arc;

use portolan_core::{
    Endpoint, EndpointState, InFlight, Index, PickContext, Pin, Placement, Verdict,
    policy::Redirect,
};

use super::{Journey, Published, detours::Asked, journey::pick};
use crate::{Attempt, BoxError, Error, ErrorKind, Kept, Lease, Misdirection, Sent, routing::Seen};

/// How many times as many endpoints may be tried as otherwise, where each tried at last could not be reached.
const MORE: usize = 3;

impl<Req> Journey<Req> {
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
}

/// The endpoint as it is told now: its UID may have been learnt since it was first seen. Looked up here
/// and not kept for each request, nearly none of which needs it.
fn known_as<S>(published: &Published<S>, state: &Arc<EndpointState>) -> Arc<Endpoint> {
    let snapshot = published.load();
    let mut candidates = snapshot.candidates().iter();
    let now = candidates.find(|one| Arc::ptr_eq(&one.state, state));
    Arc::clone(now.map_or(state.endpoint(), |one| &one.endpoint))
}
