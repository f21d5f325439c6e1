//! A steady load, and what became of each request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    caller::{Answer, Caller},
    failure::{Failure, Result},
};

/// So many send at once.
const SENDERS: u32 = 8;
/// No scenario takes longer; a load that is forgotten ends here.
const LONGEST: Duration = Duration::from_secs(120);

/// A load that is being sent.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    senders: JoinSet<()>,
    /// What became of the requests so far.
    sent: watch::Sender<Vec<Sent>>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When the caller asked for it.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Who answered, or why nobody did.
    pub result: std::result::Result<Answer, String>,
}

/// What became of all requests, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub struct Record {
    sent: Vec<Sent>,
}

impl Load {
    /// Sends GET requests, `rate` a second. A sender that had to wait catches nothing up.
    #[must_use]
    pub fn start(caller: &Caller, rate: u32) -> Self {
        Self::of(caller, rate, &Method::GET)
    }

    /// Sends requests that may not be sent twice.
    #[must_use]
    pub fn of_posts(caller: &Caller, rate: u32) -> Self {
        Self::of(caller, rate, &Method::POST)
    }

    fn of(caller: &Caller, rate: u32, method: &Method) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let period = Duration::from_secs(1) * SENDERS / rate.max(1);
        let sent = watch::Sender::default();
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let stop = Arc::clone(&stop);
            senders.spawn(send(
                caller.clone(),
                method.clone(),
                period,
                stop,
                sent.clone(),
            ));
        }
        Self {
            stop,
            senders,
            sent,
        }
    }

    /// Waits until so many Pods have answered, old and new ones of a name, and so many requests have
    /// been sent.
    ///
    /// # Errors
    /// How many did, after 30 s.
    pub async fn until_answered_by(&self, pods: usize, requests: usize) -> Result {
        const PATIENCE: Duration = Duration::from_secs(30);
        let mut sent = self.sent.subscribe();
        let enough = |sent: &Vec<Sent>| sent.len() >= requests && incarnations(sent) >= pods;
        let reached = timeout(PATIENCE, sent.wait_for(enough)).await.is_ok();
        if reached {
            return Ok(());
        }
        let (all, answered) = (self.sent.borrow().len(), incarnations(&self.sent.borrow()));
        let message = format_args!("{answered} Pods, not {pods}, answered {all} requests");
        Err(Failure::new(message))
    }

    /// How many requests have been answered so far, or have failed.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.borrow().len()
    }

    /// Stops, and waits for what is in flight.
    ///
    /// # Errors
    /// If a sender panicked.
    pub async fn stop(mut self) -> Result<Record> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.senders.join_next().await {
            ended?;
        }
        let mut sent = self.sent.send_replace(Vec::new());
        sent.sort_by_key(|one| one.at);
        Ok(Record { sent })
    }
}

async fn send(
    caller: Caller,
    method: Method,
    period: Duration,
    stop: Arc<AtomicBool>,
    sent: watch::Sender<Vec<Sent>>,
) {
    let began = Instant::now();
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) && began.elapsed() < LONGEST {
        ticks.tick().await;
        let at = Instant::now();
        let result = caller
            .send(method.clone())
            .await
            .map_err(|error| error.to_string());
        let one = Sent {
            at,
            took: at.elapsed(),
            result,
        };
        sent.send_modify(|sent| sent.push(one));
    }
}

fn answers(sent: &[Sent]) -> impl Iterator<Item = &Answer> {
    sent.iter().filter_map(|one| one.result.as_ref().ok())
}

fn incarnations(sent: &[Sent]) -> usize {
    answers(sent)
        .map(|answer| &answer.uid)
        .collect::<BTreeSet<_>>()
        .len()
}

impl Record {
    /// Every request.
    #[must_use]
    pub fn all(&self) -> &[Sent] {
        &self.sent
    }

    /// How many requests each Pod answered, by the Pod's name.
    #[must_use]
    pub fn by_pod(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for answer in answers(&self.sent) {
            *counts.entry(answer.pod.as_str()).or_default() += 1;
        }
        counts
    }

    /// How many Pods, old and new ones of a name, answered at least one request.
    #[must_use]
    pub fn incarnations(&self) -> usize {
        incarnations(&self.sent)
    }

    /// How many requests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.sent.iter().filter(|one| one.result.is_err()).count()
    }

    /// Fails if a request failed, or if none was sent: nothing is easier than not to fail what was
    /// not tried. [`Load::until_answered_by`] sees to it that enough were.
    ///
    /// # Errors
    /// How many failed and why the first of them did.
    pub fn expect_no_failure(&self) -> Result {
        if let Some(error) = self.sent.iter().find_map(|one| one.result.as_ref().err()) {
            let (failed, all) = (self.failed(), self.sent.len());
            return Err(Failure::new(format_args!(
                "{failed} of {all} requests failed: {error}"
            )));
        }
        if self.sent.is_empty() {
            return Err(Failure::new("no requests were sent"));
        }
        Ok(())
    }

    /// Fails unless each Pod has an even share of the requests, within what chance explains: 5σ of a
    /// fair draw for each request. Have at least 50 requests for each Pod, or nothing can be said.
    ///
    /// # Errors
    /// Who had how many.
    pub fn expect_even(&self, pods: &[&str]) -> Result {
        let counts = self.by_pod();
        let share = self.sent.len() / pods.len().max(1);
        // The variance of a binomial count is less than its mean.
        let sigma = share.isqrt() + 1;
        let even = |count: usize| share >= 50 && count.abs_diff(share) <= 5 * sigma;
        let fair = pods
            .iter()
            .all(|pod| counts.get(pod).copied().is_some_and(even));
        if fair && counts.len() == pods.len() {
            return Ok(());
        }
        Err(Failure::new(format_args!(
            "uneven: {counts:?}, not {share} each for {pods:?}"
        )))
    }
}
