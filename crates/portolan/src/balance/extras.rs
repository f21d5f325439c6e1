//! What few requests have besides: a deadline, a second try, a place among those that are let in.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};
use tower_service::Service;

use super::{Handle, Published, hedge::Hedged};
use crate::{
    ErrorKind, Protocol,
    admission::{Entrance, Permit},
    seldom::Seldom,
};

/// What few requests need besides.
pub(super) struct Extras<F, Req> {
    deadline: Option<Pin<Box<Sleep>>>,
    pub(super) hedge: Option<Hedged<F, Req>>,
    /// Where it is to be let in; nothing once it is.
    entrance: Option<Entrance>,
    pub(super) permit: Option<Permit>,
}

impl<F, Req> Extras<F, Req> {
    #[cold]
    pub(super) fn of<S>(published: &Published<S>) -> Self {
        let retries = published.retries.as_ref();
        let deadline = retries.and_then(|retries| retries.deadline());
        Self {
            deadline: deadline.map(|deadline| Box::pin(published.sleep(deadline))),
            hedge: None,
            entrance: published
                .gate
                .as_ref()
                .map(|gate| gate.enter(Some(&published.runtime))),
            permit: None,
        }
    }

    /// Whether the time for the whole request is over.
    fn has_passed<S>(&mut self, published: &Published<S>, cx: &mut Context<'_>) -> bool {
        let deadline = self.deadline.as_mut();
        deadline.is_some_and(|deadline| match published.is_closed() {
            // Nobody wakes for it, but whoever looks sees it.
            true => Instant::now() >= deadline.deadline(),
            false => deadline.as_mut().poll(cx).is_ready(),
        })
    }

    /// What is left of the time for the whole request.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline.as_ref()?.deadline();
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits until the request is let in. `Err` where it is not, or its time is over.
    #[cold]
    pub(super) fn poll<S>(
        &mut self,
        published: &Published<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ErrorKind>> {
        if self.has_passed(published, cx) {
            return Poll::Ready(Err(ErrorKind::DeadlineExceeded));
        }
        if let Some(entrance) = &mut self.entrance {
            if entrance.is_queue() && published.is_closed() {
                return Poll::Ready(Err(ErrorKind::Closed));
            }
            self.permit = ready!(entrance.poll(cx)).map_err(ErrorKind::Shed)?;
            self.entrance = None;
        }
        Poll::Ready(Ok(()))
    }

    /// The request is about to be sent.
    pub(super) fn begin<S, P>(&mut self, handle: &Handle<S, P>, idempotent: bool, request: &Req)
    where
        S: Service<Req, Future = F>,
        P: Protocol<Req, S>,
    {
        self.hedge = Hedged::begin(handle, idempotent, request);
    }
}

/// The second try, where there may be one.
pub(super) fn hedge_of<F, Req>(extras: &mut Seldom<Extras<F, Req>>) -> Option<&mut Hedged<F, Req>> {
    extras.as_mut()?.hedge.as_mut()
}
