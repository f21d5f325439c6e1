//! Many endpoints, and many Services. What they cost is noted; what must not grow is asserted.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that is made up here; what is missing ends the test"
)]

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, StreamExt};
use http::Request;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use portolan::{Nodes, Observer, Uid, View};
use portolan_kube::{Cluster as Source, WatchOptions, WatchStats};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{arena::Arena, failure::Result};

/// As the slices' controller fills them.
const PER_SLICE: u32 = 100;
const SLICES: u32 = 100;
/// A thousand where it is measured; a build that is not optimised only has to show that they all come.
const SERVICES: u32 = if cfg!(debug_assertions) { 200 } else { 1_000 };
/// How often the first snapshot is waited for.
const TURNS: usize = 15;
/// How many objects are written at once.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);

/// A Service of 10,000 Pods, all of which are replaced.
///
/// # Errors
/// What the cluster says.
pub async fn ten_thousand_endpoints(arena: &Arena) -> Result {
    let all = (PER_SLICE * SLICES) as usize;
    create_service(&arena.client(), arena.namespace(), "db").await?;
    let slices = Api::namespaced(arena.client(), arena.namespace());
    at_once(0..SLICES, |number| {
        write(slices.clone(), slice("db", number, 0))
    })
    .await?;

    // Each several times, by turns, and the best of each: the first fetch finds caches cold, and machines are busy.
    let (mut plain, mut streamed, mut first) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let mut curl = FetchedByCurl::default();
    let mut lists = 0;
    let (source, _nodes, mut observer) = loop {
        plain = plain.min(fetch_plain(arena).await?);
        streamed = streamed.min(fetch_streamed(arena).await?);
        curl.fetch(arena).await?;
        let source = arena.kube(WatchOptions::default())?;
        let cluster = portolan::Cluster::from(source.clone());
        let started = Instant::now();
        let nodes = cluster.service(arena.full("db:http"))?.nodes()?;
        let mut observer = nodes.observe();
        until(&mut observer, |view| view.endpoints().len() == all).await?;
        first = first.min(started.elapsed());
        lists += 1;
        if lists == TURNS {
            break (source, nodes, observer);
        }
    };
    let of = |fetch: Duration| first.as_secs_f64() / fetch.as_secs_f64();
    arena.note(format_args!(
        "first snapshot of {all} endpoints after {} ms, {:.2} of a bare fetch of the same list ({} ms), {:.2} of one \
         of a streaming list ({} ms), {}",
        first.as_millis(), of(plain), plain.as_millis(), of(streamed), streamed.as_millis(),
        Asked::since(&WatchStats::default(), &source),
    ));
    if let Some((pretty, compact)) = curl.best {
        arena.note(format_args!(
            "that is {:.2} of what curl needs for the same list ({} ms), and {:.2} of what it needs by another name, for \
             which the API server writes no spaces ({} ms)",
            of(pretty), pretty.as_millis(), of(compact), compact.as_millis(),
        ));
    }

    // A rolling update, slice by slice: other Pods at other addresses.
    let before = observer.view().generation();
    let (started, asked) = ((Instant::now(), cpu()), source.watch_stats());
    at_once(0..SLICES, |number| {
        write(slices.clone(), slice("db", number, 1))
    })
    .await?;
    let is_new = |view: &View| {
        let in_second_life = |uid: &Uid| uid.to_string().contains("-0001-");
        let endpoints = view.endpoints();
        endpoints.len() == all
            && endpoints
                .iter()
                .all(|one| one.endpoint.uid().is_some_and(in_second_life))
    };
    until(&mut observer, is_new).await?;
    let spent = cpu().saturating_sub(started.1);
    arena.note(format_args!(
        "all {all} replaced within {} ms, {} snapshots, {:.1} µs of this process's CPU for each endpoint, {}",
        started.0.elapsed().as_millis(),
        observer.view().generation() - before,
        spent.as_secs_f64() * 1e6 / all as f64,
        Asked::since(&asked, &source),
    ));
    assert_eq!(
        arena.questions().lists("endpointslices"),
        lists,
        "what was listed once is followed"
    );
    assert_eq!(arena.open_watches("endpointslices").await?, 1);
    Ok(())
}

/// Very many Services, watched from one process.
///
/// # Errors
/// What the cluster says.
pub async fn very_many_services(arena: &Arena) -> Result {
    let slices: Api<EndpointSlice> = Api::namespaced(arena.client(), arena.namespace());
    let make = |number: u32| {
        let (client, slices) = (arena.client(), slices.clone());
        let namespace = arena.namespace().to_owned();
        async move {
            let name = format!("db-{number}");
            create_service(&client, &namespace, &name).await?;
            let mut only = slice(&name, 0, 0);
            if let Some(endpoints) = only["endpoints"].as_array_mut() {
                endpoints.truncate(3);
            }
            write(slices, only).await
        }
    };
    at_once(0..SERVICES, make).await?;

    let source = arena.kube(WatchOptions::default())?;
    let cluster = portolan::Cluster::from(source.clone());
    let started = (Instant::now(), cpu(), resident());
    let all: Vec<Nodes> = (0..SERVICES)
        .map(|number| {
            Ok(cluster
                .service(arena.full(&format!("db-{number}:http")))?
                .nodes()?)
        })
        .collect::<Result<_>>()?;
    for nodes in &all {
        until(&mut nodes.observe(), |view| view.endpoints().len() == 3).await?;
    }
    arena.note(format_args!(
        "{SERVICES} Services known after {} ms, {:.2} ms of CPU and {} KiB of memory each, {}",
        started.0.elapsed().as_millis(),
        cpu().saturating_sub(started.1).as_secs_f64() * 1e3 / f64::from(SERVICES),
        resident().saturating_sub(started.2) / u64::from(SERVICES) / 1024,
        Asked::since(&WatchStats::default(), &source),
    ));
    let lists = |resource| arena.questions().lists(resource);
    let each = SERVICES as usize;
    assert_eq!((lists("services"), lists("endpointslices")), (each, each));
    drop(all);
    Ok(())
}

async fn until(observer: &mut Observer, such: impl Fn(&View) -> bool) -> Result {
    timeout(PATIENCE, async {
        let mut view = observer.view();
        while !such(&view) {
            view = observer.changed().await.ok_or("the balancer is gone")?;
        }
        Ok(())
    })
    .await?
}

/// The whole list as `curl` fetches it, with a connection of its own, read and thrown away.
async fn fetch_plain(arena: &Arena) -> Result<Duration> {
    let client = arena.client_by_line()?;
    let request = Request::get(slices_of_db(arena)).body(Vec::new())?;
    let started = Instant::now();
    client.request_text(request).await?;
    Ok(started.elapsed())
}

/// The same list as curl itself fetches it, as curl and by another name: the best of each. Only on the real cluster, where
/// the certificates are.
#[derive(Default)]
struct FetchedByCurl {
    best: Option<(Duration, Duration)>,
}

impl FetchedByCurl {
    #[cfg(feature = "real")]
    async fn fetch(&mut self, arena: &Arena) -> Result {
        let Ok(curl) = arena.curl() else {
            return Ok(());
        };
        let path = slices_of_db(arena);
        let pretty = curl.fetch(&path, None).await?;
        let compact = curl.fetch(&path, Some("portolan-scenarios")).await?;
        let (pretty_before, compact_before) = self.best.unwrap_or((Duration::MAX, Duration::MAX));
        if let Some((pretty, compact)) = pretty.zip(compact) {
            self.best = Some((pretty.min(pretty_before), compact.min(compact_before)));
        }
        Ok(())
    }

    #[cfg(not(feature = "real"))]
    async fn fetch(&mut self, _: &Arena) -> Result {
        Ok(())
    }
}

/// The same list as a stream (KEP-3157), up to the mark at its end. A server without streaming lists never
/// sends that: there is none among those that this runs on.
async fn fetch_streamed(arena: &Arena) -> Result<Duration> {
    let client = arena.client_by_line()?;
    let path = format!(
        "{}&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        slices_of_db(arena)
    );
    let request = Request::get(path).body(Vec::new())?;
    let started = Instant::now();
    let mut lines = client.request_stream(request).await?.lines();
    while let Some(line) = timeout(PATIENCE, lines.next()).await? {
        if line?.contains("k8s.io/initial-events-end") {
            return Ok(started.elapsed());
        }
    }
    Err("the streaming list ended before it was whole".into())
}

fn slices_of_db(arena: &Arena) -> String {
    let namespace = arena.namespace();
    format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices\
         ?labelSelector=kubernetes.io%2Fservice-name%3Ddb"
    )
}

async fn create_service(client: &Client, namespace: &str, name: &str) -> Result {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "clusterIP": "None", "ports": [{ "name": "http", "port": 8080 }] },
    });
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    services
        .create(&PostParams::default(), &serde_json::from_value(service)?)
        .await?;
    Ok(())
}

async fn write(slices: Api<EndpointSlice>, slice: Value) -> Result {
    let name = slice["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let params = PatchParams::apply("scale").force();
    slices.patch(&name, &params, &Patch::Apply(slice)).await?;
    Ok(())
}

/// A slice of Pods in their first or a later life.
fn slice(service: &str, number: u32, life: u32) -> Value {
    let endpoints: Vec<_> = (0..PER_SLICE)
        .map(|place| {
            let pod = number * PER_SLICE + place;
            json!({
                "addresses": [format!("10.244.{}.{}", pod / 200 + life * 64, pod % 200 + 1)],
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "nodeName": format!("node-{}", pod % 100), "zone": format!("zone-{}", pod % 3),
                "targetRef": {
                    "kind": "Pod", "name": format!("{service}-{pod}"),
                    "uid": uid(pod, life),
                },
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{number:03}"),
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    })
}

fn uid(pod: u32, life: u32) -> String {
    format!("3f0c1a52-7b1e-4d7a-{life:04x}-{pod:012x}")
}

/// Does all of it, so many at a time.
async fn at_once<F>(numbers: std::ops::Range<u32>, work: impl Fn(u32) -> F) -> Result
where
    F: Future<Output = Result> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for number in numbers {
        let place = Arc::clone(&places).acquire_owned().await?;
        let work = work(number);
        tasks.spawn(async move {
            let done = work.await;
            drop(place);
            done
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// What was asked of the API server to follow Services.
struct Asked {
    requests: u64,
    bytes: u64,
}

impl Asked {
    fn since(before: &WatchStats, source: &Source) -> Self {
        let now = source.watch_stats();
        Self {
            requests: now.requests - before.requests,
            bytes: now.bytes - before.bytes,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, bytes } = self;
        write!(
            f,
            "{requests} requests and {} KiB of the API server",
            bytes / 1024
        )
    }
}

/// The CPU time of this process: on the embedded cluster, the cluster's as well.
fn cpu() -> Duration {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // After the name, which may hold anything: state is the third field, user time the 14th.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(user + system)
    };
    // Linux tells them in hundredths of a second, whatever its own clock.
    Duration::from_millis(10 * ticks().unwrap_or_default())
}

/// The memory that this process has in use, in bytes.
fn resident() -> u64 {
    let pages = || -> Option<u64> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        statm.split_whitespace().nth(1)?.parse().ok()
    };
    pages().unwrap_or_default() * 4096
}
