//! What is known of one object, or of the part of it that matters to somebody.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _};
use portolan_core::{SourceError, policy::ShardsHandle};

use crate::StatefulSetSize;

/// What is known of an object, as of now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observed<T> {
    /// It is like this.
    Present(T),
    /// There is none.
    Absent,
    /// Nothing is learnt at present, and this says what to do about it. What was said last still holds, and is
    /// said again when all is well.
    Failed(SourceError),
}

/// What is known of an object, and then whatever changes: a stream that does not end, of
/// [`Cluster::config_map`](crate::Cluster::config_map) or
/// [`Cluster::stateful_set_size`](crate::Cluster::stateful_set_size).
///
/// It is a list and a watch of that one object: the first poll starts them, and they end when it is dropped.
/// Each stream has its own. It must be polled within a Tokio runtime, and says so where it is not.
///
/// # Cancel safety
/// Dropping what waits for the next item loses nothing.
#[must_use = "streams do nothing unless polled"]
pub struct Observations<T>(Pin<Box<dyn Stream<Item = Observed<T>> + Send>>);

impl<T> Observations<T> {
    pub(crate) fn new(stream: impl Stream<Item = Observed<T>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl<T> Stream for Observations<T> {
    type Item = Observed<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Observed<T>>> {
        self.get_mut().0.as_mut().poll_next(context)
    }
}

impl<T> fmt::Debug for Observations<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observations").finish_non_exhaustive()
    }
}

impl Observations<StatefulSetSize> {
    /// Has as many shards as the StatefulSet has Pods, for as long as this is polled: it never ends.
    ///
    /// The number is what the StatefulSet is to have (`spec.replicas`), so it changes at once, and not as its Pods
    /// come and go. It stays as it is while nothing is learnt, and where the StatefulSet is deleted or scaled to
    /// nothing: its shards are absent then, and not fewer. Where a shard is several Pods, or the keys' data is to be
    /// moved first, set the number by hand.
    ///
    /// ```no_run
    /// # async fn doc(cluster: portolan_kube::Cluster) {
    /// use portolan_core::policy::{Shard, Shards};
    ///
    /// let (handle, shards) = Shards::changing(4); // until it is known
    /// let policy = Shard::by_ordinal(shards);
    /// let sizes = cluster.with_namespace("shop").stateful_set_size("db");
    /// let following = tokio::spawn(sizes.count_shards(handle)); // until it is aborted
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// When this is dropped, the number stays.
    pub async fn count_shards(mut self, shards: ShardsHandle) -> Infallible {
        loop {
            match self.next().await {
                Some(Observed::Present(StatefulSetSize { replicas, .. })) if replicas > 0 => {
                    let before = shards.set(replicas);
                    if before != replicas {
                        tracing::info!(before, now = replicas, "another number of shards");
                    }
                }
                Some(Observed::Failed(error)) => {
                    tracing::warn!(%error, "the number of shards is not heard of, and stays");
                }
                Some(_) => {
                    tracing::warn!(
                        "the StatefulSet is gone or has no Pods: the number of shards stays"
                    );
                }
                None => std::future::pending().await,
            }
        }
    }
}
