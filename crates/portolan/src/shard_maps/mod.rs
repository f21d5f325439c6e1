//! Where maps of shards come from, and keeping the last good one.
//!
//! A [`ShardMap`] that never changes is handed to the policy as it is. One that does comes as a stream of maps, which
//! [`follow`] takes up: each whole map takes the place of the one before; one that is refused, older, or could not be
//! had is logged, and the last good one stays.
//!
//! | the map is | the stream |
//! |---|---|
//! | in a file, by hand or from a mounted ConfigMap | `file` (features `file` and `config`) |
//! | in a ConfigMap, read over the API | `config_map` (features `kube` and `config`) |
//! | to be asked for from time to time | [`fetch`] |
//! | streamed by a sharding service | one's own, that fills an [`Assignment`](crate::policy::Assignment) |
//! | whatever else | one's own |
//!
//! ```
//! use portolan::{policy::{Shard, ShardMap}, shard_maps};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async fn ask_the_coordinator() -> Result<ShardMap, std::io::Error> {
//! #     Ok(ShardMap::ranges().assign("".., 0).pods(0, ["db-0"]).build().unwrap())
//! # }
//! let looks = shard_maps::every(Duration::from_secs(30));
//! let (maps, following) = shard_maps::follow(shard_maps::fetch(looks, ask_the_coordinator));
//! tokio::spawn(following);
//! let policy = Shard::by_map(maps.clone());
//! # let _ = policy;
//! # while maps.current().is_none() { tokio::task::yield_now().await }
//! # Ok(())
//! # }
//! ```

#[cfg(all(feature = "config", any(feature = "file", feature = "kube")))]
mod text;

use std::{fmt::Display, future::Future, pin::pin, time::Duration};

use futures::{Stream, StreamExt, future, stream};
use portolan_core::policy::{ShardMap, ShardMapHandle, ShardMaps};

#[cfg(all(feature = "config", feature = "kube"))]
pub use text::config_map;
#[cfg(all(feature = "config", feature = "file"))]
pub use text::file;

/// Takes up maps as they come: the maps for the policies, and the future that follows the stream, which is to be spawned.
///
/// It ends when nobody goes by the maps any more, or with the stream; the last map stays. Where several policies go by the
/// maps, clone them.
///
/// # Cancel safety
/// A future that is dropped takes up no more maps. The last one stays.
pub fn follow<E: Display>(
    maps: impl Stream<Item = Result<ShardMap, E>>,
) -> (ShardMaps, impl Future<Output = ()>) {
    let (handle, reader) = ShardMaps::channel();
    let following = async move {
        let follow = pin!(take_up(maps, &handle));
        let closed = pin!(handle.closed());
        future::select(follow, closed).await;
    };
    (reader, following)
}

async fn take_up<E: Display>(
    maps: impl Stream<Item = Result<ShardMap, E>>,
    handle: &ShardMapHandle,
) {
    let mut maps = pin!(maps);
    // Said once, until another reason takes its place.
    let mut failure = None;
    while let Some(news) = maps.next().await {
        let failed = match news.map(|map| handle.set(map)) {
            Ok(Ok(Some(map))) => {
                tracing::info!(
                    generation = map.generation(),
                    shards = map.shards().len(),
                    ranges = map.len(),
                    "another map of shards"
                );
                None
            }
            Ok(Ok(None)) => None,
            Ok(Err(stale)) => Some(stale.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if failed.is_some() && failed != failure {
            let error = failed.as_deref().unwrap_or_default();
            tracing::warn!(%error, "no map of shards is to be had: the last good one stays");
        }
        failure = failed;
    }
    tracing::warn!("there will be no more maps of shards: the last good one stays");
}

/// Asks for the map by `ask` at once, and whenever `looks` says so: [from time to time](every), or when an answer has said
/// that the map is out of date ([`Follow::refresh`](crate::Follow::refresh)).
///
/// What comes while it asks counts as one look. How long asking may take is for `ask` to bound.
///
/// ```
/// use futures::stream;
/// use portolan::{Follow, shard_maps};
/// use std::{sync::Arc, time::Duration};
/// use tokio::sync::Notify;
///
/// let outdated = Arc::new(Notify::new());
/// let told = Arc::clone(&outdated);
/// let follow = Follow::new().refresh(Duration::from_secs(1), move || told.notify_one());
///
/// let told = stream::unfold(outdated, |outdated| async {
///     outdated.notified().await;
///     Some(((), outdated))
/// });
/// let looks = stream::select(shard_maps::every(Duration::from_secs(60)), told);
/// # let _ = (looks, follow);
/// ```
pub fn fetch<A, E>(
    looks: impl Stream<Item = ()> + Send + 'static,
    ask: impl Fn() -> A + Send + 'static,
) -> impl Stream<Item = Result<ShardMap, E>> + Send
where
    A: Future<Output = Result<ShardMap, E>> + Send,
{
    let first = stream::iter([()]);
    let looks = first.chain(looks).ready_chunks(MOST_LOOKS);
    stream::unfold((Box::pin(looks), ask), |(mut looks, ask)| async {
        looks.next().await?;
        let news = ask().await;
        Some((news, (looks, ask)))
    })
}

/// How many looks at a time count as one; of more, the rest is another one.
const MOST_LOOKS: usize = 64;

/// A look after each `interval`, or up to a tenth of it earlier, so that clients which start together do not ask together
/// for ever.
///
/// It needs a tokio runtime with timers when it is polled.
pub fn every(interval: Duration) -> impl Stream<Item = ()> + Send + use<> {
    stream::unfold((), move |()| async move {
        let seconds = interval.as_secs_f64() * (0.9 + 0.1 * fastrand::f64());
        let pause = Duration::try_from_secs_f64(seconds).unwrap_or(interval);
        tokio::time::sleep(pause.max(SHORTEST)).await;
        Some(((), ()))
    })
}

/// Nothing is asked for more often.
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
