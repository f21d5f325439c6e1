//! What becomes of a request when an endpoint has answered it, or failed it.

use std::time::Duration;

use tower_service::Service;

use super::{
    Handle, Journey,
    again::{Again, fail, let_go, refused, take_up},
    extras::{Extras, hedge_of},
};
use crate::{Error, Lease, Protocol, seldom::Seldom};

/// What an answer, or a failure, leads to.
pub(super) enum Conclusion<Req, Response> {
    /// The answer, for whoever has asked.
    Answer(Response),
    /// It is sent again.
    Again(Again<Req>),
    /// It is with another endpoint already.
    Rest,
    End(Error),
}

/// An endpoint has answered, or failed, and it is not as simple as it nearly always is.
#[cold]
pub(super) fn conclude<S, P, Req>(
    journey: &mut Journey<Req>,
    handle: &Handle<S, P>,
    idempotent: bool,
    extras: &mut Seldom<Extras<S::Future, Req>>,
    lease: &mut Option<Lease>,
    answer: Result<S::Response, S::Error>,
) -> Conclusion<Req, P::Response>
where
    S: Service<Req> + Clone,
    P: Protocol<Req, S>,
{
    let published = &handle.published;
    let another_is_asked = hedge_of(extras).is_some_and(|hedge| hedge.is_under_way());
    let mut response = match answer {
        Ok(response) => response,
        Err(error) if another_is_asked => {
            return match let_go(journey, handle, error, lease.take()) {
                Ok(()) => Conclusion::Rest,
                Err(error) => Conclusion::End(error),
            };
        }
        Err(error) => {
            let failure = handle.protocol.fail(error);
            return match fail(journey, handle, idempotent, true, failure, lease) {
                Ok(again) => Conclusion::Again(again),
                Err(error) => Conclusion::End(error),
            };
        }
    };
    if let Some(lease) = lease {
        handle.protocol.hear(lease.endpoint(), &response);
    }
    if let Some(kept) = journey.take_kept()
        && let Some(told) = handle.protocol.told(&response)
    {
        match take_up(journey, published, &told, kept, lease) {
            Ok(Some(request)) => {
                if let Some(extras) = &mut **extras {
                    extras.hedge = None;
                }
                let pause = Duration::ZERO;
                return Conclusion::Again(Again { request, pause });
            }
            Ok(None) => {}
            Err(error) => return Conclusion::End(error),
        }
    }
    if idempotent {
        let left = extras.as_ref().and_then(|extras| extras.time_left());
        if another_is_asked && let Some(refusal) = handle.protocol.refusal(&response) {
            journey.put_aside(published, lease.take(), refusal.cause);
            return Conclusion::Rest;
        }
        if let Some(again) = refused(journey, handle, &mut response, lease, left) {
            return Conclusion::Again(again);
        }
    }
    if let Some(hedge) = hedge_of(extras) {
        hedge.end(published);
    }
    // With them goes the other try, where there is one.
    let permit = extras.take().and_then(|extras| extras.permit);
    match lease.take() {
        Some(mut lease) => {
            lease.hold(permit);
            Conclusion::Answer(handle.protocol.respond(response, lease))
        }
        None => Conclusion::End(journey.end(published)),
    }
}
