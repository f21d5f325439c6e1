//! Bounded load: a cache in which a few keys are asked for all the time.

use std::sync::Arc;

use super::{GrpcRingHash, Ketama, all, equal, key, pick, weighted};
use crate::{
    Candidates, InFlight, Index, PickContext, Picker, Policy, Time, Tried, Verdict,
    policy::{JumpHash, Maglev, Rendezvous, RingHash},
};

const BOUND: f64 = 1.25;
const HOSTS: u32 = 20;
/// As many requests are in flight at any time.
const AT_ONCE: usize = 400;

fn bounded() -> [Arc<dyn Policy>; 6] {
    [
        Arc::new(RingHash::new().bounded_load(BOUND)),
        Arc::new(Maglev::new().bounded_load(BOUND)),
        Arc::new(Rendezvous::new().bounded_load(BOUND)),
        Arc::new(JumpHash::new().bounded_load(BOUND)),
        Arc::new(GrpcRingHash::by_placement().bounded_load(BOUND)),
        Arc::new(Ketama::by_placement().bounded_load(BOUND)),
    ]
}

/// Keys of which the n-th is asked for 1/n as often as the first.
struct Zipf(Vec<f64>);

impl Zipf {
    fn of(keys: u32) -> Self {
        let mut sum = 0.0;
        let up_to = |rank: u32| {
            sum += 1.0 / f64::from(rank);
            sum
        };
        Self((1..=keys).map(up_to).collect())
    }

    fn draw(&self, random: &mut fastrand::Rng) -> u32 {
        let point = random.f64() * self.0.last().unwrap();
        self.0.partition_point(|up_to| *up_to < point) as u32
    }
}

/// What a host remembers: the keys it was asked for last.
#[derive(Clone, Default)]
struct Cache(Vec<u32>);

impl Cache {
    const ROOM: usize = 100;

    fn hits(&mut self, key: u32) -> bool {
        let known = self.0.iter().position(|one| *one == key);
        match known {
            Some(place) => drop(self.0.remove(place)),
            None if self.0.len() == Self::ROOM => drop(self.0.remove(0)),
            None => {}
        }
        self.0.push(key);
        known.is_some()
    }
}

#[derive(Debug)]
struct Seen {
    /// The busiest host's requests, of the mean.
    busiest: f64,
    /// The most that a host had in flight, of the mean then.
    peak: f64,
    /// The part of the requests whose key the host knew, once warm.
    hits: f64,
}

/// Requests come and go, each sent where `choose` says.
fn simulate(candidates: &Candidates, mut choose: impl FnMut(u32, u64) -> Index) -> Seen {
    let (zipf, mut random) = (Zipf::of(10_000), fastrand::Rng::with_seed(17));
    let mut caches = vec![Cache::default(); candidates.len()];
    let mut counts = vec![0_u64; candidates.len()];
    let (mut requests, mut hits, mut peak) = (Vec::new(), 0, 0);
    let rounds = 60_000;
    for round in 0..rounds {
        if requests.len() == AT_ONCE {
            let _ended = requests.swap_remove(random.usize(..AT_ONCE));
        }
        let key = zipf.draw(&mut random);
        let index = choose(key, random.u64(..));
        let state = &candidates.get(index).unwrap().state;
        requests.push(InFlight::begin(Arc::clone(state)));
        counts[index.position()] += 1;
        let hit = caches[index.position()].hits(key);
        if round >= rounds / 2 {
            hits += u32::from(hit);
            peak = peak.max(state.in_flight());
        }
    }
    let hosts = candidates.len() as f64;
    Seen {
        busiest: counts.iter().copied().max().unwrap() as f64 * hosts / f64::from(rounds),
        peak: f64::from(peak) * hosts / AT_ONCE as f64,
        hits: f64::from(hits) / f64::from(rounds / 2),
    }
}

fn chosen(picker: &dyn Picker, number: u32, entropy: u64) -> Index {
    let key = key(number);
    match picker.pick(&PickContext::new(Time::ORIGIN, entropy).with_key(&key)) {
        Verdict::Use(index) => index,
        other => panic!("{other:?}"),
    }
}

fn in_flight(candidates: &Candidates, index: Index) -> u32 {
    candidates.get(index).unwrap().state.in_flight()
}

/// The same bound, but whoever overflows goes anywhere that there is room.
fn with_random_overflow(policy: &dyn Policy) -> Seen {
    let candidates = equal(HOSTS);
    let picker = policy.build(&candidates);
    simulate(&candidates, |key, entropy| {
        let all: u32 = candidates.iter().map(|one| one.state.in_flight()).sum();
        let room = |index| {
            f64::from(in_flight(&candidates, index)) < f64::from(all + 1) * BOUND / f64::from(HOSTS)
        };
        let first = chosen(&*picker, key, entropy);
        if room(first) {
            return first;
        }
        let free: Vec<_> = (0..HOSTS)
            .map(Index::new)
            .filter(|one| room(*one))
            .collect();
        free[entropy as usize % free.len()]
    })
}

#[test]
fn no_host_has_more_than_its_share_and_overflow_finds_warm_caches() {
    let unbounded: [Arc<dyn Policy>; 6] = [
        Arc::new(RingHash::new()),
        Arc::new(Maglev::new()),
        Arc::new(Rendezvous::new()),
        Arc::new(JumpHash::new()),
        Arc::new(GrpcRingHash::by_placement()),
        Arc::new(Ketama::by_placement()),
    ];
    for (policy, unbounded) in bounded().into_iter().zip(unbounded) {
        let candidates = equal(HOSTS);
        let (picker, first) = (policy.build(&candidates), unbounded.build(&candidates));
        let (mut requests, mut moved) = (0, 0);
        let seen = simulate(&candidates, |key, entropy| {
            let index = chosen(&*picker, key, entropy);
            requests += 1;
            moved += u32::from(index != chosen(&*first, key, entropy));
            index
        });
        // About a quarter of the requests leaves its first choice.
        let moved = f64::from(moved) / f64::from(requests);
        assert!((0.2..0.3).contains(&moved), "{policy:?}: {moved}");
        let (candidates, picker) = (equal(HOSTS), unbounded.build(&equal(HOSTS)));
        let free = simulate(&candidates, |key, entropy| chosen(&*picker, key, entropy));
        let random = with_random_overflow(&*unbounded);
        assert!(free.busiest > 2.0, "{policy:?}: {free:?}");
        assert!(
            seen.busiest <= 1.30 && seen.peak <= 1.30,
            "{policy:?}: {seen:?}"
        );
        assert!(
            seen.hits > random.hits + 0.01,
            "{policy:?}: {seen:?} {random:?}"
        );
    }
}

#[test]
fn what_overflows_goes_to_the_next_in_the_keys_order() {
    for policy in bounded() {
        for number in 0..50 {
            let candidates = equal(HOSTS);
            let picker = policy.build(&candidates);
            // As the picker without requests in flight has it.
            let (mut tried, mut order) = (Tried::new(), Vec::new());
            let key = key(number);
            for _ in 0..5 {
                let context = PickContext::new(Time::ORIGIN, 1)
                    .with_key(&key)
                    .with_tried(&tried);
                let Verdict::Use(index) = picker.pick(&context) else {
                    panic!()
                };
                order.push(index);
                tried.insert(index);
            }
            let mut requests = Vec::new();
            for expected in order {
                assert_eq!(pick(&*picker, &key), Verdict::Use(expected), "{policy:?}");
                // It is full now: no host may have 200 of at most 1,000 among 20.
                let state = &candidates.get(expected).unwrap().state;
                requests.extend((0..200).map(|_| InFlight::begin(Arc::clone(state))));
            }
        }
    }
}

#[test]
fn the_share_counts_weights() {
    let weights: Vec<u32> = (0..30).map(|one| 1 + one % 5).collect();
    let sum: u32 = weights.iter().sum();
    let policies: [Arc<dyn Policy>; 3] = [
        Arc::new(RingHash::new().bounded_load(BOUND)),
        Arc::new(Maglev::new().bounded_load(BOUND)),
        Arc::new(Rendezvous::new().bounded_load(BOUND)),
    ];
    for policy in policies {
        let candidates = weighted(&weights);
        let picker = policy.build(&candidates);
        let mut requests = Vec::new();
        // One key only, so that the bound is all that spreads it.
        for number in 0..3_000_u64 {
            let index = chosen(&*picker, 7, number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            requests.push(InFlight::begin(Arc::clone(
                &candidates.get(index).unwrap().state,
            )));
        }
        for one in &candidates {
            let share = f64::from(one.endpoint.weight().value()) / f64::from(sum);
            let most = (BOUND * 3_000.0 * share).ceil();
            assert!(f64::from(one.state.in_flight()) <= most, "{policy:?}");
        }
    }
}

/// Among many hosts not each request counts; the bound holds nearly as well.
#[test]
fn among_many_hosts_the_bound_holds() {
    let candidates = equal(1_000);
    let picker = RingHash::new().bounded_load(BOUND).build(&candidates);
    let (zipf, mut random) = (Zipf::of(100_000), fastrand::Rng::with_seed(5));
    let (mut requests, mut peak) = (Vec::new(), 0);
    for round in 0..100_000 {
        if requests.len() == 20_000 {
            let _ended = requests.swap_remove(random.usize(..20_000));
        }
        let index = chosen(&*picker, zipf.draw(&mut random), random.u64(..));
        requests.push(InFlight::begin(Arc::clone(
            &candidates.get(index).unwrap().state,
        )));
        if round > 20_000 {
            peak = peak.max(in_flight(&candidates, index));
        }
    }
    // 25 of a mean of 20; a count that is late may let one or two more in.
    assert!((24..=27).contains(&peak), "{peak}");
}

#[test]
fn a_load_that_is_over_is_not_reckoned_with_for_long() {
    let candidates = equal(HOSTS);
    let picker = RingHash::new().bounded_load(BOUND).build(&candidates);
    let mut random = fastrand::Rng::with_seed(3);
    let mut rush: Vec<_> = (0..10_000)
        .map(|number| chosen(&*picker, number, random.u64(..)))
        .map(|index| InFlight::begin(Arc::clone(&candidates.get(index).unwrap().state)))
        .collect();
    rush.clear();
    // A key that is all there is now: it may have its fill, 2 of 20 and so on, soon after.
    let mut requests = Vec::new();
    for _ in 0..400 {
        let index = chosen(&*picker, 1, random.u64(..));
        requests.push(InFlight::begin(Arc::clone(
            &candidates.get(index).unwrap().state,
        )));
    }
    let first = chosen(&*RingHash::new().build(&candidates), 1, 0);
    // It took what a rush of 10,000 would have let it for some 20 picks, a mean of as many.
    let had = in_flight(&candidates, first);
    assert!(had <= 120, "{had}");
}

#[test]
fn senseless_bounds_bound_what_they_can() {
    for factor in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        0.0,
        1.0,
        f64::MAX,
    ] {
        let candidates = equal(5);
        let picker = RingHash::new().bounded_load(factor).build(&candidates);
        let mut requests = Vec::new();
        for _ in 0..50 {
            let index = chosen(&*picker, 7, 0);
            requests.push(InFlight::begin(Arc::clone(
                &candidates.get(index).unwrap().state,
            )));
        }
        let most = candidates
            .iter()
            .map(|one| one.state.in_flight())
            .max()
            .unwrap();
        let even = factor.is_finite() && factor <= 1.0;
        assert_eq!(most, if even { 10 } else { 50 }, "{factor}");
    }
}

#[test]
fn with_everybody_full_or_tried_somebody_is_used() {
    for policy in all() {
        let candidates = equal(2);
        let picker = policy.build(&candidates);
        let requests: Vec<_> = candidates
            .iter()
            .flat_map(|one| (0..100).map(|_| InFlight::begin(Arc::clone(&one.state))))
            .collect();
        let tried: Tried = [Index::new(0)].into_iter().collect();
        let context = PickContext::new(Time::ORIGIN, 1)
            .with_key(b"key")
            .with_tried(&tried);
        assert_eq!(
            picker.pick(&context),
            Verdict::Use(Index::new(1)),
            "{policy:?}"
        );
        drop(requests);
    }
}
