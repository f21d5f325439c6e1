//! One request, from the pick to the response.
//!
//! Written by hand rather than as an async block, so that a request allocates nothing of its own:
//! only waiting does, which is rare.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;
use tracing::{
    Span,
    field::{self, Value},
    level_filters::LevelFilter,
};

use super::{
    Handle, Journey, Step, Waited,
    again::{Again, fail, let_go, not_ready},
    conclude::{Conclusion, conclude},
    extras::{Extras, hedge_of},
    hedge::Came,
};
use crate::{BoxError, Error, Lease, Protocol, Routing, routing::Seen, seldom::Seldom};

pin_project! {
    /// The response of a [`Balance`](super::Balance).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, P, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, S::Future>,
        // The hold on the endpoint that is chosen. It stays in one place while the state changes.
        lease: Option<Lease>,
        journey: Journey<Req>,
        // Whether the request may be sent again although it may have been processed.
        idempotent: bool,
        // Nothing where a request may take as long as it likes, and goes to one endpoint at a time.
        extras: Seldom<Extras<S::Future, Req>>,
        handle: Arc<Handle<S, P>>,
        // Nothing where nobody wants spans of its level.
        span: Seldom<Span>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, Req, F> {
        /// An endpoint is to be chosen.
        Pick { request: Option<Req> },
        /// There is none now.
        Wait { request: Option<Req>, change: Pin<Box<dyn Future<Output = Waited> + Send>> },
        /// It is to be sent again, and not at once.
        Pause { request: Option<Req>, over: Pin<Box<Sleep>> },
        /// One is chosen, and must say that it is ready.
        Ready {
            request: Option<Req>,
            service: S,
            // Of the snapshot that it was chosen from.
            generation: u64,
            patience: Option<Pin<Box<Sleep>>>,
        },
        /// The request is with it.
        Call { #[pin] response: F },
        /// It has failed the request, which is with another one already.
        Rest,
        Done,
    }
}

impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
    P: Protocol<Req, S>,
{
    #[inline]
    pub(super) fn new(handle: Arc<Handle<S, P>>, request: Req) -> Self {
        // A disabled span would be offered to the `log` crate on every entry and exit, since kube
        // switches tracing's `log` feature on.
        let span = Seldom::full_if(LevelFilter::current() >= LevelFilter::DEBUG, || {
            tracing::debug_span!(
                "request",
                service = %handle.published.service,
                endpoint = field::Empty,
                outcome = field::Empty,
            )
        });
        let published = &handle.published;
        Self {
            idempotent: handle.protocol.is_idempotent(&request),
            extras: Seldom::full_if(published.has_extras, || Extras::of(published)),
            state: State::Pick {
                request: Some(request),
            },
            lease: None,
            journey: Journey::default(),
            handle,
            span,
        }
    }
}

#[cfg(feature = "http")]
impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    /// Whether the endpoint that held the request's session is gone, and the session moves to whoever has answered.
    pub(crate) fn session_moves(&self) -> bool {
        self.journey.session_moves()
    }
}

#[cfg(feature = "grpc")]
impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    /// The request has had its time. Ends it, and holds it against the endpoint that it is with.
    pub(crate) fn give_up(self: Pin<&mut Self>) {
        let mut this = self.project();
        if let Some(mut lease) = this.lease.take() {
            lease.fail();
        }
        **this.extras = None;
        this.state.set(State::Done);
    }
}

impl<S, P, Req> Future for ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    P: Protocol<Req, S>,
{
    type Output = Result<P::Response, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.span.as_deref().map(Span::enter);
        let published = &this.handle.published;
        if let Some(extras) = &mut **this.extras
            && let Err(kind) = ready!(extras.poll(published, cx))
        {
            // Where the time is over, and one endpoint has had all of it, that is its failure. Whether it was the last one's
            // of several, nobody knows, and the lease counts what was waited.
            if let Some(mut lease) = this.lease.take()
                && this.journey.goes_straight()
            {
                lease.fail();
            }
            **this.extras = None;
            this.state.set(State::Done);
            let error = this.journey.error(published, kind);
            record_outcome(this.span.as_deref(), field::display(error.kind()));
            return Poll::Ready(Err(error));
        }
        loop {
            let turn = match this.state.as_mut().project() {
                StateProjection::Pick { request } => Turn::Next({
                    let next = {
                        let routing = routing(this.handle, request);
                        let seen = routing.as_seen();
                        this.journey.next(published, seen, this.lease)
                    };
                    match next {
                        Ok(Step::Go(mut service, generation)) => {
                            trace(this.span.as_deref(), this.lease.as_mut());
                            // Nearly every service is ready at once, and then is not put away first.
                            match service.poll_ready(cx) {
                                Poll::Ready(Ok(())) => {
                                    let Some(request) = request.take() else {
                                        break Err(this.journey.end(published));
                                    };
                                    if let Some(kept) = this.handle.protocol.keep(&request) {
                                        this.journey.keep(kept);
                                    }
                                    if let Some(extras) = &mut **this.extras {
                                        extras.begin(this.handle, *this.idempotent, &request);
                                    }
                                    let response = service.call(request);
                                    this.state.set(State::Call { response });
                                    continue;
                                }
                                Poll::Ready(Err(error)) => {
                                    let failure = not_ready(error, request);
                                    match fail(
                                        this.journey,
                                        this.handle,
                                        *this.idempotent,
                                        false,
                                        failure,
                                        this.lease,
                                    ) {
                                        Ok(again) => later(again, this.handle),
                                        Err(error) => break Err(error),
                                    }
                                }
                                Poll::Pending => State::Ready {
                                    request: request.take(),
                                    service,
                                    generation,
                                    patience: None,
                                },
                            }
                        }
                        Ok(Step::Wait(generation, deadline)) => State::Wait {
                            request: request.take(),
                            change: Box::pin(Arc::clone(published).wait(generation, deadline)),
                        },
                        Err(error) => break Err(error),
                    }
                }),
                StateProjection::Wait { request, change } => Turn::Next({
                    let how = ready!(change.as_mut().poll(cx));
                    let routing = routing(this.handle, request);
                    match this.journey.after(published, routing.as_seen(), how) {
                        Ok(()) => State::Pick {
                            request: request.take(),
                        },
                        Err(error) => break Err(error),
                    }
                }),
                StateProjection::Pause { request, over } => Turn::Next({
                    // Without timers it cannot be waited for.
                    if !published.is_closed() {
                        ready!(over.as_mut().poll(cx));
                    }
                    State::Pick {
                        request: request.take(),
                    }
                }),
                StateProjection::Ready {
                    request,
                    service,
                    generation,
                    patience,
                } => Turn::Next({
                    let failure = match service.poll_ready(cx) {
                        Poll::Ready(Ok(()))
                            if !this.journey.still_belongs_there(
                                published,
                                routing(this.handle, request).as_seen(),
                                this.lease.as_ref(),
                                *generation,
                            ) =>
                        {
                            if let Some(mut lease) = this.lease.take() {
                                lease.untrace();
                                lease.excuse();
                            }
                            if let Err(error) = this.journey.turned_away(published) {
                                break Err(error);
                            }
                            let request = request.take();
                            this.state.set(State::Pick { request });
                            continue;
                        }
                        Poll::Ready(Ok(())) => {
                            let Some(request) = request.take() else {
                                break Err(this.journey.end(published));
                            };
                            if let Some(kept) = this.handle.protocol.keep(&request) {
                                this.journey.keep(kept);
                            }
                            if let Some(extras) = &mut **this.extras {
                                extras.begin(this.handle, *this.idempotent, &request);
                            }
                            let response = service.call(request);
                            this.state.set(State::Call { response });
                            continue;
                        }
                        Poll::Ready(Err(error)) => not_ready(error, request),
                        Poll::Pending if published.is_closed() => {
                            let (seen, how) = (Seen::default(), Waited::Closed);
                            break Err(this.journey.waited_in_vain(published, seen, how));
                        }
                        Poll::Pending => {
                            let timeout = published.settings.ready_timeout;
                            let patience =
                                patience.get_or_insert_with(|| Box::pin(published.sleep(timeout)));
                            ready!(patience.as_mut().poll(cx));
                            not_ready(format!("it was not ready within {timeout:?}"), request)
                        }
                    };
                    match fail(
                        this.journey,
                        this.handle,
                        *this.idempotent,
                        false,
                        failure,
                        this.lease,
                    ) {
                        Ok(again) => later(again, this.handle),
                        Err(error) => break Err(error),
                    }
                }),
                StateProjection::Call { response } => {
                    let answer = match response.poll(cx) {
                        // As nearly all do.
                        Poll::Ready(Ok(response))
                            if this.extras.is_none()
                                && this.journey.goes_straight()
                                && !(*this.idempotent
                                    && published.retries.is_some()
                                    && this.handle.protocol.refusal(&response).is_some()) =>
                        {
                            let Some(lease) = this.lease.take() else {
                                break Err(this.journey.end(published));
                            };
                            this.handle.protocol.hear(lease.endpoint(), &response);
                            let response = this.handle.protocol.respond(response, lease);
                            this.state.set(State::Done);
                            return Poll::Ready(Ok(response));
                        }
                        Poll::Ready(answer) => answer,
                        Poll::Pending => {
                            let Some(hedge) = hedge_of(this.extras) else {
                                return Poll::Pending;
                            };
                            let first = this.lease.as_ref();
                            let Came {
                                answer,
                                lease,
                                since,
                            } = ready!(hedge.poll(cx, this.journey, this.handle, first));
                            let since_first = this.journey.turn_to(since);
                            match answer {
                                Ok(answer) => {
                                    if let Some(refusal) = this.handle.protocol.refusal(&answer) {
                                        // The first may do better.
                                        let cause = refusal.cause;
                                        this.journey.put_aside(published, Some(lease), cause);
                                        this.journey.turn_to(since_first);
                                        return Poll::Pending;
                                    }
                                    // The first lease ends as that of a request which was cancelled.
                                    *this.lease = Some(lease);
                                    trace(this.span.as_deref(), this.lease.as_mut());
                                    Ok(answer)
                                }
                                Err(error) => {
                                    match let_go(this.journey, this.handle, error, Some(lease)) {
                                        Ok(()) => {
                                            this.journey.turn_to(since_first);
                                            return Poll::Pending;
                                        }
                                        Err(error) => break Err(error),
                                    }
                                }
                            }
                        }
                    };
                    Turn::Over(answer)
                }
                StateProjection::Rest => {
                    let Some(hedge) = hedge_of(this.extras) else {
                        break Err(this.journey.end(published));
                    };
                    let Came {
                        answer,
                        lease,
                        since,
                    } = ready!(hedge.poll(cx, this.journey, this.handle, None));
                    this.journey.turn_to(since);
                    *this.lease = Some(lease);
                    if answer.is_ok() {
                        trace(this.span.as_deref(), this.lease.as_mut());
                    }
                    Turn::Over(answer)
                }
                // Polled after it was done. There is no right answer, and a panic is a wrong one.
                StateProjection::Done => return Poll::Pending,
            };
            let next = match turn {
                Turn::Next(next) => next,
                Turn::Over(answer) => match conclude(
                    this.journey,
                    this.handle,
                    *this.idempotent,
                    this.extras,
                    this.lease,
                    answer,
                ) {
                    Conclusion::Answer(response) => {
                        this.state.set(State::Done);
                        return Poll::Ready(Ok(response));
                    }
                    Conclusion::Again(again) => later(again, this.handle),
                    Conclusion::Rest => State::Rest,
                    Conclusion::End(error) => break Err(error),
                },
            };
            this.state.set(next);
        }
        .inspect_err(|error| {
            record_outcome(this.span.as_deref(), field::display(error.kind()));
            **this.extras = None;
            this.state.set(State::Done);
        })
        .into()
    }
}

/// What of the request decides who serves it.
#[inline]
fn routing<'r, S, P, Req>(handle: &'r Handle<S, P>, request: &'r Option<Req>) -> Routing<'r>
where
    S: Service<Req>,
    P: Protocol<Req, S>,
{
    let request = request.as_ref();
    request.map_or(Routing::new(), |request| handle.protocol.routing(request))
}

/// What one look at a request comes to.
enum Turn<Next, Answer> {
    /// It goes on like this.
    Next(Next),
    /// An endpoint has answered it, or failed it, and what that means is to be seen.
    Over(Answer),
}

/// What comes next for a request that is sent again.
fn later<S, P, Req>(again: Again<Req>, handle: &Handle<S, P>) -> State<S, Req, S::Future>
where
    S: Service<Req>,
{
    let request = Some(again.request);
    match again.pause.is_zero() {
        true => State::Pick { request },
        false => State::Pause {
            request,
            over: Box::pin(handle.published.sleep(again.pause)),
        },
    }
}

// A span that nobody listens to still looks its fields up by name before it records nothing.

fn record_outcome(span: Option<&Span>, outcome: impl Value) {
    if let Some(span) = span.filter(|span| !span.is_disabled()) {
        span.record("outcome", outcome);
    }
}

/// How the request ends is for the lease to say: the protocol tells it, with the answer or after it.
fn trace(span: Option<&Span>, lease: Option<&mut Lease>) {
    if let (Some(span), Some(lease)) = (span.filter(|span| !span.is_disabled()), lease) {
        lease.trace(span.clone());
    }
}

impl<S, P, Req> fmt::Debug for ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("service", &self.handle.published.service)
            .field("journey", &self.journey)
            .finish_non_exhaustive()
    }
}
