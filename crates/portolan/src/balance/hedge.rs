//! The second try of one request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portolan_core::Time;
use tokio::time::Sleep;
use tower_service::Service;

use super::{Handle, Journey, Published};
use crate::{Duplicate, Lease, Protocol, hedge::Hedging};

/// What a request that may be hedged carries, from when it is sent until it is answered.
pub(super) struct Hedged<F, Req> {
    began: Time,
    /// Until a second try is made; nothing once that has been decided, or while too little is known.
    first_alone: Option<Pin<Box<Sleep>>>,
    duplicate: Option<Duplicate<Req>>,
    second: Option<Second<F>>,
}

struct Second<F> {
    response: Pin<Box<F>>,
    lease: Lease,
    /// Since when its endpoint had been there.
    since: u64,
}

/// What came of the second try, at an endpoint that had been there since then.
pub(super) struct Came<Res, Err> {
    pub(super) answer: Result<Res, Err>,
    pub(super) lease: Lease,
    pub(super) since: u64,
}

impl<F, Req> Hedged<F, Req> {
    /// For a request that is about to be sent; nothing where it is not to be hedged.
    pub(super) fn begin<S, P>(
        handle: &Handle<S, P>,
        idempotent: bool,
        request: &Req,
    ) -> Option<Self>
    where
        S: Service<Req, Future = F>,
        P: Protocol<Req, S>,
    {
        let published = &handle.published;
        let hedging = published.hedging.as_ref().filter(|_| idempotent)?;
        let delay = hedging.delay();
        Some(Self {
            began: published.clock.now(),
            duplicate: delay.and_then(|_| handle.protocol.duplicate(request)),
            first_alone: delay.map(|delay| Box::pin(published.sleep(delay))),
            second: None,
        })
    }

    /// The request has been answered.
    pub(super) fn end<S>(&self, published: &Published<S>) {
        if let Some(hedging) = &published.hedging {
            hedging.answered(published.clock.now().since(self.began));
        }
    }

    /// Whether there is a second try under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.second.is_some()
    }

    /// Makes the second try when its time has come, and sees what comes of it.
    pub(super) fn poll<S, P>(
        &mut self,
        cx: &mut Context<'_>,
        journey: &mut Journey<Req>,
        handle: &Handle<S, P>,
        first: Option<&Lease>,
    ) -> Poll<Came<S::Response, S::Error>>
    where
        S: Service<Req, Future = F> + Clone,
        F: Future<Output = Result<S::Response, S::Error>>,
        P: Protocol<Req, S>,
    {
        if let Some(alone) = &mut self.first_alone {
            // There are no timers any more, and nobody to go to besides.
            if handle.published.is_closed() {
                self.first_alone = None;
                return Poll::Pending;
            }
            if alone.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.first_alone = None;
            self.second = self.try_second(cx, journey, handle, first);
        }
        let Some(second) = &mut self.second else {
            return Poll::Pending;
        };
        let Poll::Ready(came) = second.response.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        let Some(Second { lease, since, .. }) = self.second.take() else {
            return Poll::Pending;
        };
        Poll::Ready(Came {
            answer: came,
            lease,
            since,
        })
    }

    fn try_second<S, P>(
        &mut self,
        cx: &mut Context<'_>,
        journey: &mut Journey<Req>,
        handle: &Handle<S, P>,
        first: Option<&Lease>,
    ) -> Option<Second<F>>
    where
        S: Service<Req, Future = F> + Clone,
        P: Protocol<Req, S>,
    {
        let published: &Arc<Published<S>> = &handle.published;
        let hedging: &Hedging = published.hedging.as_ref()?;
        let request = self.duplicate.take()?.make()?;
        let routing = handle.protocol.routing(&request);
        let (mut service, lease, since) = journey.another(published, routing.as_seen(), first?)?;
        // One that is not ready at once saves no time.
        let is_ready = matches!(service.poll_ready(cx), Poll::Ready(Ok(())));
        if !is_ready || !hedging.may() {
            let mut lease = lease;
            lease.excuse();
            return None;
        }
        drop(routing);
        tracing::debug!(
            service = %published.service, first = %first?.endpoint().placement(),
            second = %lease.endpoint().placement(), "a request takes long, and is tried elsewhere as well"
        );
        Some(Second {
            response: Box::pin(service.call(request)),
            lease,
            since,
        })
    }
}
