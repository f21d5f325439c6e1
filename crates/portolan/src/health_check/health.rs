//! What is known of the health of one endpoint, for whoever looks.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Settings, answer::Answer, standing::Standing};
use crate::{Endpoint, level::Level};

/// How the checks of one endpoint have gone. It comes from [`View::health`](crate::View::health), and goes on living: what
/// it says is of the moment in which it is asked.
#[derive(Clone)]
pub struct Health {
    endpoint: Arc<Endpoint>,
    record: Arc<Record>,
}

impl Health {
    pub(crate) fn new(endpoint: Arc<Endpoint>, record: Arc<Record>) -> Self {
        Self { endpoint, record }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it passes for well. One that does not gets no requests while another one does.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.record.level.is_good()
    }

    /// How often it has been asked, or has said how it is.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.record.known().checks
    }

    /// How often that went badly.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.record.known().failures
    }

    /// What was wrong the last time that something was, if ever.
    #[must_use]
    pub fn last_failure(&self) -> Option<Arc<str>> {
        self.record.known().last_failure.clone()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("endpoint", &self.endpoint.placement())
            .field("is_healthy", &self.is_healthy())
            .field("checks", &self.checks())
            .field("failures", &self.failures())
            .field("last_failure", &self.last_failure())
            .finish()
    }
}

/// What the checks of one endpoint have found.
pub(crate) struct Record {
    level: Level,
    known: Mutex<Known>,
    /// There is reason to ask before the next turn.
    hurried: Notify,
}

struct Known {
    standing: Standing,
    checks: u64,
    failures: u64,
    last_failure: Option<Arc<str>>,
}

/// Nobody reads more of a reason, and whoever answers may have written it.
const LONGEST_REASON: usize = 512;

impl Record {
    pub(super) fn new(settings: &Settings, changed: Arc<Notify>) -> Self {
        Self {
            level: match settings.trusts_new {
                true => Level::good(changed),
                false => Level::bad(changed),
            },
            known: Mutex::new(Known {
                standing: Standing::new(settings),
                checks: 0,
                failures: 0,
                last_failure: None,
            }),
            hurried: Notify::new(),
        }
    }

    /// Has an endpoint that is not well asked before its next turn.
    pub(crate) fn hurry(&self) {
        if !self.level.is_good() {
            self.hurried.notify_one();
        }
    }

    /// Waits until there is reason to ask.
    pub(super) async fn is_hurried(&self) {
        self.hurried.notified().await;
    }

    pub(crate) fn level(&self) -> &Level {
        &self.level
    }

    /// What was wrong last.
    pub(crate) fn last_failure(&self) -> Option<Arc<str>> {
        self.known().last_failure.clone()
    }

    /// Takes up what came of a check.
    pub(super) fn hear(&self, answer: &Answer) {
        let mut known = self.known();
        let well = match answer {
            Answer::Well => known.count(None),
            Answer::Ill(reason) => known.count(Some(reason)),
            #[cfg(feature = "http")]
            Answer::NotAsked => return,
            #[cfg(feature = "grpc")]
            Answer::Unknown(reason) => {
                known.count(Some(reason));
                known.standing.settle(true);
                true
            }
        };
        // Under the lock, so that what is told last is what was found last.
        self.level.set(well);
    }

    /// Takes up what an endpoint says of itself.
    #[cfg(feature = "grpc")]
    pub(super) fn settle(&self, answer: &Answer) {
        let mut known = self.known();
        let well = match answer {
            Answer::Well => true,
            Answer::Ill(_) => false,
            _ => return,
        };
        known.standing.settle(well);
        drop(known);
        self.hear(answer);
    }

    /// The lock is held for a few instructions at a time.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Counts a check. Whether the endpoint passes for well now.
    fn count(&mut self, failure: Option<&String>) -> bool {
        self.checks += 1;
        if let Some(reason) = failure {
            self.failures += 1;
            let reason: String = reason.chars().take(LONGEST_REASON).collect();
            self.last_failure = Some(reason.into());
        }
        self.standing.hear(failure.is_none())
    }
}
