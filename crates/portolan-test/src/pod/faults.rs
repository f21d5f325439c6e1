//! Faults of one Pod, on a test's order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;

/// What a Pod does wrong.
#[derive(Debug, Default)]
pub(crate) struct PodFaults {
    hang: AtomicBool,
    stall: watch::Sender<bool>,
    orders: Mutex<Orders>,
    connections: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    slow: Duration,
    answer: Option<StatusCode>,
    reset_every: u64,
    reset_every_connection: u64,
}

/// What is to happen to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestFault {
    /// Serve it.
    None,
    /// Answer by this status instead of serving it.
    Answer(StatusCode),
    /// Reset the connection instead of answering.
    Reset,
}

impl PodFaults {
    pub(crate) fn is_hanging(&self) -> bool {
        self.hang.load(Ordering::Acquire)
    }

    pub(crate) fn set_hanging(&self, hang: bool) {
        self.hang.store(hang, Ordering::Release);
    }

    pub(crate) fn set_stalled(&self, stall: bool) {
        self.stall.send_replace(stall);
    }

    pub(crate) fn set_slow(&self, slow: Duration) {
        self.orders().slow = slow;
    }

    pub(crate) fn set_answer(&self, status: StatusCode) {
        self.orders().answer = Some(status);
    }

    pub(crate) fn set_reset_every(&self, nth: u64) {
        self.orders().reset_every = nth;
    }

    pub(crate) fn set_reset_every_connection(&self, nth: u64) {
        self.orders().reset_every_connection = nth;
    }

    pub(crate) fn clear(&self) {
        self.set_hanging(false);
        self.set_stalled(false);
        *self.orders() = Orders::default();
    }

    /// Waits until an answer may be given: for as long as it is late, and while the Pod is stalled.
    pub(crate) async fn until_answered(&self) {
        let slow = self.orders().slow;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let mut stalled = self.stall.subscribe();
        // The other side is gone only with the whole Pod.
        stalled.wait_for(|stalled| !stalled).await.ok();
    }

    /// Counts a connection that came in. Whether it is to be reset.
    pub(crate) fn begin_connection(&self) -> bool {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let nth = self.orders().reset_every_connection;
        nth > 0 && number.is_multiple_of(nth)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a request that came in and says what is to happen to it.
    pub(crate) fn begin_request(&self) -> (RequestFault, InFlight<'_>) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let orders = *self.orders();
        let fault = match orders.answer {
            _ if orders.reset_every > 0 && number.is_multiple_of(orders.reset_every) => {
                RequestFault::Reset
            }
            Some(status) => RequestFault::Answer(status),
            None => RequestFault::None,
        };
        (fault, InFlight { faults: self })
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    faults: &'a PodFaults,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.faults.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
