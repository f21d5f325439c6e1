//! What goes wrong in production, met by three gRPC clients at once: Portolan's channel, tonic's
//! `Channel::balance_list` and ginepro's `LoadBalancedChannel`.
//!
//! ```sh
//! cargo test -p portolan-scenarios --test peers -- --nocapture
//! ```
//!
//! All three call the same Pods through the same fault, so what the machine adds is the same for all. All have the
//! same limits on an answer and on a connection, and the same caller, who gives a call up after two seconds. tonic's list
//! is of the Pods that were there at the start, as a list is; ginepro asks the cluster's DNS every second, ten times as
//! often as by its default. Neither has retries, so what they lose is lost. Only Portolan's column is asserted.
#![cfg(test)]

mod channels;
mod table;

use std::{
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use http::StatusCode;
use portolan_scenarios::{
    arena::{Arena, on_embedded},
    failure::{Failure, Result},
    greeter,
    steady::{Outcome, Shot, Steady},
};
use portolan_test::Workload;
use tokio::time::Instant;

use channels::{CLIENTS, Channels};
use table::Table;

/// How long an endpoint may take to be connected to, and to answer.
const LIMIT: Duration = Duration::from_millis(250);
/// Calls a second, of each client.
const RATE: u32 = 200;
/// Those to a Service to which nothing happens.
const CALM_RATE: u32 = 100;
/// How late a slow Pod answers.
const LATE: Duration = Duration::from_millis(100);
/// What a machine with two cores may add that runs other tests besides.
const SLACK: Duration = Duration::from_millis(50);
/// The longest pause before a first retry.
const PAUSE: Duration = Duration::from_millis(25);

/// What goes wrong, as in the scenarios `resilience`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    RollingRestart,
    Killed,
    Hangs,
    Refuses,
    Slow,
    Resets,
    ZoneVanishes,
    ApiDownInRollout,
}

const FAULTS: [Fault; 8] = [
    Fault::RollingRestart,
    Fault::Killed,
    Fault::Hangs,
    Fault::Refuses,
    Fault::Slow,
    Fault::Resets,
    Fault::ZoneVanishes,
    Fault::ApiDownInRollout,
];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::RollingRestart => "rolling restart",
            Self::Killed => "kill -9 of a Pod",
            Self::Hangs => "a Pod hangs",
            Self::Refuses => "503 at once",
            Self::Slow => "100 ms late",
            Self::Resets => "resets each tenth",
            Self::ZoneVanishes => "a zone vanishes",
            Self::ApiDownInRollout => "API down in a rollout",
        }
    }

    fn pods(self) -> u32 {
        match self {
            Self::ZoneVanishes => 6,
            _ => 3,
        }
    }

    /// By how much Portolan's p99 may grow. No call may fail.
    fn adds(self) -> Duration {
        match self {
            Self::RollingRestart | Self::Killed | Self::Refuses | Self::Resets => PAUSE,
            Self::Slow => LATE,
            Self::Hangs | Self::ZoneVanishes | Self::ApiDownInRollout => LIMIT + PAUSE,
        }
    }
}

#[test]
fn what_each_client_makes_of_it() -> Result {
    let mut table = Table::default();
    // Two at a time take a machine of two cores no more than half.
    for two in FAULTS.chunks(2) {
        let played: Vec<Result<Played>> = thread::scope(|scope| {
            let runs = two.iter().map(|fault| scope.spawn(|| play(*fault)));
            let runs: Vec<_> = runs.collect();
            let end = |run: ScopedJoinHandle<'_, _>| run.join().unwrap_or_else(|_| panicked());
            runs.into_iter().map(end).collect()
        });
        for (fault, played) in two.iter().zip(played) {
            table.add(*fault, played?);
        }
    }
    table.print()?;
    FAULTS.into_iter().try_for_each(|fault| table.expect(fault))
}

fn play(fault: Fault) -> Result<Played> {
    let namespace = fault.name().to_lowercase().replace(' ', "-");
    let mut played = None;
    on_embedded(&namespace, async |arena| {
        played = Some(Stage::set(arena, fault).await?.play(fault).await?);
        Ok(())
    })?;
    played.ok_or_else(|| Failure::new("it was not played"))
}

fn panicked() -> Result<Played> {
    Err(Failure::new("it panicked"))
}

/// The Service, and what calls it.
struct Stage<'a> {
    arena: &'a Arena,
    set: Workload,
    channels: Channels,
}

/// What became of the calls of each client, and of those that nothing happened to.
struct Played {
    clients: Vec<(Outcome, Outcome)>,
    calm: Outcome,
}

impl<'a> Stage<'a> {
    async fn set(arena: &'a Arena, fault: Fault) -> Result<Self> {
        for name in ["db", "calm"] {
            arena.headless(name).await?;
        }
        let pods = |name, count| arena.stateful_set(name, count).image(greeter::IMAGE);
        let calm = pods("calm", 1).create().await?;
        let set = pods("db", fault.pods()).parallel();
        // As real ones should, they serve on for a moment where that is what it takes.
        let set = match fault {
            Fault::ApiDownInRollout => set.pre_stop(Duration::from_secs(1)),
            _ => set,
        };
        let set = set.create().await?;
        set.wait_ready(fault.pods()).await?;
        calm.wait_ready(1).await?;
        let channels = Channels::open(arena, fault.pods() as usize, LIMIT).await?;
        Ok(Self {
            arena,
            set,
            channels,
        })
    }

    async fn play(&self, fault: Fault) -> Result<Played> {
        let clients = CLIENTS.map(|client| self.channels.load(client, RATE));
        let calm = self.channels.calm(CALM_RATE);
        calm.pass(30).await?;
        let measured = Instant::now();
        calm.pass(100).await?;
        let begun = Instant::now();
        self.suffer(fault).await?;
        let left = Duration::from_millis(2500).saturating_sub(begun.elapsed());
        calm.pass((left.as_secs_f64() * f64::from(CALM_RATE)) as usize)
            .await?;
        let ended = Instant::now();
        let calm = Outcome::of(&calm.stop().await?, begun, ended);
        let stopped = clients.map(Steady::stop);
        let of_client = |shots: Vec<Shot<()>>| {
            let before = Outcome::of(&shots, measured, begun);
            (before, Outcome::of(&shots, begun, ended))
        };
        let clients = futures::future::try_join_all(stopped).await?;
        Ok(Played {
            clients: clients.into_iter().map(of_client).collect(),
            calm,
        })
    }

    async fn suffer(&self, fault: Fault) -> Result {
        let pod = self.arena.pod("db-1")?;
        match fault {
            Fault::RollingRestart => self.roll().await?,
            Fault::Killed => pod.kill(),
            Fault::Hangs => pod.hang(),
            Fault::Refuses => pod.answer_with(StatusCode::SERVICE_UNAVAILABLE),
            Fault::Slow => pod.slow(LATE),
            Fault::Resets => {
                pod.reset_every(10);
                pod.reset_every_connection(10);
            }
            Fault::ZoneVanishes => {
                let zone = pod.zone();
                let pods = self.arena.pods().into_iter();
                for pod in pods.filter(|pod| pod.name() != "calm-0" && pod.zone() == zone) {
                    pod.vanish()?;
                }
            }
            Fault::ApiDownInRollout => {
                self.arena.line().sever();
                self.roll().await?;
            }
        }
        Ok(())
    }

    async fn roll(&self) -> Result {
        self.set.roll().await?;
        Ok(self.set.wait_ready(3).await?)
    }
}
