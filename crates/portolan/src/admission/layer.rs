//! Admission as a tower layer of its own.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Admission, Entrance, Gate, Permit, ShedReason};
use crate::clock::Clock;

/// Lets in as many requests as may be at once, whichever of its services they are for. It comes from
/// [`Admission::layer`].
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    gate: Arc<Gate>,
}

impl AdmissionLayer {
    pub(super) fn new(settings: Admission) -> Self {
        Self {
            gate: Gate::new(settings, Clock::start()),
        }
    }

    /// How many requests are let in at once now: where that is found out, it changes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.gate.limit()
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted {
            inner,
            gate: Arc::clone(&self.gate),
        }
    }
}

/// A service that gets as many requests as are let in.
///
/// A request takes the service as it is when it is called, so the service must be ready then, as tower has it; it waits
/// in the queue of the layer, not in `poll_ready`, where it would block those that could be let in elsewhere.
#[derive(Clone, Debug)]
pub struct Admitted<S> {
    inner: S,
    gate: Arc<Gate>,
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError<E> {
    /// It was not let in, and nothing was sent.
    #[error("{0}")]
    Shed(ShedReason),
    /// The service failed.
    #[error(transparent)]
    Service(E),
}

impl<S, Req> Service<Req> for Admitted<S>
where
    S: Service<Req> + Clone,
{
    type Response = S::Response;
    type Error = AdmissionError<S::Error>;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(AdmissionError::Service)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let next = self.inner.clone();
        // The one that was ready is the one that is called.
        let ready = std::mem::replace(&mut self.inner, next);
        ResponseFuture {
            state: State::Waits {
                entrance: self.gate.enter(None),
                waits: Some((ready, request)),
            },
            permit: None,
        }
    }
}

pin_project! {
    /// The response of an [`Admitted`].
    ///
    /// # Cancel safety
    /// Dropping it gives its place free.
    pub struct ResponseFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, S::Future>,
        permit: Option<Permit>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, Req, F> {
        Waits { entrance: Entrance, waits: Option<(S, Req)> },
        Calls { #[pin] response: F },
    }
}

impl<S, Req> Future for ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    type Output = Result<S::Response, AdmissionError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let response = match this.state.as_mut().project() {
                StateProjection::Waits { entrance, waits } => {
                    *this.permit = ready!(entrance.poll(cx)).map_err(AdmissionError::Shed)?;
                    // Polled after it ended. There is no right answer.
                    let Some((mut service, request)) = waits.take() else {
                        return Poll::Pending;
                    };
                    service.call(request)
                }
                StateProjection::Calls { response } => {
                    let answer = ready!(response.poll(cx)).map_err(AdmissionError::Service);
                    if let (Ok(_), Some(mut permit)) = (&answer, this.permit.take()) {
                        permit.answered();
                    }
                    return Poll::Ready(answer);
                }
            };
            this.state.set(State::Calls { response });
        }
    }
}

impl<S, Req> fmt::Debug for ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("let_in", &self.permit.is_some())
            .finish_non_exhaustive()
    }
}
