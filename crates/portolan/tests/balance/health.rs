//! Active health checks, of endpoints that are as well as the test says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan::{
    BuildError, Cluster, Endpoint, ErrorKind, Lease, Nodes, Routing, Wait,
    health_check::HealthCheck,
    policy::{Absent, RoundRobin, Shard, Shards},
};
use tokio::time::{Instant, sleep};

use crate::{cluster_of, endpoint, present};

const SECOND: Duration = Duration::from_secs(1);

/// Endpoints by their names, and what is wrong with them; and when each was asked.
#[derive(Clone, Default)]
struct Ward(Arc<Mutex<Charts>>);

#[derive(Default)]
struct Charts {
    ill: BTreeMap<String, Illness>,
    asked: Vec<(String, Instant)>,
    under_way: usize,
    most_at_once: usize,
}

#[derive(Clone, Copy)]
enum Illness {
    Fails,
    Hangs,
    Panics,
}

impl Ward {
    fn falls_ill(&self, name: &str, illness: Illness) {
        self.0.lock().unwrap().ill.insert(name.into(), illness);
    }

    fn recovers(&self, name: &str) {
        self.0.lock().unwrap().ill.remove(name);
    }

    fn check(&self) -> HealthCheck {
        let ward = self.clone();
        HealthCheck::with(move |endpoint: Arc<Endpoint>| {
            let ward = ward.clone();
            async move { ward.ask(&endpoint.placement().to_string()).await }
        })
    }

    async fn ask(&self, name: &str) -> Result<(), &'static str> {
        let illness = {
            let mut charts = self.0.lock().unwrap();
            charts.asked.push((name.into(), Instant::now()));
            charts.under_way += 1;
            charts.most_at_once = charts.most_at_once.max(charts.under_way);
            charts.ill.get(name).copied()
        };
        let _under_way = UnderWay(self.clone());
        sleep(Duration::from_millis(10)).await;
        match illness {
            None => Ok(()),
            Some(Illness::Fails) => Err("it has a cold"),
            Some(Illness::Hangs) => std::future::pending().await,
            Some(Illness::Panics) => panic!("the test has it panic"),
        }
    }

    fn times_asked(&self, name: &str) -> Vec<Instant> {
        let charts = self.0.lock().unwrap();
        let of_it = charts.asked.iter().filter(|(asked, _)| asked == name);
        of_it.map(|(_, when)| *when).collect()
    }
}

struct UnderWay(Ward);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().under_way -= 1;
    }
}

fn checked(cluster: &Cluster, check: HealthCheck) -> Nodes {
    let builder = cluster.service("db.shop").unwrap();
    let builder = builder.policy(RoundRobin::new()).health_check(check);
    builder.nodes().unwrap()
}

async fn served_by(nodes: &Nodes) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..30 {
        let lease = nodes.pick("").await.unwrap();
        names.insert(lease.endpoint().placement().to_string());
    }
    names
}

fn names(ordinals: impl IntoIterator<Item = u16>) -> BTreeSet<String> {
    ordinals
        .into_iter()
        .map(|one| format!("db-{one}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_well_is_left_out_and_taken_back_and_the_view_says_why() {
    let (_teller, cluster) = cluster_of(0..3);
    let ward = Ward::default();
    let nodes = checked(&cluster, ward.check());
    assert_eq!(
        served_by(&nodes).await,
        names(0..3),
        "trusted from the start"
    );
    sleep(10 * SECOND).await;
    ward.falls_ill("db-1", Illness::Fails);
    // Two failures are none yet.
    sleep(19 * SECOND).await;
    assert!(ward.times_asked("db-1").len() >= 2);
    sleep(21 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names([0, 2]));
    let view = nodes.observe().view();
    let healthy: Vec<_> = view.health().iter().map(|one| one.is_healthy()).collect();
    assert_eq!(healthy, [true, false, true]);
    let [_, ill, _] = view.health() else {
        panic!("{view:?}")
    };
    assert_eq!(ill.endpoint().placement().to_string(), "db-1");
    assert_eq!(ill.last_failure().as_deref(), Some("it has a cold"));
    assert!(
        ill.failures() >= 3 && ill.checks() > ill.failures(),
        "{ill:?}"
    );

    ward.recovers("db-1");
    sleep(12 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names(0..3));
    assert!(ill.is_healthy(), "what was looked at goes on living");
}

#[tokio::test(start_paused = true)]
async fn where_all_fail_their_checks_all_stay() {
    let (_teller, cluster) = cluster_of(0..3);
    let ward = Ward::default();
    for name in names(0..3) {
        ward.falls_ill(&name, Illness::Fails);
    }
    let nodes = checked(&cluster, ward.check());
    sleep(60 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names(0..3));
    let view = nodes.observe().view();
    assert!(view.health().iter().all(|one| !one.is_healthy()));
    ward.recovers("db-2");
    sleep(12 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names([2]));
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_found_out_by_the_timeout_and_keeps_nobody_else_waiting() {
    let (_teller, cluster) = cluster_of(0..3);
    let ward = Ward::default();
    ward.falls_ill("db-0", Illness::Hangs);
    ward.falls_ill("db-1", Illness::Panics);
    let nodes = checked(&cluster, ward.check().unhealthy_after(1));
    sleep(12 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names([2]));
    let view = nodes.observe().view();
    let reasons: Vec<_> = view.health().iter().map(|one| one.last_failure()).collect();
    let reasons: Vec<_> = reasons.iter().map(Option::as_deref).collect();
    assert_eq!(
        reasons,
        [
            Some("no answer within 1s"),
            Some("the check panicked"),
            None
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_one_that_is_not_trusted_gets_nothing_before_its_first_good_check() {
    let (teller, cluster) = cluster_of(0..2);
    let ward = Ward::default();
    ward.falls_ill("db-2", Illness::Fails);
    let nodes = checked(&cluster, ward.check().distrust_new().healthy_after(3));
    // At the start there is nobody who could be trusted more.
    assert_eq!(served_by(&nodes).await, names(0..2));
    sleep(2 * SECOND).await;
    teller.tell(present(0..4));
    let mut has_come = false;
    for _ in 0..200 {
        let served = served_by(&nodes).await;
        assert!(served.is_subset(&names([0, 1, 3])), "{served:?}");
        if served.contains("db-3") && !has_come {
            assert_eq!(ward.times_asked("db-3").len(), 1, "one is enough");
            has_come = true;
        }
        sleep(SECOND / 10).await;
    }
    assert_eq!(served_by(&nodes).await, names([0, 1, 3]));
    ward.recovers("db-2");
    sleep(34 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names(0..4));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_endpoints_are_asked_all_through_the_interval_and_never_too_many_at_once() {
    let (_teller, cluster) = cluster_of(0..1000);
    let ward = Ward::default();
    for ordinal in 0..200 {
        ward.falls_ill(&format!("db-{ordinal}"), Illness::Hangs);
    }
    let started = Instant::now();
    let nodes = checked(&cluster, ward.check().at_once(20));
    drop(nodes.pick("").await.unwrap());
    sleep(60 * SECOND).await;
    let charts = ward.0.lock().unwrap();
    assert!(charts.most_at_once <= 20, "{}", charts.most_at_once);
    let mut by_second = [0_usize; 10];
    for (_, when) in &charts.asked {
        if let Some(count) = by_second.get_mut(when.duration_since(started).as_secs() as usize) {
            *count += 1;
        }
    }
    // 100 each are expected; 5 standard deviations are 47.
    let spread = by_second.iter().all(|count| (50..=150).contains(count));
    assert!(spread, "{by_second:?}");
    let mut times: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for (name, when) in &charts.asked {
        times.entry(name).or_default().push(*when);
    }
    assert_eq!(times.len(), 1000);
    let between = times.values().flat_map(|times| times.windows(2));
    for pair in between {
        let [one, next] = pair else { continue };
        let pause = next.duration_since(*one);
        // A place may have to be waited for.
        assert!(pause >= 9 * SECOND && pause <= 13 * SECOND, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_for_a_shard_goes_elsewhere_because_its_endpoint_is_not_well() {
    let (_teller, cluster) = cluster_of(0..3);
    let ward = Ward::default();
    let policy = Shard::by_ordinal(Shards::fixed(3)).while_absent(Absent::FailFast);
    let builder = cluster.service("db.shop").unwrap().policy(policy);
    let builder = builder.wait(Wait::FailFast).health_check(ward.check());
    let nodes = builder.nodes().unwrap();
    sleep(SECOND).await;
    let is_db_1 = |lease: &Lease| lease.endpoint().placement().to_string() == "db-1";
    let mut key = None;
    for number in 0..100_u32 {
        let lease = nodes.pick(number.to_string()).await.unwrap();
        if is_db_1(&lease) {
            key = Some(number.to_string());
        }
    }
    let key = key.unwrap();
    ward.falls_ill("db-1", Illness::Fails);
    sleep(45 * SECOND).await;
    let error = nodes
        .pick_for(Routing::key(key.as_str()))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{error}");
    ward.recovers("db-1");
    sleep(12 * SECOND).await;
    let lease = nodes.pick(&key).await.unwrap();
    assert!(is_db_1(&lease));
}

#[tokio::test(start_paused = true)]
async fn each_incarnation_is_checked_for_as_long_as_it_is_there_and_nobody_after_that() {
    let (teller, cluster) = cluster_of(0..2);
    let ward = Ward::default();
    ward.falls_ill("db-1", Illness::Fails);
    let nodes = checked(&cluster, ward.check());
    sleep(45 * SECOND).await;
    assert_eq!(served_by(&nodes).await, names([0]));
    // Another Pod of the same name is not ill because the last one was.
    let next = endpoint(1).with_uid("another");
    teller.tell(portolan::Resolution::Present(
        [endpoint(0), next].into_iter().collect(),
    ));
    sleep(SECOND / 10).await;
    assert_eq!(served_by(&nodes).await, names(0..2));

    teller.tell(present(0..1));
    sleep(SECOND / 10).await;
    let asked = ward.times_asked("db-1").len();
    sleep(60 * SECOND).await;
    assert_eq!(ward.times_asked("db-1").len(), asked);
    drop(nodes);
    sleep(SECOND).await;
    let asked = ward.times_asked("db-0").len();
    sleep(60 * SECOND).await;
    assert_eq!(ward.times_asked("db-0").len(), asked);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_ill_and_out_of_reach_is_asked_as_soon_as_it_is_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let named = |name, address| Endpoint::new(portolan::Placement::new(name), address);
    let endpoints = [named("db-0", address), named("db-1", address)];
    let cluster = Cluster::from_source(portolan::source::Fixed::from_iter(endpoints));
    let ward = Ward::default();
    ward.falls_ill("db-1", Illness::Fails);
    let hour = 3600 * SECOND;
    let nodes = checked(&cluster, ward.check().interval(hour).unhealthy_after(1));
    // While a client could not reach it, either.
    let lease = nodes.pick_for(Routing::pinned_to("db-1")).await.unwrap();
    sleep(hour).await;
    assert_eq!(served_by(&nodes).await, names([0]));
    ward.recovers("db-1");
    let before = Instant::now();
    nodes.unreachable(lease);
    let back = async {
        while served_by(&nodes).await.len() < 2 {
            sleep(SECOND / 10).await;
        }
    };
    tokio::time::timeout(hour / 2, back).await.unwrap();
    assert!(before.elapsed() < 10 * SECOND, "{:?}", before.elapsed());
}

/// Endpoints come, go, come again as another Pod, fall ill and recover; when that has been found out, those who are well
/// get requests and nobody else does, unless nobody is.
#[tokio::test(start_paused = true)]
async fn whatever_happens_those_who_are_well_are_asked_in_the_end() {
    for seed in 0..60 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (teller, cluster) = cluster_of([0]);
        let ward = Ward::default();
        let check = ward.check().unhealthy_after(dice.u32(1..4));
        let check = check.healthy_after(dice.u32(1..4));
        let check = if dice.bool() {
            check.distrust_new()
        } else {
            check
        };
        let nodes = checked(&cluster, check);
        let mut lives = [0; 5];
        for step in 0..15 {
            let there: Vec<u16> = (0..5).filter(|_| dice.u8(0..10) < 7).collect();
            for ordinal in 0..5_u16 {
                if dice.u8(0..10) < 2 {
                    lives[usize::from(ordinal)] += 1;
                }
                let name = format!("db-{ordinal}");
                match dice.u8(0..10) {
                    0..3 => ward.falls_ill(&name, Illness::Fails),
                    3 => ward.falls_ill(&name, Illness::Hangs),
                    4..8 => ward.recovers(&name),
                    _ => {}
                }
            }
            let told = there.iter().map(|&ordinal| {
                let life = lives[usize::from(ordinal)];
                endpoint(ordinal).with_uid(format!("uid-{ordinal}-{life}"))
            });
            teller.tell(portolan::Resolution::Present(told.collect()));
            // Now and then the next comes before this has been found out.
            if dice.u8(0..10) < 3 {
                sleep(Duration::from_millis(dice.u64(0..30_000))).await;
                continue;
            }
            sleep(50 * SECOND).await;
            if there.is_empty() {
                continue;
            }
            let ill = ward.0.lock().unwrap().ill.clone();
            let is_well = |ordinal: &&u16| !ill.contains_key(&format!("db-{ordinal}"));
            let well: Vec<u16> = there.iter().filter(is_well).copied().collect();
            let expected = if well.is_empty() { there } else { well };
            let said = format!(
                "seed {seed}, step {step}: {:?}",
                nodes.observe().view().health()
            );
            assert_eq!(served_by(&nodes).await, names(expected), "{said}");
        }
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_name() {
    let refused = |check: HealthCheck| {
        let (_teller, cluster) = cluster_of(0..1);
        let builder = cluster.service("db.shop").unwrap().health_check(check);
        match builder.nodes() {
            Err(BuildError::Setting { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    };
    let tcp = HealthCheck::tcp;
    assert_eq!(
        refused(tcp().interval(Duration::ZERO)),
        "health_check.interval"
    );
    assert_eq!(
        refused(tcp().timeout(Duration::ZERO)),
        "health_check.timeout"
    );
    assert_eq!(refused(tcp().timeout(11 * SECOND)), "health_check.timeout");
    assert_eq!(
        refused(tcp().healthy_after(0)),
        "health_check.healthy_after"
    );
    assert_eq!(
        refused(tcp().unhealthy_after(0)),
        "health_check.unhealthy_after"
    );
    assert_eq!(refused(tcp().at_once(0)), "health_check.at_once");
    assert_eq!(refused(tcp().at_once(usize::MAX)), "health_check.at_once");
    #[cfg(feature = "http")]
    {
        use portolan::health_check::HttpCheck;
        let http = |check: HttpCheck| refused(HealthCheck::http(check));
        assert_eq!(http(HttpCheck::get("healthz")), "health_check.path");
        assert_eq!(http(HttpCheck::get("/a b")), "health_check.path");
        let get = || HttpCheck::get("/");
        assert_eq!(http(get().port(0)), "health_check.port");
        #[expect(clippy::reversed_empty_ranges, reason = "it is what is refused")]
        let none = 300..=200;
        assert_eq!(http(get().statuses(none)), "health_check.statuses");
        assert_eq!(http(get().statuses(200..=600)), "health_check.statuses");
    }
}

#[tokio::test]
async fn an_endpoint_that_can_be_connected_to_is_well_and_one_that_cannot_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let nowhere = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let named = |name, address| Endpoint::new(portolan::Placement::new(name), address);
    let endpoints = [named("db-0", there), named("db-1", nowhere)];
    let cluster = Cluster::from_source(portolan::source::Fixed::from_iter(endpoints));
    let check = HealthCheck::tcp()
        .interval(SECOND / 10)
        .timeout(SECOND / 10);
    let nodes = checked(&cluster, check.unhealthy_after(1));
    let mut observer = nodes.observe();
    let found = async {
        while let Some(view) = observer.changed().await {
            if view.health().iter().any(|one| !one.is_healthy()) {
                return view;
            }
        }
        panic!("the balancer is gone");
    };
    let view = tokio::time::timeout(20 * SECOND, found).await.unwrap();
    let reason = view.health()[1].last_failure().unwrap();
    assert!(reason.contains("cannot connect"), "{reason}");
    assert_eq!(served_by(&nodes).await, names([0]));
}
