//! The task that checks one endpoint.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Settings,
    answer::Answer,
    asker::{Asker, Poll},
    health::Record,
    tally::Tally,
};
use crate::Endpoint;

/// Checks an endpoint until it is dropped.
#[derive(Debug)]
pub(crate) struct Monitor(AbortHandle);

impl Monitor {
    pub(super) fn start(rounds: Rounds, asker: Asker) -> Self {
        Self(tokio::spawn(rounds.run(asker)).abort_handle())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All that is needed for checking one endpoint again and again.
pub(super) struct Rounds {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) settings: Settings,
    pub(super) places: Arc<Semaphore>,
    pub(super) tally: Arc<Tally>,
    pub(super) record: Arc<Record>,
}

/// Of an interval, in which an endpoint that is not trusted is asked for the first time.
const FIRST_PART: f64 = 0.1;

impl Rounds {
    async fn run(self, asker: Asker) {
        let part = match self.settings.trusts_new {
            true => 1.0,
            false => FIRST_PART,
        };
        sleep(self.part_of_interval(part * fastrand::f64())).await;
        match asker {
            Asker::Polls(poll) => self.poll(poll).await,
            #[cfg(feature = "grpc")]
            Asker::Watches(watcher) => {
                let poll = watcher.follow(&self).await;
                self.poll(poll).await;
            }
        }
    }

    async fn poll(&self, poll: Poll) {
        loop {
            let place = self.place().await;
            let started = Instant::now();
            let answer = self.in_time(poll()).await;
            drop(place);
            self.hear(&answer);
            #[cfg(feature = "grpc")]
            if let Answer::Unknown(_) = answer {
                return;
            }
            self.pause(started).await;
        }
    }

    /// Waits for the next turn of an endpoint that was asked then, or for a reason to ask before.
    pub(super) async fn pause(&self, asked_at: Instant) {
        // What is beyond the clock is as good as never.
        let next = asked_at.checked_add(self.about_an_interval());
        let turn = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = turn => {}
            () = self.record.is_hurried() => {}
        }
    }

    /// One of the places for checks that are under way. Each is given back within the timeout, so this ends.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        self.places.acquire().await.ok()
    }

    /// The answer, if it comes in time.
    pub(super) async fn in_time(&self, answer: impl Future<Output = Answer>) -> Answer {
        let limit = self.settings.timeout;
        match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Answer::Ill(format!("no answer within {limit:?}")),
        }
    }

    #[cfg(feature = "grpc")]
    pub(super) fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    pub(super) fn hear(&self, answer: &Answer) {
        self.note(answer);
        self.record.hear(answer);
    }

    /// As [`hear`](Self::hear), of what the endpoint says of itself.
    #[cfg(feature = "grpc")]
    pub(super) fn settle(&self, answer: &Answer) {
        self.note(answer);
        self.record.settle(answer);
    }

    fn note(&self, answer: &Answer) {
        self.tally.count(answer);
        let (endpoint, address) = (self.endpoint.placement(), self.endpoint.address());
        match answer {
            Answer::Ill(reason) => {
                tracing::debug!(%endpoint, %address, %reason, "a health check failed");
            }
            #[cfg(feature = "grpc")]
            Answer::Unknown(reason) => tracing::warn!(
                %endpoint, %address, %reason,
                "the endpoint cannot be checked by grpc.health.v1, and passes for well from now on"
            ),
            _ => {}
        }
    }

    /// An interval, give or take a tenth.
    fn about_an_interval(&self) -> Duration {
        self.part_of_interval(0.9 + 0.2 * fastrand::f64())
    }

    fn part_of_interval(&self, part: f64) -> Duration {
        // What is beyond a duration is as good as never, either way.
        let interval = self.settings.interval;
        Duration::try_from_secs_f64(interval.as_secs_f64() * part).unwrap_or(interval)
    }
}
