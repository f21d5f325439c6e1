//! What goes wrong in production, under a load that does not wait, and what it costs: requests that fail, and time.
//!
//! The client is the one that the documentation recommends: `resilient()`, and a limit on how long an endpoint
//! may take. Its requests may be sent twice. What a fault adds to p99 is told over two things, whichever is
//! larger: the same load right before, and what requests to another Service take meanwhile that has no fault. The second
//! is what the machine adds, which runs other tests at the same time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::StatusCode;
use portolan::{
    BalancerBuilder, Cluster, EndpointState, health::OutlierEjection, http::HttpBuilder,
    policy::PeakEwma,
};
use portolan_test::{NewWorkload, PodHandle, Workload};
use tokio::time::Instant;

use super::dns_takes_over::both;
use crate::{
    arena::Arena,
    caller::{Answer, Caller, names},
    failure::{Failure, Result},
    steady::{Millis, Outcome, Shot, Steady},
};

/// Requests a second, to the Service in trouble and to the other one.
const RATE: u32 = 500;
const CALM_RATE: u32 = 100;
/// Requests before the trouble.
const BEFORE: usize = 500;
/// How long an endpoint may take to be connected to, and to answer.
const LIMIT: Duration = Duration::from_millis(250);
/// The longest pause before a first retry (`RetryBackoff`).
const PAUSE: Duration = Duration::from_millis(25);
/// What a machine with two cores may add that runs other tests besides, and that the other Service has not met.
const SLACK: Duration = Duration::from_millis(50);

/// The Pods of a StatefulSet restart one after the other. No request fails; some pause once before they go to another
/// Pod.
pub async fn rolling_restart(arena: &Arena) -> Result {
    let mut stage = Stage::set(arena, 3).await?;
    stage.trouble_begins().await?;
    stage.set.roll().await?;
    stage.set.wait_ready(3).await?;
    stage.caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    stage.load.pass(500).await?;
    let proof = stage.ends().await?;
    assert_eq!(proof.incarnations(), 6, "three old Pods, three new ones");
    proof.expect(0, PAUSE)
}

/// Kill -9: the connections of a Pod break all at once, and its address refuses, until its container is started again.
/// No request fails.
pub async fn killed(arena: &Arena) -> Result {
    let mut stage = Stage::set(arena, 3).await?;
    stage.trouble_begins().await?;
    arena.pod("db-1")?.kill();
    let sick = stage.until_left_out(&["db-1"]).await?;
    stage.caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    stage.load.pass(1000).await?;
    sick.expect_served_again()?;
    stage.ends().await?.expect(0, PAUSE)
}

/// One Pod freezes, another takes requests and answers none. Both accept connections, and both are ready as far as
/// the cluster knows. They are found out by requests that are not answered in time; each of those is answered by
/// another Pod. No request fails, and after the ejection neither gets any.
pub async fn hangs(arena: &Arena) -> Result {
    let mut stage = Stage::set(arena, 6).await?;
    stage.trouble_begins().await?;
    arena.pod("db-1")?.hang();
    arena.pod("db-2")?.stall();
    let sick = stage.until_left_out(&["db-1", "db-2"]).await?;
    stage.load.pass(1500).await?;
    sick.expect_asked_at_most(0)?;
    stage.ends().await?.expect(0, LIMIT + PAUSE)
}

/// A Pod answers 503, faster than the others answer at all. Its answers are not passed on, and after five of them
/// it gets nothing until its trial, in which it fails again. No request fails.
pub async fn refuses(arena: &Arena) -> Result {
    let mut stage = Stage::set(arena, 3).await?;
    stage.trouble_begins().await?;
    arena
        .pod("db-1")?
        .answer_with(StatusCode::SERVICE_UNAVAILABLE);
    let sick = stage.until_left_out(&["db-1"]).await?;
    stage.load.pass(1000).await?;
    sick.expect_asked_at_most(0)?;
    // Its trial is after 5 to 6 s.
    stage.until_ejected(2).await?;
    stage.load.pass(500).await?;
    sick.expect_asked_at_most(10)?;
    stage.ends().await?.expect(0, PAUSE)
}

/// A Pod answers 100 ms late. That is no failure, so it stays; the default policy goes by what is in flight, so it has
/// about one request at a time, and p99 is what it takes. [`PeakEwma`] goes by the time as well, and hardly asks it.
pub async fn slow(arena: &Arena) -> Result {
    const LATE: Duration = Duration::from_millis(100);
    let mut stage = Stage::set(arena, 3).await?;
    let by_latency = |balancer: BalancerBuilder| resilient(balancer.policy(PeakEwma::new()));
    let latency = Caller::of(&arena.discovery()?, &arena.full("db:http"), by_latency)?;
    latency.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let by_latency = start(&latency, RATE / 2);
    by_latency.pass(BEFORE / 2).await?;
    stage.trouble_begins().await?;
    arena.pod("db-1")?.slow(LATE);
    stage.load.pass(1500).await?;
    let (begun, shots) = (stage.begun, by_latency.stop().await?);
    let proof = stage.ends().await?;
    let shares = (proof.share_of("db-1"), share_of("db-1", &shots, begun));
    let meanwhile = Outcome::of(&shots, begun, proof.ended);
    arena.note(format_args!(
        "the slow Pod has {:.1}% of the requests; by PeakEwma {:.1}%, {meanwhile}",
        100.0 * shares.0,
        100.0 * shares.1,
    ));
    assert!(shares.0 < 0.1 && shares.1 < 0.02, "{shares:?}");
    meanwhile.expect_failed_at_most(0)?;
    let most = proof.usual() + SLACK;
    assert!(meanwhile.p99 < most, "{meanwhile}, not below {most:?}");
    proof.expect(0, LATE)
}

/// A Pod resets the connection in place of each tenth answer, and each tenth connection that is made to it. What it
/// lost is asked of another Pod; no request fails. It is left out until the next connection when one cannot be made, which
/// is not for long, and then for longer, when its success rate is seen to be too low beside the others'.
pub async fn resets(arena: &Arena) -> Result {
    // Every 10 s by default.
    let ejection = OutlierEjection::new().with_interval(Duration::from_secs(2));
    let eject = |balancer: BalancerBuilder| resilient(balancer.eject_outliers(ejection));
    let mut stage = Stage::of(arena, (pods(arena, 6), 6), &arena.discovery()?, eject).await?;
    stage.trouble_begins().await?;
    let pod = arena.pod("db-1")?;
    pod.reset_every(10);
    pod.reset_every_connection(10);
    stage.until_ejected(1).await?;
    let sick = stage.until_left_out(&["db-1"]).await?;
    stage.load.pass(1000).await?;
    // A fair share were 167.
    sick.expect_asked_at_most(50)?;
    stage.ends().await?.expect(0, PAUSE)
}

/// A zone is cut off: its Pods say nothing any more, on connections that are open and to those who make new ones, and
/// the API lists them as ready. No request fails, and after they are found out they get none.
pub async fn zone_vanishes(arena: &Arena) -> Result {
    let mut stage = Stage::set(arena, 6).await?;
    let pods = arena.pods();
    let pods: Vec<_> = pods.iter().filter(|pod| pod.name() != "calm-0").collect();
    let zones: BTreeSet<_> = pods.iter().map(|pod| pod.zone()).collect();
    let of_zone = |zone| -> Vec<&PodHandle> {
        let pods = pods.iter().copied();
        pods.filter(|pod| pod.zone() == zone).collect()
    };
    // As a scheduler that knows of other namespaces may have put three in one.
    let zone = zones.into_iter().map(of_zone).find(|zone| zone.len() <= 2);
    let zone = zone.ok_or_else(|| Failure::new("no zone has two Pods at most"))?;
    stage.trouble_begins().await?;
    for pod in &zone {
        pod.vanish()?;
    }
    let names: Vec<_> = zone.iter().map(|pod| pod.name()).collect();
    let sick = stage.until_left_out(&names).await?;
    stage.load.pass(1500).await?;
    sick.expect_asked_at_most(0)?;
    stage.ends().await?.expect(0, LIMIT + PAUSE)
}

/// The API server cannot be reached for the whole of a rolling restart: new Pods are found by DNS, which stands in for
/// it. The Pods serve on for a second, as real ones should, in which it takes over. No request fails. (What becomes of
/// a client that has nobody to tell it is in [`outage`](super::outage).)
pub async fn api_down_in_rollout(arena: &Arena) -> Result {
    let cluster = Cluster::from_source(both(arena).await?);
    let set = arena.stateful_set("db", 3).parallel();
    let set = set.pre_stop(Duration::from_secs(1));
    let mut stage = Stage::of(arena, (set, 3), &cluster, resilient).await?;
    let before = stage.caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    stage.trouble_begins().await?;
    arena.line().sever();
    stage.set.roll().await?;
    stage.set.wait_ready(3).await?;
    let all_are_new = |view: &portolan::View| {
        let is_old = |address| {
            before
                .endpoints()
                .iter()
                .any(|old| old.endpoint.address() == address)
        };
        let mut addresses = view.endpoints().iter().map(|one| one.endpoint.address());
        view.endpoints().len() == 3 && !addresses.any(is_old)
    };
    stage
        .caller
        .until("all Pods are new ones", all_are_new)
        .await?;
    stage.load.pass(500).await?;
    arena.line().mend();
    let proof = stage.ends().await?;
    assert_eq!(proof.incarnations(), 6, "three old Pods, three new ones");
    proof.expect(0, LIMIT + PAUSE)
}

/// The client that the documentation recommends.
fn resilient(balancer: BalancerBuilder) -> HttpBuilder {
    let http = balancer.resilient().http();
    http.connect_timeout(LIMIT).response_timeout(LIMIT)
}

/// All of which start at the same time.
fn pods(arena: &Arena, pods: u32) -> NewWorkload {
    arena.stateful_set("db", pods).parallel()
}

fn start(caller: &Caller, rate: u32) -> Steady<Answer> {
    let caller = caller.clone();
    Steady::start(rate, move || {
        let caller = caller.clone();
        async move { caller.get().await.map_err(|error| error.to_string()) }
    })
}

/// A Service under load, and another one to which nothing happens.
struct Stage<'a> {
    arena: &'a Arena,
    caller: Caller,
    set: Workload,
    states: Vec<(String, Arc<EndpointState>)>,
    load: Steady<Answer>,
    calm: Steady<Answer>,
    measured: Instant,
    begun: Instant,
}

impl<'a> Stage<'a> {
    async fn set(arena: &'a Arena, pods: u32) -> Result<Self> {
        let set = self::pods(arena, pods);
        Self::of(arena, (set, pods), &arena.discovery()?, resilient).await
    }

    async fn of(
        arena: &'a Arena,
        (set, pods): (NewWorkload, u32),
        cluster: &Cluster,
        adapt: impl FnOnce(BalancerBuilder) -> HttpBuilder,
    ) -> Result<Self> {
        arena.headless("db").await?;
        arena.headless("calm").await?;
        let calm = arena.stateful_set("calm", 1).create().await?;
        let set = set.create().await?;
        set.wait_ready(pods).await?;
        calm.wait_ready(1).await?;
        let calm = Caller::of(&arena.discovery()?, &arena.full("calm:http"), resilient)?;
        calm.until_pods(&["calm-0"]).await?;
        let caller = Caller::of(cluster, &arena.full("db:http"), adapt)?;
        let all = |view: &portolan::View| view.endpoints().len() == pods as usize;
        let view = caller.until("all Pods get requests", all).await?;
        let states = names(&view).into_iter().map(str::to_owned);
        let states = states.zip(view.endpoints().iter().map(|one| Arc::clone(&one.state)));
        let stage = Self {
            arena,
            states: states.collect(),
            load: start(&caller, RATE),
            calm: start(&calm, CALM_RATE),
            caller,
            set,
            measured: Instant::now(),
            begun: Instant::now(),
        };
        // Connections are made, and measured how long requests take.
        stage.load.pass(BEFORE / 2).await?;
        Ok(Self {
            measured: Instant::now(),
            ..stage
        })
    }

    async fn trouble_begins(&mut self) -> Result {
        self.load.pass(BEFORE).await?;
        self.begun = Instant::now();
        Ok(())
    }

    /// Waits until none of these gets requests.
    async fn until_left_out(&self, sick: &[&str]) -> Result<Sick> {
        let none = |view: &portolan::View| names(view).iter().all(|name| !sick.contains(name));
        let what = format!("{sick:?} get no requests");
        self.caller.until(&what, none).await?;
        let found = self.begun.elapsed();
        self.arena
            .note(format_args!("found out after {}", Millis(found)));
        let of_sick = self
            .states
            .iter()
            .filter(|(name, _)| sick.contains(&&**name));
        let states: Vec<_> = of_sick.map(|(_, state)| Arc::clone(state)).collect();
        let asked = states.iter().map(asked).sum();
        Ok(Sick { states, asked })
    }

    /// Waits until so many ejections have been made.
    async fn until_ejected(&self, times: u64) -> Result {
        let observer = self.caller.observe();
        let ejected = async {
            while observer.counters().ejections < times {
                self.load.pass(5).await?;
            }
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(10), ejected).await?
    }

    async fn ends(self) -> Result<Proof<'a>> {
        let ended = Instant::now();
        let (load, calm) = tokio::join!(self.load.stop(), self.calm.stop());
        let shots = load?;
        Ok(Proof {
            arena: self.arena,
            before: Outcome::of(&shots, self.measured, self.begun),
            meanwhile: Outcome::of(&shots, self.begun, ended),
            calm: Outcome::of(&calm?, self.begun, ended),
            shots,
            begun: self.begun,
            ended,
            counters: self.caller.observe().counters(),
        })
    }
}

/// Pods that were found out.
struct Sick {
    states: Vec<Arc<EndpointState>>,
    /// How often they had been asked by then.
    asked: u64,
}

/// How many requests have been sent there.
fn asked(state: &Arc<EndpointState>) -> u64 {
    state.requests() + u64::from(state.in_flight())
}

impl Sick {
    fn since(&self) -> u64 {
        let now: u64 = self.states.iter().map(asked).sum();
        now.saturating_sub(self.asked)
    }

    fn expect_asked_at_most(&self, most: u64) -> Result {
        match self.since() {
            since if since <= most => Ok(()),
            since => Err(Failure::new(format_args!(
                "asked {since} times after they were found out, not {most} at most"
            ))),
        }
    }

    fn expect_served_again(&self) -> Result {
        match self.since() {
            0 => Err(Failure::new("a Pod that is well again got nothing")),
            _ => Ok(()),
        }
    }
}

/// What a fault has cost.
struct Proof<'a> {
    arena: &'a Arena,
    before: Outcome,
    meanwhile: Outcome,
    calm: Outcome,
    shots: Vec<Shot<Answer>>,
    begun: Instant,
    ended: Instant,
    counters: portolan::Counters,
}

impl Proof<'_> {
    /// What p99 was without the fault.
    fn usual(&self) -> Duration {
        self.before.p99.max(self.calm.p99)
    }

    /// Tells it, and fails if more failed than this, or p99 grew by more than this and what the machine may add.
    fn expect(&self, failed: usize, added: Duration) -> Result {
        let more = self.meanwhile.p99.saturating_sub(self.usual());
        self.arena.note(format_args!(
            "{}, {} added; before {}, another Service {}; slowest {}; {} retries, {} refused",
            self.meanwhile,
            Millis(more),
            Millis(self.before.p99),
            Millis(self.calm.p99),
            Millis(self.meanwhile.max),
            self.counters.retries,
            self.counters.retries_refused,
        ));
        self.meanwhile.expect_failed_at_most(failed)?;
        if more > added + SLACK {
            return Err(Failure::new(format_args!(
                "p99 grew by {more:?}, not by {added:?} and {SLACK:?}"
            )));
        }
        Ok(())
    }

    /// How many Pods, old and new ones of a name, answered.
    fn incarnations(&self) -> usize {
        let shots = self.shots.iter();
        let answers = shots.filter_map(|shot| shot.result.as_ref().ok());
        let uids: BTreeSet<_> = answers.map(|answer| &answer.uid).collect();
        uids.len()
    }

    fn share_of(&self, pod: &str) -> f64 {
        share_of(pod, &self.shots, self.begun)
    }
}

fn share_of(pod: &str, shots: &[Shot<Answer>], since: Instant) -> f64 {
    let since = shots.iter().filter(|shot| shot.due >= since);
    let all = since.clone().count();
    let of_pod = since.filter(|shot| shot.result.as_ref().is_ok_and(|one| one.pod == pod));
    of_pod.count() as f64 / all.max(1) as f64
}
