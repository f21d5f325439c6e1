//! A sharded key-value store that goes from three shards to four while it is written and read, and restarts in
//! the middle of it. No key is lost, and nothing is sent to a shard that it does not belong to.
//!
//! ```sh
//! cargo run --example sharded_store
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

mod client;
mod server;

use std::{error::Error, time::Duration};

use portolan::{
    Cluster,
    policy::{Absent, Ordinals, Reads, Resharding, ReshardingPhase, Shard, Shards, Side, Writes},
};
use portolan_test::TestCluster;

use client::Store;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const KEYS: u32 = 200;

#[tokio::main]
async fn main() -> Result {
    let kubernetes = TestCluster::builder()
        .image("kv", server::program())
        .start()
        .await?;
    let service = kubernetes.service("shop", "kv").headless();
    let service = service.port("http", 8080).create().await?;
    let pods = kubernetes.stateful_set("shop", "kv", 3).image("kv");
    let pods = pods.port("http", 8080).create().await?;
    service.wait_endpoints(3).await?;

    // In a Pod this is `Cluster::infer().await?`.
    let cluster = Cluster::from(kubernetes.client());
    let resharding = Resharding::new(shards(3), shards(4));
    let store = Store::new(
        http(&cluster, &resharding, Side::Old)?,
        http(&cluster, &resharding, Side::New)?,
        resharding.clone(),
    );
    for key in 0..KEYS {
        store.put(&name(key), "first").await?;
    }
    println!("three shards:       {}", store.spread(3).await?);

    // Somebody goes on writing and reading all the time.
    let traffic = tokio::spawn(write_and_read(store.clone()));

    // A fourth Pod, which nobody asks for anything yet; and, why not, all of them restart.
    pods.scale(4).await?;
    service.wait_endpoints(4).await?;
    pods.roll().await?;
    pods.wait_ready(4).await?;

    // What is written goes to both places from here on; what is there already is copied.
    resharding.enter(ReshardingPhase::new(Reads::Old, Writes::Both));
    let copied = store.copy(3).await?;
    // The new place has everything. The old one still does, for clients that are a phase behind.
    resharding.enter(ReshardingPhase::new(Reads::NewThenOld, Writes::Both));
    // Nothing goes to the old places any more, whoever tries.
    resharding.enter(ReshardingPhase::new(Reads::New, Writes::New));
    let swept = store.sweep(4).await?;
    println!("four shards:        {}", store.spread(4).await?);

    let requests = store.requests();
    traffic.abort();
    if let Ok(ended) = traffic.await {
        ended?;
    }
    for key in 0..KEYS {
        let value = store.get(&name(key)).await?;
        if value.is_none() {
            return Err(format!("{} is lost", name(key)).into());
        }
    }
    println!(
        "all {KEYS} keys are there; {copied} were copied, {swept} swept from their old places;"
    );
    println!("{requests} requests meanwhile, and none failed or went to the wrong shard");
    Ok(())
}

/// So many shards, one for each Pod, by jump hash. Requests wait while theirs restarts.
fn shards(count: u32) -> Shard {
    Shard::by_ordinals(Ordinals::of("kv"), Shards::fixed(count))
        .while_absent(Absent::Wait(Duration::from_secs(30)))
}

fn http(
    cluster: &Cluster,
    resharding: &Resharding,
    side: Side,
) -> Result<portolan::http::HttpClient> {
    let client = cluster
        .service("kv.shop:http")?
        .policy(resharding.side(side))
        .http()
        .retry_idempotent()
        .build()?;
    Ok(client)
}

fn name(key: u32) -> String {
    format!("user:{key}")
}

/// Ends with the first request that fails, or reads something else than was written.
async fn write_and_read(store: Store) -> Result {
    for turn in 0.. {
        let key = name(turn % KEYS);
        let value = format!("turn {turn}");
        store.put(&key, &value).await?;
        let found = store.get(&key).await?;
        if found.as_deref() != Some(&*value) {
            return Err(format!("{key} is {found:?} and not {value:?}").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs_to_its_end() {
        super::main().unwrap();
    }
}
