//! Shards as objects of the cluster have them: a map in a ConfigMap, as many as a StatefulSet has Pods.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use portolan::{
    policy::{Shard, ShardMaps, Sharding, Shards},
    shard_maps,
};
use portolan_kube::WatchOptions;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{arena::Arena, failure::Result};

const PATIENCE: Duration = Duration::from_secs(30);

/// The map of shards is the text of a ConfigMap: what it says counts when it changes, a text that makes no sense takes
/// nothing away, and neither does the ConfigMap's end.
pub async fn a_map_in_a_config_map_is_followed(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 2).create().await?;
    set.wait_ready(2).await?;
    let kube = arena.kube(WatchOptions::default())?;
    let texts = kube
        .clone()
        .with_namespace(arena.namespace())
        .config_map("db-shards", "map.yaml");
    let (maps, following) = shard_maps::follow(shard_maps::config_map(texts));
    let following = tokio::spawn(following);
    let cluster = portolan::Cluster::from(kube);
    let service = cluster.service(arena.full("db:http"))?;
    let db = service.policy(Shard::by_map(maps.clone())).nodes()?;

    let objects: Api<ConfigMap> = Api::namespaced(arena.client(), arena.namespace());
    let made = json!({ "metadata": { "name": "db-shards" }, "data": { "map.yaml": map("m") } });
    let made = serde_json::from_value(made)?;
    objects.create(&PostParams::default(), &made).await?;
    until(&maps, |maps| maps.shard_of(b"harbour") == Some(0)).await?;
    for (key, pod) in [("harbour", "db-0"), ("zenith", "db-1")] {
        assert_eq!(db.pick(key).await?.endpoint().placement().as_str(), pod);
    }

    let write = async |text: String| {
        let patch = Patch::Merge(json!({ "data": { "map.yaml": text } }));
        objects
            .patch("db-shards", &PatchParams::default(), &patch)
            .await
    };
    write("shards: [{shard: 0, has: {ranges: [{from: m}]}, pods: [db-0]}]".to_owned()).await?;
    write(map("c")).await?;
    let written = Instant::now();
    until(&maps, |maps| maps.shard_of(b"harbour") == Some(1)).await?;
    let took = written.elapsed();
    arena.note(format_args!(
        "another map counted {took:?} after it was written"
    ));
    // The picker is built anew for it right after.
    timeout(PATIENCE, async {
        while db.pick("harbour").await?.endpoint().placement().as_str() != "db-1" {
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, portolan::Error>(())
    })
    .await??;
    objects.delete("db-shards", &Default::default()).await?;
    drop(db);
    assert_eq!(maps.current().map(|map| map.shards().len()), Some(2));
    drop(maps);
    timeout(PATIENCE, following).await??;
    Ok(())
}

/// There are as many shards as the StatefulSet is to have Pods: from when it is scaled, and not as its Pods come.
pub async fn a_stateful_set_says_how_many_shards_there_are(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 2).create().await?;
    set.wait_ready(2).await?;
    let kube = arena.kube(WatchOptions::default())?;
    let (handle, shards) = Shards::changing(1);
    let sizes = kube
        .clone()
        .with_namespace(arena.namespace())
        .stateful_set_size("db");
    let counting = tokio::spawn(sizes.count_shards(handle));
    let until = async |wanted: u32| {
        let changed = async {
            while shards.current() != wanted {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, changed).await
    };
    until(2).await?;
    let cluster = portolan::Cluster::from(kube);
    let service = cluster.service(arena.full("db:http"))?;
    let policy = Shard::by_ordinal(shards.clone()).keys(Sharding::number());
    let db = service.policy(policy).nodes()?;
    let pod = async |key: &str| {
        let lease = db.pick(key).await?;
        Ok::<_, portolan::Error>(lease.endpoint().placement().to_string())
    };
    assert_eq!(pod("3").await?, "db-1");
    set.scale(3).await?;
    until(3).await?;
    set.wait_ready(3).await?;
    timeout(PATIENCE, async {
        while pod("5").await? != "db-2" {
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, portolan::Error>(())
    })
    .await??;
    counting.abort();
    Ok(())
}

/// Two shards, which meet at this key.
fn map(border: &str) -> String {
    format!(
        "shards:\n\
         - {{shard: 0, has: {{ranges: [{{below: {border}}}]}}, pods: [db-0]}}\n\
         - {{shard: 1, has: {{ranges: [{{from: {border}}}]}}, pods: [db-1]}}\n"
    )
}

async fn until(maps: &ShardMaps, such: impl Fn(&portolan::policy::ShardMap) -> bool) -> Result {
    let changed = async {
        while !maps.current().is_some_and(|map| such(&map)) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    Ok(timeout(PATIENCE, changed).await?)
}
