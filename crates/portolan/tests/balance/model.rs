//! Thousands of histories of restarts, failures, failovers and requests. Whatever happens:
//! - a request that is not idempotent is with one endpoint at most that may have processed it;
//! - a request of a shard is with that shard's endpoint only, and a write with the primary of the highest epoch only;
//! - whoever waits goes on as soon as there is somebody to go to: no wake-up is lost.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use portolan::{
    Balance, Cluster, Endpoint, Error, Failure, Lease, Placement, Protocol, Resolution, Routing,
    Sent, Wait,
    policy::{Epoch, Leadership, LeastRequest, PrimaryReplica, Routes, Shard, Sharding, Shards},
    source::channel,
};
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

use crate::endpoint;

const ENDPOINTS: u16 = 4;
/// Longer than any history, so that nobody is saved from a lost wake-up by the end of his patience.
const PATIENCE: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug)]
enum Deed {
    /// It comes or goes.
    Toggle(u16),
    /// It is another life of the same name.
    Restart(u16),
    /// From now on it answers, refuses unread, or breaks off.
    Behave(u16, Manner),
    /// Another one is the primary.
    FailOver(u16),
    /// A request, safe to send twice or not.
    Request { idempotent: bool },
    /// The client's task and the driver's have their turn.
    Pass(u16),
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    Answers,
    Refuses,
    BreaksOff,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Any,
    Sharded,
    Learnt,
    Roles,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = || 0..ENDPOINTS;
    let manner = prop_oneof![
        Just(Manner::Answers),
        Just(Manner::Refuses),
        Just(Manner::BreaksOff)
    ];
    let deed = prop_oneof![
        2 => one().prop_map(Deed::Toggle),
        1 => one().prop_map(Deed::Restart),
        3 => (one(), manner).prop_map(|(one, manner)| Deed::Behave(one, manner)),
        2 => one().prop_map(Deed::FailOver),
        6 => any::<bool>().prop_map(|idempotent| Deed::Request { idempotent }),
        4 => (0u16..300).prop_map(Deed::Pass),
    ];
    prop::collection::vec(deed, 1..60)
}

/// The endpoints' side, and what came to them.
#[derive(Clone)]
struct Stage(Arc<Mutex<Inner>>);

struct Inner {
    plan: Plan,
    manners: HashMap<String, Manner>,
    leadership: Leadership,
    /// How often each request may have been processed.
    may_have: HashMap<u32, u32>,
    wrong: Vec<String>,
}

/// One endpoint: a request is its number, and whether it may be sent twice.
#[derive(Clone)]
struct Actor {
    name: String,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    number: u32,
    idempotent: bool,
}

impl Service<Request> for Actor {
    type Response = u32;
    type Error = Rejected;
    type Future = Ready<Result<u32, Rejected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut stage = self.stage.0.lock().unwrap();
        let Request { number, .. } = request;
        let belongs = match stage.plan {
            Plan::Any => true,
            Plan::Sharded | Plan::Learnt => self.name == shard_name(number),
            Plan::Roles => stage
                .leadership
                .primary()
                .is_some_and(|(primary, _)| primary.as_str() == self.name),
        };
        if !belongs {
            let wrong = format!("request {number} is sent to {}", self.name);
            stage.wrong.push(wrong);
        }
        let manner = stage.manners.get(&self.name).copied();
        ready(match manner.unwrap_or(Manner::Answers) {
            Manner::Refuses => Err(Rejected(request, Sent::No)),
            Manner::Answers => {
                *stage.may_have.entry(number).or_default() += 1;
                Ok(number)
            }
            Manner::BreaksOff => {
                *stage.may_have.entry(number).or_default() += 1;
                Err(Rejected(request, Sent::Maybe))
            }
        })
    }
}

fn shard_name(number: u32) -> String {
    format!("db-{}", number % u32::from(ENDPOINTS))
}

/// A request that comes back whole.
#[derive(Debug, thiserror::Error)]
#[error("rejected")]
struct Rejected(Request, Sent);

struct Numbers;

impl Protocol<Request, Actor> for Numbers {
    type Response = u32;

    fn is_idempotent(&self, request: &Request) -> bool {
        request.idempotent
    }

    fn routing<'r>(&'r self, request: &'r Request) -> Routing<'r> {
        Routing::key(request.number.to_string()).write()
    }

    fn respond(&self, response: u32, mut lease: Lease) -> u32 {
        lease.succeed();
        response
    }

    fn fail(&self, Rejected(request, sent): Rejected) -> Failure<Request> {
        Failure::new("rejected")
            .with_sent(sent)
            .with_request(request)
    }
}

fn balance(cluster: &Cluster, stage: &Stage) -> Balance<Actor, Numbers> {
    let builder = cluster.service("db").unwrap().wait(Wait::UpTo(PATIENCE));
    let (plan, leadership) = {
        let stage = stage.0.lock().unwrap();
        (stage.plan, stage.leadership.clone())
    };
    let shards = || Shard::by_ordinal(Shards::fixed(ENDPOINTS.into())).keys(Sharding::number());
    let builder = match plan {
        Plan::Any => builder.policy(LeastRequest::new()),
        Plan::Sharded => builder.policy(shards()),
        Plan::Learnt => builder.policy(Routes::by_key().over(shards())),
        Plan::Roles => builder.policy(PrimaryReplica::by_leadership(&leadership)),
    };
    let stage = stage.clone();
    let make = move |endpoint: &Endpoint| Actor {
        name: endpoint.placement().to_string(),
        stage: stage.clone(),
    };
    builder.build_with(make, Numbers).unwrap()
}

/// Plays a history, and then lets everything be well.
async fn play(plan: Plan, deeds: &[Deed]) -> Result<(), TestCaseError> {
    let leadership = Leadership::new();
    let mut epoch = 0;
    let mut fail_over = |to: u16| {
        epoch += 1;
        leadership.announce(Placement::new(format!("db-{to}")), Epoch::new(epoch));
    };
    fail_over(0);
    let stage = Stage(Arc::new(Mutex::new(Inner {
        plan,
        manners: HashMap::new(),
        leadership: leadership.clone(),
        may_have: HashMap::new(),
        wrong: Vec::new(),
    })));
    let (teller, source) = channel();
    let mut lives: Vec<Option<u32>> = vec![Some(0); ENDPOINTS.into()];
    let tell = |lives: &[Option<u32>]| {
        let there = (0u16..).zip(lives).filter_map(|(one, life)| {
            let uid = format!("{one}/{}", life.as_ref()?);
            Some(endpoint(one).with_ordinal(one.into()).with_uid(uid))
        });
        teller.tell(Resolution::Present(there.collect()));
    };
    tell(&lives);
    let balance = balance(&Cluster::from_source(source), &stage);
    let mut requests: Vec<(Request, JoinHandle<Result<u32, Error>>)> = Vec::new();
    for deed in deeds {
        match *deed {
            Deed::Toggle(one) => {
                let life = &mut lives[usize::from(one)];
                *life = match life {
                    Some(_) => None,
                    None => Some(100),
                };
                tell(&lives);
            }
            Deed::Restart(one) => {
                let life = &mut lives[usize::from(one)];
                *life = life.map(|life| life + 1);
                tell(&lives);
            }
            Deed::Behave(one, manner) => {
                let mut stage = stage.0.lock().unwrap();
                stage.manners.insert(format!("db-{one}"), manner);
            }
            Deed::FailOver(one) => fail_over(one),
            Deed::Request { idempotent } => {
                let number = requests.len() as u32;
                let request = Request { number, idempotent };
                let response = balance.clone().oneshot(request);
                requests.push((request, tokio::spawn(response)));
            }
            Deed::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
        }
    }
    stage.0.lock().unwrap().manners.clear();
    // Each is there, in a life of its own: whoever was asked may be asked again.
    lives = vec![None; ENDPOINTS.into()];
    tell(&lives);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lives = vec![Some(1_000); ENDPOINTS.into()];
    tell(&lives);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (request, response) in &requests {
        prop_assert!(response.is_finished(), "{request:?} still waits");
    }
    let stage = stage.0.lock().unwrap();
    prop_assert!(stage.wrong.is_empty(), "{:?}", stage.wrong);
    for (request, _) in &requests {
        let times = stage.may_have.get(&request.number).copied().unwrap_or(0);
        prop_assert!(
            request.idempotent || times <= 1,
            "{request:?} may have been processed {times} times"
        );
    }
    Ok(())
}

fn run(plan: Plan, deeds: &[Deed]) -> Result<(), TestCaseError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(play(plan, deeds))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_endpoint_will_do(deeds in deeds()) {
        run(Plan::Any, &deeds)?;
    }

    #[test]
    fn each_has_its_shard(deeds in deeds()) {
        run(Plan::Sharded, &deeds)?;
    }

    #[test]
    fn nothing_is_learnt_that_was_not_said(deeds in deeds()) {
        run(Plan::Learnt, &deeds)?;
    }

    #[test]
    fn the_primary_of_the_highest_epoch_writes(deeds in deeds()) {
        run(Plan::Roles, &deeds)?;
    }
}
