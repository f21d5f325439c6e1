//! A hundred Pods restart at once under 1,000 requests a second, and every watch breaks: what Portolan does besides
//! sending requests has a ceiling, each kind its own.
#![cfg(test)]

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder, Cluster, Counters, Nodes, Observer, View, Wait, dns::Dns, http::HttpClient,
    retry::RetryBudget,
};
use portolan_scenarios::{
    caller::until,
    failure::{Failure, Result},
    steady::{Millis, Outcome, Steady},
};
use portolan_test::{PodHandle, TestCluster, Verb, dns::DnsServer};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

const PODS: usize = 100;
/// Requests a second: by HTTP/2, of Pods that the API tells of; by HTTP/1.1, and by bare connections, of those that DNS
/// tells of. DNS tells late that a Pod is away, so these two find out by themselves.
const BY_HTTP2: u32 = 800;
const BY_HTTP1: u32 = 150;
const BARE: u32 = 50;
/// How long a request waits while all are away: on a machine with two cores that runs other tests besides, the restart
/// takes its time.
const PATIENCE: Wait = Wait::UpTo(Duration::from_secs(15));
/// How many connections to one Pod the client of HTTP/1.1 may have: the first Pod that is back has all the requests that
/// wait, and each of them wants one.
const CONNECTIONS: usize = 16;

/// How often a Pod is dialled that is away for so long: at once, and then after waits of which each is 1.6 times the one
/// before, the first 100 ms, all shorter by the fifth that the jitter may take off.
fn tries(away: Duration) -> u64 {
    let (mut tries, mut wait, mut waited) = (1, 0.08, 0.0);
    while waited < away.as_secs_f64() {
        waited += wait;
        wait *= 1.6;
        tries += 1;
    }
    tries
}

/// The Pods, and three clients of them.
struct Stage {
    cluster: TestCluster,
    dns: DnsServer,
    http2: HttpClient,
    http1: HttpClient,
    bare: Nodes,
}

impl Stage {
    async fn set() -> Result<Self> {
        let cluster = TestCluster::start().await?;
        let service = cluster.service("shop", "db").headless();
        let service = service.port("http", 8080).create().await?;
        let set = cluster.stateful_set("shop", "db", PODS as u32).parallel();
        let set = set.port("http", 8080).create().await?;
        set.wait_ready(PODS as u32).await?;
        service.wait_endpoints(PODS).await?;
        let dns = cluster.serve_dns().await?;
        let by_dns = Dns::with_nameservers([dns.address()])?.allow_loopback();
        let (by_dns, by_api) = (Cluster::from(by_dns), Cluster::from(cluster.client()));
        let balancer = |of: &Cluster| -> Result<BalancerBuilder> {
            Ok(of.service("db.shop:http")?.wait(PATIENCE).resilient())
        };
        let http1 = balancer(&by_dns)?.http();
        let stage = Self {
            http2: balancer(&by_api)?.http().http2().build()?,
            http1: http1.max_connections_per_endpoint(CONNECTIONS).build()?,
            bare: balancer(&by_dns)?.nodes()?,
            cluster,
            dns,
        };
        for observer in stage.observers() {
            until(observer, "all Pods", is_whole).await?;
        }
        Ok(stage)
    }

    fn observers(&self) -> [Observer; 3] {
        [
            self.http2.observe(),
            self.http1.observe(),
            self.bare.observe(),
        ]
    }

    fn counters(&self) -> [Counters; 3] {
        self.observers().map(|observer| observer.counters())
    }
}

fn requests(client: &HttpClient, rate: u32) -> Steady<()> {
    let client = client.clone();
    Steady::start(rate, move || {
        let client = client.clone();
        async move {
            let request = Request::new(Empty::<Bytes>::new());
            let response = client
                .send(request)
                .await
                .map_err(|error| error.to_string())?;
            let body = response.into_body().collect().await;
            body.map(drop).map_err(|error| error.to_string())
        }
    })
}

/// Connections of a client that has no use for HTTP, and says itself whom it cannot reach.
fn connections(nodes: &Nodes, rate: u32) -> Steady<()> {
    let nodes = nodes.clone();
    Steady::start(rate, move || {
        let nodes = nodes.clone();
        async move {
            loop {
                let mut lease = nodes.pick("").await.map_err(|error| error.to_string())?;
                match TcpStream::connect(lease.address()).await {
                    Ok(_) => {
                        lease.succeed();
                        return Ok(());
                    }
                    Err(_) => nodes.unreachable(lease),
                }
            }
        }
    })
}

fn is_whole(view: &View) -> bool {
    view.endpoints().len() == PODS
}

fn accepted(pods: &[PodHandle]) -> Vec<u64> {
    pods.iter().map(PodHandle::connections_accepted).collect()
}

fn expect(what: &str, count: u64, ceiling: u64) -> Result {
    writeln!(std::io::stdout(), "    {what}: {count}, {ceiling} at most")?;
    match count <= ceiling {
        true => Ok(()),
        false => Err(Failure::new(format_args!(
            "{what}: {count}, not {ceiling} at most"
        ))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pods_restart_at_once() -> Result {
    let stage = Stage::set().await?;
    let http2 = requests(&stage.http2, BY_HTTP2);
    let http1 = requests(&stage.http1, BY_HTTP1);
    let bare = connections(&stage.bare, BARE);
    http2.pass(BY_HTTP2 as usize).await?;

    let pods = stage.cluster.pods();
    let (before, had) = (stage.counters(), accepted(&pods));
    let (api, dns) = (stage.cluster.requests(), stage.dns.queries());
    api.reset();
    let asked = dns.total();
    let begun = Instant::now();
    // They begin to look before there is anything to see.
    let restart = stage.observers().map(|observer| {
        tokio::spawn(async move {
            let one_is_away = |view: &View| !is_whole(view);
            until(observer.clone(), "some are away", one_is_away).await?;
            until(observer, "all Pods are back", is_whole).await
        })
    });
    stage.cluster.faults().cut_watches();
    pods.iter().for_each(PodHandle::kill);
    for restart in restart {
        restart.await??;
    }
    let away = begun.elapsed();
    http2.pass(BY_HTTP2 as usize).await?;
    let (after, now) = (stage.counters(), accepted(&pods));
    let (lists, watches) = ["services", "endpointslices"]
        .map(|kind| (api.count(Verb::List, kind), api.count(Verb::Watch, kind)))
        .into_iter()
        .fold((0, 0), |(lists, watches), (more, also)| {
            (lists + more, watches + also)
        });
    let (questions, took) = (dns.total() - asked, begun.elapsed());
    let ended = Instant::now();
    let (http2, http1, bare) = tokio::try_join!(http2.stop(), http1.stop(), bare.stop())?;
    let outcomes = [http2, http1, bare].map(|shots| Outcome::of(&shots, begun, ended));
    let [http2, http1, bare] = &outcomes;
    writeln!(
        std::io::stdout(),
        "    {PODS} Pods restarted, and were back for everybody after {}: by HTTP/2 {http2}, by HTTP/1.1 {http1}, \
         bare {bare}",
        Millis(away),
    )?;

    for outcome in &outcomes {
        outcome.expect_failed_at_most(0)?;
    }
    let more = |client: usize, what: fn(&Counters) -> u64| {
        let of = |counters: &[Counters]| counters.get(client).map_or(0, what);
        of(&after) - of(&before)
    };
    let (pods, seconds) = (PODS as u64, took.as_secs() + 1);
    // One more for a Pod that the API takes off and puts back, whose connections begin anew; and one more for whichever
    // container dies before it has served for a second.
    let each = tries(away) + 2;
    let dialled = accepted_since(&had, &now);
    expect("dials by HTTP/2", more(0, |one| one.dials), pods * each)?;
    let (vain, dials) = (more(1, |one| one.dials_failed), more(1, |one| one.dials));
    let wanted = http1.sent as u64;
    // Besides, a request may try, no oftener than every 80 ms.
    let each = each + away.as_millis() as u64 / 80;
    expect("dials in vain by HTTP/1.1", vain, pods * each)?;
    expect("other dials by HTTP/1.1", dials - vain, pods + wanted)?;
    let most = 2 + CONNECTIONS as u64 + bare.sent as u64;
    expect("connections that one Pod had", dialled, most)?;
    for (client, outcome) in outcomes.iter().enumerate() {
        let budget = RetryBudget::default();
        let floor = u64::from(budget.per_second) * (budget.window.as_secs() + seconds);
        let sent = outcome.sent + BY_HTTP2 as usize;
        let share = (budget.share * sent as f64) as u64;
        expect("retries", more(client, |one| one.retries), floor + share)?;
    }
    expect("probes", more(2, |one| one.probes), pods * tries(away))?;
    // Each Service and its slices were watched once, and are again.
    expect("watches of the API", watches, 2 * 2)?;
    expect("lists of the API", lists, 2)?;
    // Two clients look once a second at most, however many connections fail, for addresses and names.
    expect("questions to DNS", questions, 2 * 2 * (seconds + 1))?;
    for client in 0..3 {
        expect("ejections", more(client, |one| one.ejections), pods / 3)?;
    }
    Ok(())
}

/// How many connections the one Pod has had that has had most.
fn accepted_since(had: &[u64], now: &[u64]) -> u64 {
    let more = now.iter().zip(had).map(|(now, had)| now - had);
    more.max().unwrap_or_default()
}

/// All Pods are away for a while, and back within milliseconds. Their connections broke at the same moment, and it is
/// not at the same moment that they are made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_broke_together_are_not_made_together() -> Result {
    let stage = Stage::set().await?;
    let pods = stage.cluster.pods();
    for pod in &pods {
        pod.refuse();
        pod.reset_connections();
    }
    let had = accepted(&pods);
    sleep(Duration::from_millis(1500)).await;
    for pod in &pods {
        pod.heal()?;
    }
    let back = tokio::task::spawn_blocking(move || when_back(&pods, &had)).await?;
    let at = |share: usize| back.get(back.len() * share / 100).copied();
    let (first, last) = (at(10).unwrap_or_default(), at(90).unwrap_or_default());
    writeln!(
        std::io::stdout(),
        "    {} of {PODS} Pods were dialled within 5 s: most of them over {}",
        back.len(),
        Millis(last - first)
    )?;
    assert_eq!(back.len(), PODS);
    // The third wait is 410 ms, the fourth 655 ms, give or take a fifth: 50 ms is what a machine that stands still from
    // time to time makes of that at worst. Without jitter it would be nothing.
    assert!(last - first >= Duration::from_millis(50));
    Ok(())
}

/// After what time each Pod had a connection, sorted; those that had one within 5 s. By a thread that has nothing else
/// to do.
fn when_back(pods: &[PodHandle], had: &[u64]) -> Vec<Duration> {
    let healed = Instant::now();
    let mut back = vec![None; pods.len()];
    while back.iter().any(Option::is_none) && healed.elapsed() < Duration::from_secs(5) {
        for ((back, now), had) in back.iter_mut().zip(accepted(pods)).zip(had) {
            if now > *had {
                back.get_or_insert_with(|| healed.elapsed());
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut back: Vec<_> = back.into_iter().flatten().collect();
    back.sort_unstable();
    back
}
