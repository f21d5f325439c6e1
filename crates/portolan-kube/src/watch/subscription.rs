//! What a balancer holds: the latest that is known, and its share of the watch.

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use portolan_core::{Resolution, SourceError, SourceErrorKind};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

use super::{
    follow::follow,
    registry::{Join, Key},
};
use crate::{cluster::Shared, resolve::Want};

/// How long to wait before joining again, after the task went away under our feet.
const REJOIN: Duration = Duration::from_secs(1);

/// The latest that a view came to, with what was known before it if the latest is a failure: who is
/// slow to look must still see the last good set.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest {
    generation: u64,
    known: Option<(u64, Resolution)>,
    failure: Option<(u64, SourceError)>,
}

impl Latest {
    /// Puts this in the place of what was there.
    pub(super) fn publish(&mut self, resolution: Resolution) {
        self.generation += 1;
        match resolution {
            Resolution::Failed(error) => self.failure = Some((self.generation, error)),
            known => {
                self.known = Some((self.generation, known));
                self.failure = None;
            }
        }
    }

    /// What somebody who saw everything up to `seen` has to see next.
    fn next(&self, seen: &mut u64) -> Option<Resolution> {
        if let Some((generation, known)) = self
            .known
            .as_ref()
            .filter(|(generation, _)| generation > seen)
        {
            *seen = *generation;
            return Some(known.clone());
        }
        let (generation, error) = self
            .failure
            .as_ref()
            .filter(|(generation, _)| generation > seen)?;
        *seen = *generation;
        Some(Resolution::Failed(error.clone()))
    }
}

/// Follows a Service: from the first poll on, until the stream is dropped.
pub(crate) fn subscribe(
    shared: Arc<Shared>,
    key: Key,
    want: Want,
) -> impl Stream<Item = Resolution> + Send {
    let subscription = Subscription {
        shared,
        key,
        want,
        joined: None,
    };
    stream::unfold(subscription, |mut subscription| async {
        let resolution = subscription.next().await;
        Some((resolution, subscription))
    })
}

struct Subscription {
    shared: Arc<Shared>,
    key: Key,
    want: Want,
    joined: Option<Joined>,
}

struct Joined {
    latest: watch::Receiver<Latest>,
    seen: u64,
    /// Dropped after the receiver, so that the task, woken, finds it gone.
    _share: Share,
}

/// A share of a task; wakes it when it is given up.
struct Share(Arc<Notify>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Subscription {
    async fn next(&mut self) -> Resolution {
        loop {
            let Some(joined) = &mut self.joined else {
                match self.join() {
                    Ok(joined) => self.joined = Some(joined),
                    Err(error) => return Resolution::Failed(error),
                }
                continue;
            };
            let next = joined.latest.borrow_and_update().next(&mut joined.seen);
            if let Some(resolution) = next {
                return resolution;
            }
            if joined.latest.changed().await.is_err() {
                // The runtime that the task ran on was shut down, and this one was not.
                self.joined = None;
                tokio::time::sleep(REJOIN).await;
            }
        }
    }

    fn join(&self) -> Result<Joined, SourceError> {
        let runtime = Handle::try_current().map_err(|error| {
            let message = "a watch needs a Tokio runtime; poll its stream within one";
            SourceError::new(SourceErrorKind::Invalid, message).with_cause(error)
        })?;
        let (sender, latest) = watch::channel(Latest::default());
        let join = Join {
            want: self.want.clone(),
            latest: sender,
        };
        let wake = self.shared.registry.join(&self.key, join, |registration| {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(follow(shared, self.key.clone(), registration));
        });
        Ok(Joined {
            latest,
            seen: 0,
            _share: Share(wake),
        })
    }
}
