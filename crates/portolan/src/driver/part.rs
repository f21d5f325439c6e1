//! Which part of the endpoints this client talks to, as far as that changes.

use std::{future, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use portolan_core::{Resolution, subset};
use tokio::time::{Instant, sleep_until};

use crate::subset::{Kind, OwnService, Subset};

/// The subset of a balancer, and where it comes from.
pub(super) struct Part {
    /// What holds now; `None` where it is all endpoints.
    subset: Option<subset::Subset>,
    following: Option<Following>,
}

/// The client's own Service.
struct Following {
    own: OwnService,
    said: BoxStream<'static, Resolution>,
    /// Until when its first word is waited for.
    patience: Option<Instant>,
}

/// A source that works has said something after so long. One that does not must not keep the client from its work.
const FIRST_WORD: Duration = Duration::from_secs(1);

impl Part {
    pub(super) fn of(subset: Option<Subset>) -> Self {
        match subset.map(|subset| subset.0) {
            None => Self {
                subset: None,
                following: None,
            },
            Some(Kind::Known(subset)) => Self {
                subset: Some(subset),
                following: None,
            },
            Some(Kind::ByOwnService(own)) => Self {
                subset: Some(own.meanwhile()),
                following: Some(Following {
                    said: own.source.watch(&own.service),
                    patience: Some(Instant::now() + FIRST_WORD),
                    own,
                }),
            },
        }
    }

    /// What holds now.
    pub(super) fn now(&self) -> Option<subset::Subset> {
        self.subset
    }

    /// Whether it is better to wait: what holds now is likely to be another one in a moment, and all connections that were
    /// made by then would be to the wrong endpoints.
    pub(super) fn is_pending(&self) -> bool {
        let following = self.following.as_ref();
        following.is_some_and(|following| following.patience.is_some())
    }

    /// Ready when something else holds, or is not to be waited for any more.
    ///
    /// Nothing is lost when it is dropped.
    pub(super) async fn changed(&mut self) {
        let Some(following) = &mut self.following else {
            return future::pending().await;
        };
        loop {
            let patience = following.patience;
            let word = tokio::select! {
                said = following.said.next() => said,
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    following.patience = None;
                    return;
                }
            };
            let Some(word) = word else {
                // What it said last stands.
                self.following = None;
                return;
            };
            let was_pending = following.patience.take().is_some();
            let subset = following.own.subset_by(&word, self.subset);
            if was_pending || self.subset != Some(subset) {
                self.subset = Some(subset);
                return;
            }
        }
    }
}

impl OwnService {
    fn subset_by(&self, said: &Resolution, before: Option<subset::Subset>) -> subset::Subset {
        let service = &self.service;
        let found = match said {
            Resolution::Present(endpoints) => self.find(endpoints),
            Resolution::Absent => None,
            // A failure takes nothing away.
            _ => {
                tracing::debug!(%service, "the client's own Service cannot be followed: it stays who it was");
                return before.unwrap_or_else(|| self.meanwhile());
            }
        };
        match found {
            Some(peers) => {
                let (index, count) = (peers.index(), peers.count());
                tracing::info!(%service, index, count, "the client knows which of its peers it is");
                self.aperture(peers)
            }
            // One that leaves is none of its peers any more. It need not go elsewhere for that.
            None => match before {
                Some(aperture @ subset::Subset::Aperture(_)) => aperture,
                _ => {
                    tracing::warn!(
                        %service,
                        "the client is none of the Pods of what is to be its own Service: it goes by its name"
                    );
                    self.meanwhile()
                }
            },
        }
    }
}
