//! Plans against the arithmetic, and the control loop on servers that queue.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{ZoneAware, plan::Plan};
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, InFlight, Index, Location, Measurement,
    Outcome, PickContext, Picker, Placement, Policy, Reason, Time, Tried, Verdict, Weight,
};

const MS: Duration = Duration::from_millis(1);

/// So many endpoints in each zone, of a client in the first.
fn candidates(zones: &[usize]) -> Candidates {
    let names = zones.iter().enumerate();
    let endpoints = names.flat_map(|(zone, &count)| (0..count).map(move |_| zone));
    let list: Vec<_> = endpoints
        .enumerate()
        .map(|(number, zone)| {
            let address = ([10, 0, zone as u8, number as u8], 80).into();
            let endpoint = Endpoint::new(Placement::new(format!("db-{number}")), address)
                .with_zone(format!("z{zone}"));
            let endpoint = Arc::new(endpoint);
            let measurement = Measurement::default();
            let state = Arc::new(EndpointState::new(Arc::clone(&endpoint), measurement));
            Candidate { endpoint, state }
        })
        .collect();
    Candidates::new(list, 7).with_location(Location::UNKNOWN.with_zone("z0"))
}

/// The share of picks that stay in the first zone, of so many endpoints.
fn share(picker: &dyn Picker, here: usize, draws: u32) -> f64 {
    let mut entropy = fastrand::Rng::with_seed(3);
    let stays = (0..draws).filter(|_| {
        let context = PickContext::new(Time::ORIGIN, entropy.u64(..));
        matches!(picker.pick(&context), Verdict::Use(index) if index.position() < here)
    });
    stays.count() as f64 / f64::from(draws)
}

proptest! {
    #[test]
    fn what_stays_and_what_leaves_is_all_there_is(zones in prop::collection::vec(0usize..8, 1..5)) {
        let total: usize = zones.iter().sum();
        let there = zones.iter().filter(|zone| **zone > 0).count();
        match Plan::of(&candidates(&zones)) {
            None => prop_assert!(zones[0] == 0 || there == 1),
            Some(plan) => {
                let fair = total as f64 / there as f64;
                prop_assert!((plan.kept - (zones[0] as f64 / fair * 1.1).min(1.0)).abs() < 1e-9);
                let shares: f64 = plan.others.iter().map(|(_, share)| share).sum();
                prop_assert!((shares - 1.0).abs() < 1e-9);
                // Nobody who has less than its own clients need is given those of others.
                for (zone, share) in &plan.others {
                    let number: usize = zone.as_deref().unwrap()[1..].parse().unwrap();
                    prop_assert!(*share >= 0.0);
                    prop_assert!(plan.kept >= 1.0 || zones[number] as f64 > fair || *share == 0.0);
                }
            }
        }
    }

    /// As every policy must.
    #[test]
    fn what_has_been_tried_is_left_alone(
        zones in prop::collection::vec(0usize..4, 1..4),
        tried in prop::collection::vec(0u32..12, 0..12),
        entropy in any::<u64>(),
    ) {
        let candidates = candidates(&zones);
        let picker = ZoneAware::new().build(&candidates);
        let tried: Tried = tried.into_iter().map(Index::new).collect();
        let all = 0..candidates.len() as u32;
        let left = all.filter(|&one| !tried.contains(Index::new(one))).count();
        match picker.pick(&PickContext::new(Time::ORIGIN, entropy).with_tried(&tried)) {
            Verdict::Use(index) => {
                prop_assert!(candidates.get(index).is_some() && !tried.contains(index));
            }
            Verdict::Fail(Reason::AllTried) => prop_assert!(left == 0 && !candidates.is_empty()),
            Verdict::Wait => prop_assert!(candidates.is_empty()),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn requests_stay_but_for_the_probes() {
    let policy = ZoneAware::new();
    let picker = policy.build(&candidates(&[4, 4, 4]));
    let share = share(&*picker, 4, 100_000);
    let sigma = (0.97 * 0.03 / 100_000.0_f64).sqrt();
    assert!((share - 0.97).abs() < 5.0 * sigma, "{share}");
    assert!((policy.kept().unwrap() - 0.97).abs() < 1e-6);
}

#[test]
fn a_zone_that_is_too_small_keeps_what_it_can_carry() {
    let picker = ZoneAware::new().build(&candidates(&[1, 5, 4, 2]));
    // A quarter of the clients, a twelfth of the endpoints, and a tenth on top.
    let expected = 1.0 / 3.0 * 1.1;
    let sigma = (expected * (1.0 - expected) / 100_000.0_f64).sqrt();
    let share = share(&*picker, 1, 100_000);
    assert!((share - expected).abs() < 5.0 * sigma, "{share}");
    // The last zone needs all that it has.
    let mut entropy = fastrand::Rng::with_seed(3);
    for _ in 0..10_000 {
        match picker.pick(&PickContext::new(Time::ORIGIN, entropy.u64(..))) {
            Verdict::Use(index) => assert!(index.position() < 10, "{index:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Shards, each with zones of its own, inside of which one policy chooses.
#[test]
fn what_one_group_is_like_is_nothing_to_another() {
    let policy = ZoneAware::new();
    let small = policy.build(&candidates(&[1, 5, 4, 2]));
    let expected = 1.0 / 3.0 * 1.1;
    let sigma = (expected * (1.0 - expected) / 100_000.0_f64).sqrt();
    for other in [&[4, 4, 4][..], &[3], &[0, 3]] {
        let _other = policy.build(&candidates(other));
        let share = share(&*small, 1, 100_000);
        assert!((share - expected).abs() < 5.0 * sigma, "{other:?}: {share}");
    }
}

#[test]
fn zones_play_no_part_where_there_is_nothing_to_choose() {
    let policy = ZoneAware::new();
    for zones in [&[3][..], &[0, 3], &[]] {
        let _ = policy.build(&candidates(zones));
        assert_eq!(policy.kept(), None, "{zones:?}");
    }
    let nowhere = candidates(&[2, 2]).with_location(Location::UNKNOWN);
    let share = share(&*policy.build(&nowhere), 2, 10_000);
    assert!((share - 0.5).abs() < 5.0 * 0.005, "{share}");
}

#[test]
fn weights_are_capacity() {
    let mut list = candidates(&[2, 2]).as_slice().to_vec();
    for one in &mut list[2..] {
        let heavy = (*one.endpoint).clone().with_weight(Weight::new(3));
        one.endpoint = Arc::new(heavy);
    }
    let weighted = Candidates::new(list, 7).with_location(Location::UNKNOWN.with_zone("z0"));
    let plan = Plan::of(&weighted).unwrap();
    assert!((plan.kept - 0.25 * 2.0 * 1.1).abs() < 1e-9);
}

/// Servers that answer one request after the other, in steps of a millisecond.
struct Simulation {
    candidates: Candidates,
    policy: ZoneAware,
    picker: Arc<dyn Picker>,
    servers: Vec<Server>,
    here: usize,
    entropy: fastrand::Rng,
    now: Time,
    owed: f64,
    latencies: Vec<Duration>,
}

#[derive(Default)]
struct Server {
    /// How many requests a step answers, and what is left over of the last.
    rate: f64,
    spare: f64,
    /// Answers at once, and badly.
    fails: bool,
    queue: VecDeque<(InFlight, Time)>,
}

impl Simulation {
    /// Each server here answers `here` requests a second, each elsewhere `elsewhere`.
    fn new(zones: &[usize], here: f64, elsewhere: f64) -> Self {
        let (candidates, policy) = (candidates(zones), ZoneAware::new());
        let server = |at| Server {
            rate: if at < zones[0] { here } else { elsewhere } / 1000.0,
            ..Server::default()
        };
        Self {
            picker: policy.build(&candidates),
            servers: (0..candidates.len()).map(server).collect(),
            here: zones[0],
            candidates,
            policy,
            entropy: fastrand::Rng::with_seed(11),
            now: Time::ORIGIN,
            owed: 0.0,
            latencies: Vec::new(),
        }
    }

    /// So many requests a second, for so many seconds. Returns the share that stayed.
    fn run(&mut self, requests: f64, seconds: u32) -> f64 {
        self.run_for(requests, seconds * 1000)
    }

    fn run_for(&mut self, requests: f64, millis: u32) -> f64 {
        let (mut stayed, mut all) = (0u32, 0u32);
        self.latencies.clear();
        for _ in 0..millis {
            self.now = self.now + MS;
            self.owed += requests / 1000.0;
            while self.owed >= 1.0 {
                self.owed -= 1.0;
                let context = PickContext::new(self.now, self.entropy.u64(..));
                let Verdict::Use(index) = self.picker.pick(&context) else {
                    panic!("nobody to send to");
                };
                all += 1;
                stayed += u32::from(index.position() < self.here);
                let state = &self.candidates.get(index).unwrap().state;
                let request = InFlight::begin(Arc::clone(state));
                self.servers[index.position()]
                    .queue
                    .push_back((request, self.now));
            }
            for at in 0..self.servers.len() {
                self.serve(at);
            }
        }
        f64::from(stayed) / f64::from(all)
    }

    fn serve(&mut self, at: usize) {
        // There and back between zones takes a step.
        let way = if at < self.here { Duration::ZERO } else { MS };
        let server = &mut self.servers[at];
        server.spare = (server.spare + server.rate).min(server.rate.max(1.0) + 1.0);
        while server.fails || server.spare >= 1.0 {
            let Some((request, since)) = server.queue.pop_front() else {
                break;
            };
            if server.fails {
                request.record(Outcome::Failure, Duration::ZERO, self.now);
                continue;
            }
            server.spare -= 1.0;
            let took = self.now.since(since) + MS + way;
            request.record(Outcome::Success, took, self.now);
            self.latencies.push(took);
        }
    }

    fn mean_latency(&self) -> f64 {
        let sum: Duration = self.latencies.iter().sum();
        sum.as_secs_f64() * 1e3 / self.latencies.len() as f64
    }

    fn set(&mut self, here: impl Fn(&mut Server)) {
        let count = self.here;
        self.servers.iter_mut().take(count).for_each(here);
    }
}

#[test]
fn a_zone_with_room_keeps_its_requests() {
    let mut simulation = Simulation::new(&[3, 3, 3], 400.0, 400.0);
    simulation.run(600.0, 20);
    let share = simulation.run(600.0, 60);
    assert!(share > 0.95, "{share}");
}

#[test]
fn a_zone_that_is_too_busy_sends_away_what_it_cannot_serve_and_no_more() {
    // 600 a second here, of 900 that come.
    let mut simulation = Simulation::new(&[3, 3, 3], 200.0, 1000.0);
    simulation.run(900.0, 60);
    let share = simulation.run(900.0, 60);
    assert!((0.5..0.67).contains(&share), "{share}");
    let mean = simulation.mean_latency();
    assert!(mean < 50.0, "{mean} ms: a queue has grown");
}

#[test]
fn what_was_sent_away_comes_back_when_the_zone_is_well() {
    let mut simulation = Simulation::new(&[3, 3, 3], 100.0, 1000.0);
    simulation.run(600.0, 60);
    let busy = simulation.policy.kept().unwrap();
    assert!(busy < 0.6, "{busy}");
    simulation.set(|server| server.rate = 1.0);
    simulation.run(600.0, 60);
    let well = simulation.policy.kept().unwrap();
    assert!(well > 0.9, "{well}");
}

#[test]
fn a_zone_that_fails_fast_draws_nothing() {
    let mut simulation = Simulation::new(&[3, 3, 3], 400.0, 400.0);
    simulation.run(600.0, 10);
    simulation.set(|server| server.fails = true);
    simulation.run(600.0, 30);
    let share = simulation.run(600.0, 10);
    assert!(share < 0.05, "{share}");
}

#[test]
fn it_goes_on_learning_while_endpoints_come_and_go() {
    let mut simulation = Simulation::new(&[3, 3, 3], 100.0, 1000.0);
    // More often than it is looked at.
    for _ in 0..150 {
        for _ in 0..2 {
            simulation.run_for(600.0, 400);
            simulation.picker = simulation.policy.build(&simulation.candidates);
        }
    }
    let kept = simulation.policy.kept().unwrap();
    assert!(kept < 0.6, "{kept}");
}

/// Two shards, of which the one is at ease.
#[test]
fn what_is_learnt_of_a_group_holds_for_that_alone() {
    let mut busy = Simulation::new(&[3, 3, 3], 100.0, 1000.0);
    let mut others = Vec::new();
    for (number, one) in candidates(&[3, 3, 3]).iter().enumerate() {
        let name = Placement::new(format!("other-{number}"));
        let endpoint = Arc::new((*one.endpoint).clone().with_placement(name));
        let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
        let state = Arc::new(state);
        others.push(Candidate { endpoint, state });
    }
    let others = Candidates::new(others, 7).with_location(Location::UNKNOWN.with_zone("z0"));
    let mut at_ease = busy.policy.build(&others);
    for _ in 0..4 {
        assert!(busy.run(600.0, 30) < 0.9);
        let share = share(&*at_ease, 3, 20_000);
        assert!((share - 0.97).abs() < 0.01, "{share}");
        // Something changes, and both are built anew.
        busy.picker = busy.policy.build(&busy.candidates);
        at_ease = busy.policy.build(&others);
    }
    assert!(busy.run(600.0, 1) < 0.6);
}

#[test]
fn what_was_learnt_outlives_a_change_of_the_endpoints() {
    let mut simulation = Simulation::new(&[3, 3, 3], 100.0, 1000.0);
    simulation.run(600.0, 60);
    let before = simulation.policy.kept().unwrap();
    simulation.picker = simulation.policy.build(&simulation.candidates);
    assert_eq!(simulation.policy.kept().unwrap(), before);
}
