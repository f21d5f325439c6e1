//! Many at once: the same question to all Pods, to all shards, or to a set of them.
//!
//! ```
//! use portolan::{Nodes, Routing, scatter::{Scatter, Until}};
//! use std::time::Duration;
//!
//! # async fn ask(mut lease: portolan::Lease) -> Result<u64, portolan::Error> { lease.succeed(); Ok(0) }
//! # async fn example(nodes: Nodes) -> Result<(), Box<dyn std::error::Error>> {
//! // How many sessions does each Pod have? Two in three answers are enough, and all within a second.
//! let pods: Vec<_> = nodes.observe().view().endpoints().iter().map(|one| one.endpoint.placement().clone()).collect();
//! let enough = pods.len() * 2 / 3;
//! let gathered = Scatter::new()
//!     .within(Duration::from_secs(1))
//!     .until(Until::Quorum(enough))
//!     .over(pods, async |pod| ask(nodes.pick_for(Routing::pinned_to(pod.as_str())).await?).await)
//!     .gather()
//!     .await?;
//! for (pod, sessions) in &gathered.answers {
//!     println!("{pod}: {sessions}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What goes to one Pod is [pinned](crate::Routing::pinned_to) to it; what goes to a shard has a key of that shard. A
//! batch of keys that is to be split by shard is [`by_shard`].
//!
//! # Cancel safety
//! Dropping what [`Scatter::over`] returns, or the future of its [`gather`](Scattered::gather), cancels what is under way.
//! Requests that were sent may have been processed.

mod by_shard;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Sleep, sleep};

pub use by_shard::{KeyError, by_shard};

/// How a question goes to many: how many are asked at once, for how long, and how many answers are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "nobody is asked before there is somebody to ask"]
pub struct Scatter {
    at_once: usize,
    within: Option<Duration>,
    until: Until,
}

/// How many answers are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// All: one failure is a failure of the whole.
    All,
    /// So many, of as many as were asked. Once so many have failed that it cannot be reached any more, the whole has failed.
    Quorum(usize),
    /// The first so many, or as many as there are where those are fewer: the rest is cancelled. No failure is one
    /// of the whole, unless all fail.
    First(usize),
    /// Whatever comes within the time. Nothing is a failure of the whole.
    BestEffort,
}

impl Default for Scatter {
    fn default() -> Self {
        Self::new()
    }
}

impl Scatter {
    /// 16 are asked at once, without a time limit of this call's own, and all have to answer.
    pub fn new() -> Self {
        Self {
            at_once: 16,
            within: None,
            until: Until::All,
        }
    }

    /// Sets how many are asked at once. Default: 16. 0 counts as 1.
    pub fn at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once.max(1);
        self
    }

    /// Sets the one time limit for all of it, from when the first is asked; who has not answered by then is
    /// cancelled. It needs a tokio runtime with timers where it is polled. Default: none, each request has its own.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// Sets how many answers are enough. Default: [`Until::All`].
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Asks each of `targets`: `ask` makes the request for one. Nobody is asked before the stream is polled.
    pub fn over<'a, T, A, F, R, E>(
        self,
        targets: impl IntoIterator<Item = T>,
        ask: A,
    ) -> Scattered<'a, T, R, E>
    where
        T: Clone + Send + 'a,
        A: Fn(T) -> F + Send + 'a,
        F: Future<Output = Result<R, E>> + Send + 'a,
        R: Send + 'a,
        E: Send + 'a,
    {
        let targets: Vec<T> = targets.into_iter().collect();
        let count = targets.len();
        let answers = stream::iter(targets)
            .map(move |target| {
                let answer = ask(target.clone());
                async move { (target, answer.await) }
            })
            .buffer_unordered(self.at_once)
            .boxed();
        Scattered {
            answers: Some(answers),
            targets: count,
            settings: self,
            time_limit: None,
        }
    }
}

/// The answers, as they come. It comes from [`Scatter::over`].
///
/// As a stream it yields every answer and every failure with whom it is of, and ends when all have been heard or
/// the time is up. [`gather`](Self::gather) waits for as many as are enough.
#[must_use = "nobody is asked before it is polled"]
pub struct Scattered<'a, T, R, E> {
    /// None once the time is up.
    answers: Option<BoxStream<'a, (T, Result<R, E>)>>,
    targets: usize,
    settings: Scatter,
    time_limit: Option<Pin<Box<Sleep>>>,
}

/// What came of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Gathered<T, R, E> {
    /// Who answered what, in the order in which the answers came.
    pub answers: Vec<(T, R)>,
    /// Who failed, and how.
    pub failures: Vec<(T, E)>,
    /// How many were not heard of: the time was up, or there were answers enough.
    pub unheard: usize,
}

/// There were not answers enough.
#[derive(Debug)]
#[non_exhaustive]
pub struct TooFew<T, R, E> {
    /// What there was.
    pub gathered: Gathered<T, R, E>,
    /// How many were wanted.
    pub wanted: usize,
    /// Whether the time was up.
    pub timed_out: bool,
}

impl<T, R, E> Scattered<'_, T, R, E> {
    /// Waits for as many answers as are [enough](Scatter::until), and cancels the rest.
    ///
    /// # Errors
    /// Where there are not, or cannot be any more. The error has what there was.
    pub async fn gather(mut self) -> Result<Gathered<T, R, E>, TooFew<T, R, E>> {
        let wanted = match self.settings.until {
            Until::All => self.targets,
            Until::Quorum(quorum) => quorum,
            Until::First(first) => first.min(self.targets),
            Until::BestEffort => 0,
        };
        let mut gathered = Gathered {
            answers: Vec::new(),
            failures: Vec::new(),
            unheard: self.targets,
        };
        // A quorum of more than there are is known at once to be out of reach.
        let mut ended = false;
        while !ended && !self.is_decided(&gathered, wanted) {
            match self.next().await {
                Some((target, answer)) => {
                    gathered.unheard = gathered.unheard.saturating_sub(1);
                    match answer {
                        Ok(answer) => gathered.answers.push((target, answer)),
                        Err(error) => gathered.failures.push((target, error)),
                    }
                }
                None => ended = true,
            }
        }
        let enough = match self.settings.until {
            // Nobody could be reached is no answer, however few would have been enough.
            Until::First(_) => !gathered.answers.is_empty() || self.targets == 0 || wanted == 0,
            _ => gathered.answers.len() >= wanted,
        };
        if enough {
            return Ok(gathered);
        }
        let timed_out = ended && gathered.unheard > 0;
        Err(TooFew {
            gathered,
            wanted,
            timed_out,
        })
    }

    /// Whether it is known by now how it ends.
    fn is_decided(&self, gathered: &Gathered<T, R, E>, wanted: usize) -> bool {
        let answers = gathered.answers.len();
        match self.settings.until {
            Until::BestEffort => false,
            Until::First(_) => answers >= wanted,
            Until::All | Until::Quorum(_) => {
                answers >= wanted || answers + gathered.unheard < wanted
            }
        }
    }
}

impl<T, R, E> Stream for Scattered<'_, T, R, E> {
    type Item = (T, Result<R, E>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(answers) = &mut self.answers else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(next) = answers.poll_next_unpin(cx) {
            return Poll::Ready(next);
        }
        let Some(within) = self.settings.within else {
            return Poll::Pending;
        };
        let time_limit = self
            .time_limit
            .get_or_insert_with(|| Box::pin(sleep(within)));
        if time_limit.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // Whoever is being asked is not any more.
        self.answers = None;
        Poll::Ready(None)
    }
}

impl<T, R, E> fmt::Debug for Scattered<'_, T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scattered")
            .field("targets", &self.targets)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<T, R, E> fmt::Display for TooFew<T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gathered {
            answers,
            failures,
            unheard,
        } = &self.gathered;
        write!(
            f,
            "{} of {} answered, and {} were wanted: {} failed, {unheard} were not heard of",
            answers.len(),
            answers.len() + failures.len() + unheard,
            self.wanted,
            failures.len(),
        )?;
        if self.timed_out {
            f.write_str(" when the time was up")?;
        }
        Ok(())
    }
}

impl<T: fmt::Debug, R: fmt::Debug, E: std::error::Error + 'static> std::error::Error
    for TooFew<T, R, E>
{
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let first = self.gathered.failures.first();
        first.map(|(_, error)| error as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests;
