//! Where requests are let in, one by one.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use portolan_core::{Time, admission::GradientLimit};
use tokio::{
    runtime::Handle,
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::{Sleep, sleep},
};

use super::{Admission, Limit, ShedReason};
use crate::clock::Clock;

/// Lets in as many as may be at once.
#[derive(Debug)]
pub(crate) struct Gate {
    settings: Admission,
    clock: Clock,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Nothing where the limit is fixed. Whoever finds it locked lets it be: it is about samples.
    adaptive: Option<Mutex<Adaptive>>,
    /// How many places are to vanish as they come free.
    owed: AtomicUsize,
}

#[derive(Debug)]
struct Adaptive {
    limit: GradientLimit,
    /// How many places there are, or will be once what is owed has vanished.
    given: usize,
    since: Time,
    took: Duration,
    samples: u32,
    most_in_flight: usize,
}

/// Over what time latencies are taken together, and how many it takes.
const WINDOW: Duration = Duration::from_millis(250);
const MIN_SAMPLES: u32 = 10;

impl Gate {
    pub(crate) fn new(settings: Admission, clock: Clock) -> Arc<Self> {
        let (given, limit) = match settings.limit {
            Limit::Fixed(limit) => (limit, None),
            Limit::Adaptive(gradient) => {
                let limit = GradientLimit::new(gradient);
                (limit.value() as usize, Some(limit))
            }
        };
        let adaptive = limit.map(|limit| {
            Mutex::new(Adaptive {
                limit,
                given,
                since: clock.now(),
                took: Duration::ZERO,
                samples: 0,
                most_in_flight: 0,
            })
        });
        Arc::new(Self {
            settings,
            clock,
            places: Arc::new(Semaphore::new(given)),
            waiting: AtomicUsize::new(0),
            adaptive,
            owed: AtomicUsize::new(0),
        })
    }

    /// A place, or one in the queue, or neither.
    pub(crate) fn enter(self: &Arc<Self>, runtime: Option<&Handle>) -> Entrance {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Entrance::Open(Some(self.let_in(place))),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let waiting = Waiting(Arc::clone(self));
                if before >= self.settings.queue {
                    return Entrance::Closed(ShedReason::QueueFull);
                }
                let here = Handle::try_current().ok();
                // Where nobody has a timer, nobody can wait.
                let Some(runtime) = runtime.or(here.as_ref()) else {
                    return Entrance::Closed(ShedReason::QueueFull);
                };
                let _entered = runtime.enter();
                Entrance::Queue(Box::new(Queued {
                    place: Box::pin(Arc::clone(&self.places).acquire_owned()),
                    patience: Box::pin(sleep(self.settings.patience)),
                    waiting,
                }))
            }
        }
    }

    /// How many are let in at once now.
    pub(crate) fn limit(&self) -> usize {
        match (&self.adaptive, self.settings.limit) {
            (Some(adaptive), _) => {
                adaptive
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .given
            }
            (None, Limit::Fixed(limit)) => limit,
            (None, Limit::Adaptive(_)) => 0,
        }
    }

    fn let_in(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Permit {
        if let Some(mut adaptive) = self.adaptive() {
            let in_flight = adaptive
                .given
                .saturating_sub(self.places.available_permits());
            adaptive.most_in_flight = adaptive.most_in_flight.max(in_flight);
        }
        Permit {
            began: self.clock.now(),
            was_answered: false,
            place: Some(place),
            gate: Arc::clone(self),
        }
    }

    /// What is found out, if nobody else is at it.
    fn adaptive(&self) -> Option<MutexGuard<'_, Adaptive>> {
        match self.adaptive.as_ref()?.try_lock() {
            Ok(adaptive) => Some(adaptive),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A request has ended. One that did not end well would have taken at least so long, and says nothing where that is
    /// less than others took: what fails fast is no reason to let in more.
    fn ended(&self, began: Time, well: bool) {
        let Some(mut adaptive) = self.adaptive() else {
            return;
        };
        let now = self.clock.now();
        let took = match well {
            true => now.since(began),
            false => now
                .since(began)
                .max(adaptive.limit.usual().unwrap_or_default()),
        };
        adaptive.took = adaptive.took.saturating_add(took);
        adaptive.samples += 1;
        if now.since(adaptive.since) < WINDOW || adaptive.samples < MIN_SAMPLES {
            return;
        }
        let mean = adaptive.took / adaptive.samples;
        let in_flight = u32::try_from(adaptive.most_in_flight).unwrap_or(u32::MAX);
        adaptive.limit.sample(mean, in_flight);
        (adaptive.since, adaptive.took, adaptive.samples) = (now, Duration::ZERO, 0);
        adaptive.most_in_flight = 0;
        let (before, limit) = (adaptive.given, adaptive.limit.value() as usize);
        adaptive.given = limit;
        drop(adaptive);
        self.change(before, limit);
    }

    fn change(&self, before: usize, limit: usize) {
        match limit.checked_sub(before) {
            Some(more) => {
                // What is owed is not, by so many. (In one step: places come back meanwhile.)
                let less = |owed: usize| Some(owed.saturating_sub(more));
                let was = self
                    .owed
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                let owed = was.unwrap_or_default();
                self.places.add_permits(more.saturating_sub(owed));
            }
            None => {
                let fewer = before - limit;
                let free = self.places.forget_permits(fewer);
                self.owed.fetch_add(fewer - free, Ordering::Relaxed);
            }
        }
    }

    fn leave(&self, place: OwnedSemaphorePermit) {
        let owed = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
                owed.checked_sub(1)
            });
        if owed.is_ok() {
            place.forget();
        }
    }
}

/// How a request comes in.
pub(crate) enum Entrance {
    /// It is in. (Empty once the permit has been taken.)
    Open(Option<Permit>),
    Queue(Box<Queued>),
    Closed(ShedReason),
}

impl Entrance {
    /// Whether it stands in the queue.
    pub(crate) fn is_queue(&self) -> bool {
        matches!(self, Self::Queue(_))
    }

    /// Waits for a place.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Permit>, ShedReason>> {
        match self {
            Self::Open(permit) => Poll::Ready(Ok(permit.take())),
            Self::Closed(reason) => Poll::Ready(Err(*reason)),
            Self::Queue(queued) => queued.poll(cx).map_ok(Some),
        }
    }
}

/// A request that waits for a place.
pub(crate) struct Queued {
    place: Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>,
    patience: Pin<Box<Sleep>>,
    waiting: Waiting,
}

impl Queued {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit, ShedReason>> {
        if let Poll::Ready(Ok(place)) = self.place.as_mut().poll(cx) {
            return Poll::Ready(Ok(self.waiting.0.let_in(place)));
        }
        ready!(self.patience.as_mut().poll(cx));
        Poll::Ready(Err(ShedReason::WaitedTooLong))
    }
}

struct Waiting(Arc<Gate>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    place: Option<OwnedSemaphorePermit>,
    began: Time,
    was_answered: bool,
}

impl Permit {
    /// The request was answered, and well: how long that took says how much there is to do.
    pub(crate) fn answered(&mut self) {
        if !std::mem::replace(&mut self.was_answered, true) {
            self.gate.ended(self.began, true);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.was_answered {
            self.gate.ended(self.began, false);
        }
        if let Some(place) = self.place.take() {
            self.gate.leave(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::admission::Gradient;

    use super::*;

    /// However often the limit goes down and up while places come back, none is lost and none is too many.
    #[test]
    fn places_that_come_back_while_the_limit_changes_are_counted_once() {
        let admission = Admission::adaptive(Gradient::new().with_range(8, 8));
        let gate = Gate::new(admission, Clock::start());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        let held: Vec<_> = (0..4).map(|_| gate.enter(None)).collect();
                        drop(held);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..1_000_000 {
                    gate.change(8, 1);
                    gate.change(1, 8);
                }
            });
        });
        assert_eq!(gate.owed.load(Ordering::Relaxed), 0);
        assert_eq!(gate.places.available_permits(), 8);
    }
}
