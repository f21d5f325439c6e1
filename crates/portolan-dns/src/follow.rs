//! Following: the same question again and again, and only the news of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{Stream, stream};
use portolan_core::{EndpointSet, Resolution, SourceError, SourceErrorKind};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    DnsOptions,
    endpoints::set,
    refusal::Rejected,
    resolve::{Question, Resolved, Resolver},
    schedule::Schedule,
    suspicion::Suspicion,
    upstream::Ask,
};

/// Everything that one stream needs. It does all its work while it is polled: there is no task that
/// could outlive it.
pub(crate) struct Follow<A> {
    pub(crate) resolver: Resolver<A>,
    pub(crate) question: Question,
    pub(crate) options: DnsOptions,
    pub(crate) schedule: Schedule,
    /// `None` for hosts, of which nobody reports failed connections.
    pub(crate) suspicion: Option<Suspicion>,
    /// Counts what was left out, for all streams.
    pub(crate) rejected_total: Arc<AtomicU64>,
}

/// The news of a question, from the first poll on.
pub(crate) fn follow<A: Ask>(follow: Follow<A>) -> impl Stream<Item = Resolution> + Send {
    let state = State {
        follow,
        next_look: None,
        known: None,
        said: None,
        rejected: Rejected::default(),
    };
    stream::unfold(state, |mut state| async {
        let resolution = state.next().await;
        Some((resolution, state))
    })
}

struct State<A> {
    follow: Follow<A>,
    next_look: Option<NextLook>,
    /// The last good set, whatever was said since: what did not change is shared with it.
    known: Option<EndpointSet>,
    /// What was said last.
    said: Option<Resolution>,
    rejected: Rejected,
}

#[derive(Clone, Copy)]
struct NextLook {
    due: Instant,
    /// The soonest that it may come, if there is reason to suspect that something changed.
    if_suspected: Instant,
}

impl<A: Ask> State<A> {
    async fn next(&mut self) -> Resolution {
        if let Err(error) = Handle::try_current() {
            // Said once: whoever polls without a runtime would otherwise spin.
            if self.said.is_some() {
                std::future::pending::<()>().await;
            }
            let message = "following DNS needs a Tokio runtime; poll the stream within one";
            let error = SourceError::new(SourceErrorKind::Invalid, message).with_cause(error);
            self.said = Some(Resolution::Failed(error.clone()));
            return Resolution::Failed(error);
        }
        loop {
            self.wait().await;
            let result = self.look().await;
            if let Some(news) = self.news(result) {
                return news;
            }
        }
    }

    /// Waits until it is time to look again.
    async fn wait(&mut self) {
        let Some(next) = self.next_look else { return };
        match &mut self.follow.suspicion {
            // A server that fails is asked as seldom as the backoff says, whatever else fails.
            Some(suspicion) if !self.follow.schedule.is_failing() => tokio::select! {
                () = sleep_until(next.due) => {}
                () = suspicion.raised() => sleep_until(next.due.min(next.if_suspected)).await,
            },
            _ => sleep_until(next.due).await,
        }
    }

    async fn look(&mut self) -> Result<Resolved, SourceError> {
        let follow = &mut self.follow;
        if let Some(suspicion) = &mut follow.suspicion {
            suspicion.clear();
        }
        let if_suspected = Instant::now() + follow.options.suspect_interval;
        let deadline = follow.options.deadline;
        let resolving = follow.resolver.resolve(&follow.question);
        let result = match timeout(deadline, resolving).await {
            Ok(result) => result,
            Err(_) => Err(SourceError::new(
                SourceErrorKind::Unavailable,
                format!(
                    "DNS did not tell all of {} within {deadline:?}; if it has that many Pods, allow \
                     more with `DnsOptions::deadline`, or name the port by number",
                    follow.question
                ),
            )),
        };
        let result = result.and_then(|resolved| {
            self.note_rejected(&resolved.rejected);
            resolved.unless_all_rejected(&self.follow.question)
        });
        let schedule = &mut self.follow.schedule;
        let wait = match &result {
            Ok(resolved) => schedule.after_answer(resolved.ttl),
            Err(_) => schedule.after_failure(),
        };
        self.next_look = Some(NextLook {
            due: Instant::now() + wait,
            if_suspected,
        });
        result
    }

    /// What of it was not said already.
    fn news(&mut self, result: Result<Resolved, SourceError>) -> Option<Resolution> {
        let resolution = match result {
            Ok(resolved) => match resolved.endpoints {
                Some(endpoints) => {
                    let set = set(endpoints, self.known.as_ref());
                    self.known = Some(set.clone());
                    Resolution::Present(set)
                }
                None => {
                    self.known = None;
                    Resolution::Absent
                }
            },
            Err(error) => {
                tracing::debug!(question = %self.follow.question, %error, "DNS failed");
                Resolution::Failed(error)
            }
        };
        let said = match (&self.said, &resolution) {
            (Some(Resolution::Present(before)), Resolution::Present(now)) => before.is_same(now),
            (Some(Resolution::Absent), Resolution::Absent) => true,
            (Some(Resolution::Failed(before)), Resolution::Failed(now)) => {
                before.kind() == now.kind() && before.to_string() == now.to_string()
            }
            _ => false,
        };
        if said {
            return None;
        }
        self.said = Some(resolution.clone());
        Some(resolution)
    }

    /// Counts and logs what was left out, when it is other than before.
    fn note_rejected(&mut self, rejected: &Rejected) {
        if let (Some(example), true) = (&rejected.example, *rejected != self.rejected) {
            let count = u64::try_from(rejected.count).unwrap_or(u64::MAX);
            let before = self
                .follow
                .rejected_total
                .fetch_add(count, Ordering::Relaxed);
            tracing::warn!(
                question = %self.follow.question,
                count,
                example,
                total = before.saturating_add(count),
                "left out what cannot be connected to"
            );
        }
        self.rejected = rejected.clone();
    }
}

#[cfg(test)]
mod tests;
