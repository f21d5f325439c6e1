//! Whether a request goes on after an endpoint has not served it.

use std::{sync::Arc, time::Duration};

use portolan_core::{EndpointState, policy::Learnt};
use tower_service::Service;

use super::{Handle, Journey, Published};
use crate::{
    BoxError, Culprit, Error, Failure, Kept, Lease, Protocol, Sent, Told,
    retry::{NotRetried, Pushback},
};

/// A request that is to be sent again.
pub(super) struct Again<Req> {
    pub(super) request: Req,
    /// How long to wait first.
    pub(super) pause: Duration,
}

/// The endpoint chosen does not take the request. Nothing was sent: the request is still here, and
/// another endpoint may have it.
pub(super) fn not_ready<Req>(
    cause: impl Into<BoxError>,
    request: &mut Option<Req>,
) -> Failure<Req> {
    Failure::new(cause)
        .with_sent(Sent::No)
        .with_request(request.take())
}

/// An endpoint has failed the request; `was_asked` is whether it had been given it. Gives the request back where another
/// endpoint may have it.
pub(super) fn fail<S, P, Req>(
    journey: &mut Journey<Req>,
    handle: &Handle<S, P>,
    idempotent: bool,
    was_asked: bool,
    failure: Failure<Req>,
    lease: &mut Option<Lease>,
) -> Result<Again<Req>, Error> {
    let Failure {
        sent,
        request,
        culprit,
        cause,
    } = failure;
    let published = &handle.published;
    if let Some(lease) = lease.take() {
        let state = blame(lease, culprit, sent);
        journey.failed(published, state, sent, cause)?;
    }
    let allowed = match sent {
        Sent::Unreachable | Sent::No => published.settings.retry_unsent,
        Sent::Maybe => idempotent,
    };
    let Some(request) = request.filter(|_| allowed) else {
        return Err(journey.end(published));
    };
    let pause = match &published.retries {
        // Nobody was bothered by a request that found nobody.
        Some(retries) if was_asked && sent != Sent::Unreachable => {
            match retries.next(journey.times_sent(), Pushback::Unsaid) {
                Ok(pause) => pause,
                Err(why) => return Err(journey.end(published).with_not_retried(why)),
            }
        }
        _ => Duration::ZERO,
    };
    Ok(Again { request, pause })
}

/// An endpoint has failed a request that another one has as well. `Err` where there have been too many.
pub(super) fn let_go<S, P, Req>(
    journey: &mut Journey<Req>,
    handle: &Handle<S, P>,
    error: S::Error,
    lease: Option<Lease>,
) -> Result<(), Error>
where
    S: Service<Req>,
    P: Protocol<Req, S>,
{
    let Failure {
        sent,
        culprit,
        cause,
        ..
    } = handle.protocol.fail(error);
    match lease {
        Some(lease) => {
            let state = blame(lease, culprit, sent);
            journey.failed(&handle.published, state, sent, cause)
        }
        None => Ok(()),
    }
}

/// Holds a failure against the endpoint, where it was its own.
fn blame(mut lease: Lease, culprit: Culprit, sent: Sent) -> Arc<EndpointState> {
    lease.untrace();
    match culprit {
        Culprit::Endpoint if sent == Sent::Unreachable => lease.fail_to_reach(),
        Culprit::Endpoint => lease.fail(),
        Culprit::Caller => lease.excuse(),
    }
    lease.into_state()
}

/// An endpoint has answered. Gives the request back where the answer says that the endpoint cannot serve it now, and
/// another one may be asked in the time that is left.
#[inline]
pub(super) fn refused<S, P, Req>(
    journey: &mut Journey<Req>,
    handle: &Handle<S, P>,
    response: &mut S::Response,
    lease: &mut Option<Lease>,
    time_left: Option<Duration>,
) -> Option<Again<Req>>
where
    S: Service<Req>,
    P: Protocol<Req, S>,
{
    let retries = handle.published.retries.as_ref()?;
    let refusal = handle.protocol.refusal(response)?;
    let is_last = journey.attempts().len() + 1 >= handle.published.settings.max_attempts;
    let next = match is_last {
        true => Err(NotRetried::TriesSpent),
        false => retries.next(journey.times_sent() + 1, refusal.pushback),
    };
    let pause = match next {
        Ok(pause) => pause,
        Err(why) => {
            tracing::debug!(
                service = %handle.published.service, ?why, "an answer that may be retried stands"
            );
            return None;
        }
    };
    // An answer is better than none in time.
    if time_left.is_some_and(|left| pause >= left) {
        retries.put_back();
        return None;
    }
    // Last, for it ends what may still be sent of the body, and an answer that stands needs that to be whole.
    let Some(request) = handle.protocol.again(response) else {
        retries.put_back();
        return None;
    };
    journey.put_aside(&handle.published, lease.take(), refusal.cause);
    Some(Again { request, pause })
}

/// Takes up what an answer says of where the request belongs. Gives the request back where it is to be sent there.
pub(super) fn take_up<S, Req>(
    journey: &mut Journey<Req>,
    published: &Published<S>,
    told: &Told,
    mut kept: Kept<Req>,
    lease: &mut Option<Lease>,
) -> Result<Option<Req>, Error> {
    let (redirect, again) = match told {
        Told::NextTime(redirect) => (redirect, None),
        Told::Elsewhere(redirect) => (redirect, kept.again()),
    };
    let follow = kept.follow();
    let Some(request) = again else {
        let snapshot = published.load();
        if let Some(to) = redirect.destination(snapshot.membership()) {
            follow.learn(kept.key(), redirect, to);
        }
        return Ok(None);
    };
    // It has answered, and has no more to do with the request.
    let by = lease.take().map(|mut lease| {
        lease.untrace();
        lease.succeed();
        lease.endpoint().placement().clone()
    });
    let to = journey.redirected(published, redirect, by, follow.hops())?;
    // What is out of date is not followed: the policy knows of something newer.
    if follow.learn(kept.key(), redirect, &to) != Learnt::Outdated {
        journey.send_on(to);
    }
    Ok(Some(request))
}
