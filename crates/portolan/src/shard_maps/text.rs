//! Maps that are written out: in a file, in a ConfigMap.

#[cfg(feature = "file")]
use std::path::Path;
#[cfg(feature = "kube")]
use std::sync::Arc;
#[cfg(feature = "file")]
use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use portolan_core::{SourceError, SourceErrorKind, policy::ShardMap};

use crate::config::ShardMapConfig;

/// The map that a file has, in YAML or JSON ([`ShardMapConfig`]), whenever it is another one: for a file that somebody writes,
/// and for a ConfigMap that is mounted. It is looked at every second, and read when it has changed and stays as it is, as
/// [`source::file`](crate::source::file()) does. A map that makes no sense is an error that says where in the file.
///
/// ```
/// use portolan::{policy::Shard, shard_maps};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("shards.yaml");
/// std::fs::write(&path, "
/// generation: 7
/// shards:
/// - {shard: 0, has: {ranges: [{below: m}]}, pods: [db-0]}
/// - {shard: 1, has: {ranges: [{from: m}]}, pods: [db-1]}
/// ")?;
/// let (maps, following) = shard_maps::follow(shard_maps::file(&path));
/// tokio::spawn(following);
/// let policy = Shard::by_map(maps.clone());
/// # let _ = policy;
/// # while maps.current().is_none() { tokio::time::sleep(std::time::Duration::from_millis(10)).await }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "file")]
pub fn file(path: impl AsRef<Path>) -> BoxStream<'static, Result<ShardMap, SourceError>> {
    let parse = |text: &str| parse(text).map_err(|error| error.to_string());
    crate::watched_file::watch(path.as_ref().to_owned(), parse, INTERVAL).boxed()
}

/// As [`source::file`](crate::source::file()) has it.
#[cfg(feature = "file")]
const INTERVAL: Duration = Duration::from_secs(1);

/// The map that a ConfigMap has under a key, in YAML or JSON ([`ShardMapConfig`]), whenever it is another one, read over the API:
/// within milliseconds of a change, where a mounted one takes the kubelet up to a minute.
///
/// ```no_run
/// # async fn example(cluster: portolan::kube::Cluster) {
/// use portolan::shard_maps;
///
/// let texts = cluster.with_namespace("shop").config_map("db-shards", "map.yaml");
/// let (maps, following) = shard_maps::follow(shard_maps::config_map(texts));
/// tokio::spawn(following);
/// # drop(maps);
/// # }
/// ```
#[cfg(feature = "kube")]
pub fn config_map(
    texts: portolan_kube::Observations<Arc<str>>,
) -> BoxStream<'static, Result<ShardMap, SourceError>> {
    use portolan_kube::Observed;

    let unavailable = |what: &str| SourceError::new(SourceErrorKind::Unavailable, what);
    let map = move |observed: Observed<Arc<str>>| match observed {
        Observed::Present(text) => parse(&text),
        Observed::Absent => Err(unavailable(
            "there is no such ConfigMap, or no such key in it",
        )),
        Observed::Failed(error) => Err(error),
        _ => Err(unavailable("a later kind of observation says nothing here")),
    };
    texts.map(map).boxed()
}

fn parse(text: &str) -> Result<ShardMap, SourceError> {
    let map = ShardMapConfig::from_yaml(text).and_then(|map| map.build());
    map.map_err(|error| SourceError::new(SourceErrorKind::Corrupt, error.to_string()))
}
