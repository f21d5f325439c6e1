//! Each key stays on its shard, whatever becomes of the Pods.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::try_join_all;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use portolan::{
    Wait,
    affinity::header,
    http::HttpClient,
    policy::{Absent, Ordinals, Shard, Sharding, Shards},
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    arena::Arena,
    failure::{Failure, Result},
    key_value::{IMAGE, KEY, SHARDS},
};

/// As many clients, each with keys of its own.
const CLIENTS: u32 = 4;

/// A StatefulSet of five Pods that keep their shards' data is rolled and scaled under load: every key is read
/// back from its own shard, nothing is written to another, and no request fails.
pub async fn every_key_stays_on_its_shard(arena: &Arena) -> Result {
    arena.headless("kv").await?;
    let set = arena
        .stateful_set("kv", SHARDS)
        .image(IMAGE)
        .create()
        .await?;
    set.wait_ready(SHARDS).await?;
    let shards = Shard::by_ordinals(Ordinals::of("kv"), Shards::fixed(SHARDS))
        .keys(Sharding::number())
        .while_absent(Absent::Wait(Duration::from_secs(30)));
    let client = arena
        .discovery()?
        .service(arena.full("kv:http"))?
        .policy(shards)
        .wait(Wait::UpTo(Duration::from_secs(30)))
        .http()
        .affinity(header(KEY))
        .retry_idempotent()
        .build()?;

    let load = Arc::new(Load::default());
    let clients = (0..CLIENTS)
        .map(|number| tokio::spawn(write_and_read(client.clone(), number, Arc::clone(&load))));
    let clients: Vec<_> = clients.collect();
    load.until_more(200).await?;
    let before = uids(&client);
    set.roll().await?;
    let all_anew =
        |pods: &HashSet<String>| pods.len() == SHARDS as usize && pods.is_disjoint(&before);
    until(&client, all_anew).await?;
    load.until_more(200).await?;
    set.scale(SHARDS + 2).await?;
    until(&client, |pods| pods.len() == SHARDS as usize + 2).await?;
    load.until_more(200).await?;
    set.scale(SHARDS).await?;
    until(&client, |pods| pods.len() == SHARDS as usize).await?;
    load.until_more(200).await?;
    load.stop.store(true, Ordering::Relaxed);

    let mut all = HashMap::new();
    for written in try_join_all(clients).await? {
        all.extend(written?);
    }
    for (key, value) in &all {
        expect(&client, *key, *value).await?;
    }
    let shards: std::collections::BTreeSet<_> = all.keys().map(|key| key % SHARDS).collect();
    assert_eq!(shards.len(), SHARDS as usize, "keys of every shard");
    let requests = load.requests.load(Ordering::Relaxed);
    arena.note(format!(
        "{requests} requests for {} keys, 0 failed, 0 to another shard",
        all.len()
    ));
    Ok(())
}

/// What the clients do.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    requests: AtomicU64,
    progress: Notify,
}

impl Load {
    /// Waits until so many more requests have been answered.
    async fn until_more(&self, requests: u64) -> Result {
        let wanted = self.requests.load(Ordering::Relaxed) + requests;
        let enough = async {
            while self.requests.load(Ordering::Relaxed) < wanted {
                self.progress.notified().await;
            }
        };
        let patience = Duration::from_secs(60);
        let reached = timeout(patience, enough).await;
        reached.map_err(|_| Failure::new("the clients are stuck"))
    }
}

fn uids(client: &HttpClient) -> HashSet<String> {
    let view = client.observe().view();
    let uids = view.endpoints().iter().filter_map(|one| one.endpoint.uid());
    uids.map(ToString::to_string).collect()
}

/// Waits until the Pods that get requests are such.
async fn until(client: &HttpClient, such: impl Fn(&HashSet<String>) -> bool) -> Result {
    let mut observer = client.observe();
    while !such(&uids(client)) {
        let changed = timeout(Duration::from_secs(90), observer.changed());
        changed.await?.ok_or("the balancer is gone")?;
    }
    Ok(())
}

/// Writes under keys of its own, and reads what it wrote, until it is stopped. What it wrote last under each.
async fn write_and_read(
    client: HttpClient,
    number: u32,
    load: Arc<Load>,
) -> std::result::Result<HashMap<u32, u64>, String> {
    let mut written = HashMap::new();
    // Bounded, should the rest of the scenario hang.
    for turn in 0..200_000_u64 {
        if load.stop.load(Ordering::Relaxed) {
            break;
        }
        let key = number + CLIENTS * (turn % 50) as u32;
        let failed = |error: Failure| format!("{error:?}");
        put(&client, key, turn).await.map_err(failed)?;
        written.insert(key, turn);
        expect(&client, key, turn).await.map_err(failed)?;
        load.requests.fetch_add(2, Ordering::Relaxed);
        load.progress.notify_one();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(written)
}

async fn put(client: &HttpClient, key: u32, value: u64) -> Result {
    let (status, _) = send(client, Method::PUT, key, value.to_string()).await?;
    match status {
        StatusCode::OK => Ok(()),
        other => Err(Failure::new(format!("PUT of key {key}: {other}"))),
    }
}

async fn expect(client: &HttpClient, key: u32, value: u64) -> Result {
    let (status, body) = send(client, Method::GET, key, String::new()).await?;
    let expected = value.to_string();
    if status == StatusCode::OK && *body == *expected.as_bytes() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "GET of key {key}: {status}, {body:?} in place of {value}"
    )))
}

async fn send(
    client: &HttpClient,
    method: Method,
    key: u32,
    body: String,
) -> Result<(StatusCode, Bytes)> {
    let request = Request::builder().method(method).uri("/").header(KEY, key);
    let response = client.send(request.body(Full::from(body))?).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
