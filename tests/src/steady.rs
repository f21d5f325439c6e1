//! A load that does not wait: each request is sent when it is due, however long those before it take.
//!
//! [`Load`](crate::load::Load) has a few senders, each of which waits for its answer; so a Pod that hangs would slow the
//! load down, and hide how many requests it has in its hands. Here time is counted from when a request was due, so
//! that whatever keeps it from being sent counts as well.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use crate::failure::{Failure, Result};

/// No scenario takes longer; a load that is forgotten ends here.
const LONGEST: Duration = Duration::from_secs(120);
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// One more has failed before it was sent.
const MOST_IN_FLIGHT: usize = 8192;

/// A load that is being sent.
#[derive(Debug)]
pub struct Steady<T> {
    stop: oneshot::Sender<()>,
    sending: JoinHandle<Vec<Shot<T>>>,
    due: watch::Receiver<usize>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Shot<T> {
    /// When it was to be sent.
    pub due: Instant,
    /// How long after that there was an answer, or none.
    pub took: Duration,
    /// The answer, or why there was none.
    pub result: std::result::Result<T, Arc<str>>,
}

impl<T: Send + 'static> Steady<T> {
    /// Sends `rate` requests a second, each as `ask` says.
    #[must_use]
    pub fn start<F>(rate: u32, ask: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::result::Result<T, String>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let (count, due) = watch::channel(0);
        let sending = tokio::spawn(send(rate, ask, stopped, count));
        Self { stop, sending, due }
    }

    /// Waits until so many more requests have been due.
    ///
    /// # Errors
    /// If the load has ended by itself.
    pub async fn pass(&self, requests: usize) -> Result {
        let mut due = self.due.clone();
        let until = *due.borrow() + requests;
        due.wait_for(|due| *due >= until).await?;
        Ok(())
    }

    /// Stops, and waits for what is in flight.
    ///
    /// # Errors
    /// If a request panicked.
    pub async fn stop(self) -> Result<Vec<Shot<T>>> {
        // If it has ended by itself, all the better.
        let _ = self.stop.send(());
        let mut shots = self.sending.await?;
        shots.sort_by_key(|shot| shot.due);
        Ok(shots)
    }
}

async fn send<T, F>(
    rate: u32,
    ask: impl Fn() -> F,
    mut stopped: oneshot::Receiver<()>,
    count: watch::Sender<usize>,
) -> Vec<Shot<T>>
where
    T: Send + 'static,
    F: Future<Output = std::result::Result<T, String>> + Send + 'static,
{
    let began = Instant::now();
    let (mut shots, mut in_flight) = (Vec::new(), JoinSet::new());
    for nth in 0.. {
        let due = began + Duration::from_secs(1) * nth / rate.max(1);
        tokio::select! {
            () = sleep_until(due) => {}
            _ = &mut stopped => break,
        }
        if due - began > LONGEST {
            break;
        }
        count.send_modify(|count| *count += 1);
        if in_flight.len() >= MOST_IN_FLIGHT {
            let result = Err("too many are in flight".into());
            let took = due.elapsed();
            shots.push(Shot { due, took, result });
            continue;
        }
        let answer = timeout(PATIENCE, ask());
        in_flight.spawn(async move {
            let result = match answer.await {
                Ok(result) => result.map_err(Arc::from),
                Err(_) => Err("it was never answered".into()),
            };
            let took = due.elapsed();
            Shot { due, took, result }
        });
        while let Some(Ok(shot)) = in_flight.try_join_next() {
            shots.push(shot);
        }
    }
    shots.extend(in_flight.join_all().await);
    shots
}

/// What became of the requests of some time.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many there were.
    pub sent: usize,
    /// How many failed.
    pub failed: usize,
    /// Why the first of them did.
    pub failure: Option<Arc<str>>,
    /// How long the quicker half took, failures among them.
    pub p50: Duration,
    /// How long all but one in a hundred took.
    pub p99: Duration,
    /// How long the slowest took.
    pub max: Duration,
}

impl Outcome {
    /// Of those that were due in that time.
    #[must_use]
    pub fn of<T>(shots: &[Shot<T>], from: Instant, until: Instant) -> Self {
        let within = |shot: &&Shot<T>| shot.due >= from && shot.due < until;
        let shots: Vec<_> = shots.iter().filter(within).collect();
        let mut took: Vec<_> = shots.iter().map(|shot| shot.took).collect();
        took.sort_unstable();
        let at = |share: f64| {
            let place = (took.len() as f64 * share) as usize;
            let place = place.min(took.len().saturating_sub(1));
            took.get(place).copied().unwrap_or_default()
        };
        let failures: Vec<_> = shots
            .iter()
            .filter_map(|shot| shot.result.as_ref().err())
            .collect();
        Self {
            sent: shots.len(),
            failed: failures.len(),
            failure: failures.first().map(|first| Arc::clone(first)),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }

    /// Fails unless requests were sent and no more than so many failed.
    ///
    /// # Errors
    /// How many did, and why the first of them did.
    pub fn expect_failed_at_most(&self, most: usize) -> Result {
        if self.sent > 0 && self.failed <= most {
            return Ok(());
        }
        let failure = self.failure.as_deref().unwrap_or("none was sent");
        Err(Failure::new(format_args!(
            "{} of {} requests failed, not {most} at most: {failure}",
            self.failed, self.sent
        )))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, failed, .. } = self;
        write!(f, "{failed} of {sent} failed, p99 {}", Millis(self.p99))
    }
}

/// A time, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} ms", self.0.as_secs_f64() * 1e3))
    }
}
