//! When connections are made that nobody waits for yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// How dials ahead of traffic wait for their turn, so that a hundred Pods that are restarted at once are not dialled at
/// once by all of their clients. A dial that a request waits for waits for nothing.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// For those that are under way, of all endpoints of a client.
    places: Arc<Semaphore>,
    /// In which time a new endpoint is dialled.
    spread: Duration,
    demand: Arc<Demand>,
}

/// Whether a request waits for a connection to this endpoint.
#[derive(Debug, Default)]
struct Demand {
    is_there: AtomicBool,
    raised: Notify,
}

/// The turn of one dial, until it is over.
pub(super) struct Turn {
    _place: Option<OwnedSemaphorePermit>,
    demand: Arc<Demand>,
}

impl Turns {
    pub(super) fn new(places: Arc<Semaphore>, spread: Duration) -> Self {
        Self {
            places,
            spread,
            demand: Arc::default(),
        }
    }

    /// A request waits for a connection.
    pub(super) fn hurry(&self) {
        if !self.demand.is_there.swap(true, Ordering::AcqRel) {
            self.demand.raised.notify_waiters();
        }
    }

    /// The turn of the first dial to a new endpoint.
    pub(super) async fn first(&self) -> Turn {
        if !self.spread.is_zero() {
            tokio::select! {
                () = self.demand.raised() => {}
                () = sleep(self.spread.mul_f64(fastrand::f64())) => {}
            }
        }
        self.next().await
    }

    /// The turn of another one. That of a dial is over within the connect timeout, so this ends.
    pub(super) async fn next(&self) -> Turn {
        let place = tokio::select! {
            biased;
            () = self.demand.raised() => None,
            // Nobody closes the semaphore.
            place = Arc::clone(&self.places).acquire_owned() => place.ok(),
        };
        Turn {
            _place: place,
            demand: Arc::clone(&self.demand),
        }
    }
}

impl Demand {
    async fn raised(&self) {
        let raised = self.raised.notified();
        tokio::pin!(raised);
        // Subscribe first, look afterwards: so no word falls between the two.
        raised.as_mut().enable();
        if !self.is_there.load(Ordering::Acquire) {
            raised.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Whoever waited knows by now, one way or the other.
        self.demand.is_there.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn new_endpoints_are_dialled_all_through_the_spread_and_at_once_where_a_request_waits() {
        let places = Arc::new(Semaphore::new(1000));
        let turns = || Turns::new(Arc::clone(&places), 10 * SECOND);
        let started = Instant::now();
        let waits = (0..1000).map(|_| {
            let turns = turns();
            async move {
                turns.first().await;
                started.elapsed().as_secs()
            }
        });
        let mut by_second = [0_usize; 10];
        for second in futures::future::join_all(waits).await {
            by_second[(second as usize).min(9)] += 1;
        }
        // 100 each are expected; 5 standard deviations are 47.
        assert!(
            by_second.iter().all(|count| (50..=150).contains(count)),
            "{by_second:?}"
        );

        let wanted = turns();
        let before = Instant::now();
        wanted.hurry();
        let turn = wanted.first().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        drop(turn);
        let waits = turns();
        let (_turn, ()) = tokio::join!(waits.first(), async {
            sleep(Duration::from_millis(1)).await;
            waits.hurry();
        });
        assert!(before.elapsed() < Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_under_way_than_there_are_places_but_for_those_that_requests_wait_for() {
        let places = Arc::new(Semaphore::new(2));
        let turns = || Turns::new(Arc::clone(&places), Duration::ZERO);
        let (first, _second) = (turns().next().await, turns().next().await);
        let third = turns();
        assert!(timeout(SECOND, third.next()).await.is_err());
        third.hurry();
        let hurried = timeout(SECOND, third.next()).await.expect("at once");
        drop(hurried);
        // It is over: the next one of this endpoint is as any other again.
        assert!(timeout(SECOND, third.next()).await.is_err());
        drop(first);
        assert!(timeout(SECOND, third.next()).await.is_ok());
    }
}
