//! What holds for every policy, and the distribution of each.

mod compose;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    BackendWeighted, LeastRequest, PeakEwma, Prequal, Random, RoundRobin, WeightedRoundRobin,
};
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, InFlight, Index, LoadReport, Measurement,
    Outcome, PickContext, Picker, Placement, Policy, Rate, Reason, Time, Tried, Utilization,
    Verdict, Weight,
};

fn candidates(weights: &[u32]) -> Candidates {
    let list: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(position, &weight)| {
            let address = ([10, 0, (position >> 8) as u8, position as u8], 80).into();
            let endpoint = Endpoint::new(Placement::new(format!("db-{position}")), address)
                .with_weight(Weight::new(weight));
            let endpoint = Arc::new(endpoint);
            Candidate {
                state: Arc::new(EndpointState::new(
                    Arc::clone(&endpoint),
                    Measurement::default(),
                )),
                endpoint,
            }
        })
        .collect();
    Candidates::new(list, 42)
}

fn policies() -> [Arc<dyn Policy>; 7] {
    [
        Arc::new(RoundRobin::new()),
        Arc::new(WeightedRoundRobin::new()),
        Arc::new(Random::new()),
        Arc::new(LeastRequest::new()),
        Arc::new(PeakEwma::new()),
        Arc::new(BackendWeighted::new().blackout(Duration::ZERO)),
        Arc::new(Prequal::new()),
    ]
}

fn used(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Use(index) => index.position(),
        other => panic!("expected an endpoint, found {other:?}"),
    }
}

fn draw(picker: &dyn Picker, entropy: &mut fastrand::Rng) -> usize {
    used(picker.pick(&PickContext::new(Time::ORIGIN, entropy.u64(..))))
}

fn counts(picker: &dyn Picker, of: usize, draws: usize) -> Vec<u64> {
    let mut entropy = fastrand::Rng::with_seed(7);
    let mut counts = vec![0; of];
    for _ in 0..draws {
        counts[draw(picker, &mut entropy)] += 1;
    }
    counts
}

/// Every count within 5σ of its binomial expectation: a false alarm in 1.7 million comparisons.
fn assert_five_sigma(counts: &[u64], weights: &[f64]) {
    let draws: u64 = counts.iter().sum();
    let sum: f64 = weights.iter().sum();
    for (position, (&count, weight)) in counts.iter().zip(weights).enumerate() {
        let share = weight / sum;
        let expected = draws as f64 * share;
        let sigma = (draws as f64 * share * (1.0 - share)).sqrt();
        assert!(
            (count as f64 - expected).abs() <= 5.0 * sigma,
            "endpoint {position}: {count} against {expected:.0} ± {sigma:.0}"
        );
    }
}

#[test]
fn round_robin_is_in_turn() {
    let picker = RoundRobin::new().build(&candidates(&[1; 7]));
    let mut entropy = fastrand::Rng::with_seed(1);
    let first = draw(&*picker, &mut entropy);
    for turn in 1..100 {
        assert_eq!(draw(&*picker, &mut entropy), (first + turn) % 7);
    }
}

#[test]
fn random_follows_the_weights() {
    let weights = [5, 1, 0, 10, 3, 3];
    let counts = counts(
        &*Random::new().build(&candidates(&weights)),
        weights.len(),
        1_000_000,
    );
    assert_eq!(counts[2], 0);
    assert_five_sigma(&counts, &weights.map(f64::from));
}

#[test]
fn random_without_weights_is_uniform() {
    let counts = counts(&*Random::new().build(&candidates(&[1; 10])), 10, 1_000_000);
    assert_five_sigma(&counts, &[1.0; 10]);
}

#[test]
fn two_choices_among_equals_are_uniform() {
    for policy in [&LeastRequest::new() as &dyn Policy, &PeakEwma::new()] {
        let counts = counts(&*policy.build(&candidates(&[1; 10])), 10, 1_000_000);
        assert_five_sigma(&counts, &[1.0; 10]);
    }
}

/// With all loads equal but one, that one is chosen only if it is drawn and wins: the chance to be
/// one of the two is 2/n, and it wins all of these or none.
#[test]
fn the_two_are_distinct() {
    let candidates = candidates(&[1; 5]);
    let busy = Arc::clone(&candidates.get(Index::new(3)).unwrap().state);
    let _request = InFlight::begin(busy);
    let counts = counts(&*LeastRequest::new().build(&candidates), 5, 1_000_000);
    // Drawing with replacement would choose it once in 25.
    assert_eq!(counts[3], 0);
    assert_five_sigma(&counts, &[1.0, 1.0, 1.0, 0.0, 1.0]);
}

#[test]
fn least_request_weighs_requests_by_weight() {
    let candidates = candidates(&[4, 1]);
    let heavy = &candidates.get(Index::new(0)).unwrap().state;
    let picker = LeastRequest::new().build(&candidates);
    // The heavy one takes three requests before it is loaded like the light one with its first.
    let mut requests = Vec::new();
    for in_flight in 0..3 {
        assert_eq!(counts(&*picker, 2, 100), [100, 0], "{in_flight} in flight");
        requests.push(InFlight::begin(Arc::clone(heavy)));
    }
    requests.push(InFlight::begin(Arc::clone(heavy)));
    assert_eq!(counts(&*picker, 2, 100), [0, 100]);
}

#[test]
fn peak_ewma_prefers_the_faster_and_shuns_the_failing() {
    let candidates = candidates(&[1, 1, 1]);
    let state = |position| &candidates.get(Index::new(position)).unwrap().state;
    let millisecond = Duration::from_millis(1);
    state(0).record(Outcome::Success, 2 * millisecond, Time::ORIGIN);
    state(1).record(Outcome::Success, 10 * millisecond, Time::ORIGIN);
    state(2).record(Outcome::Failure, millisecond / 10, Time::ORIGIN);
    let counts = counts(&*PeakEwma::new().build(&candidates), 3, 300_000);
    // The best of two of three: the first wins whenever it is drawn, the last never.
    assert_eq!(counts[2], 0);
    assert_five_sigma(&counts, &[2.0, 1.0, 0.0]);
}

#[test]
fn an_unmeasured_endpoint_gets_one_request_at_a_time() {
    let candidates = candidates(&[1, 1, 1]);
    let picker = PeakEwma::new().build(&candidates);
    for position in [0, 1] {
        let state = &candidates.get(Index::new(position)).unwrap().state;
        state.record(Outcome::Success, Duration::from_millis(5), Time::ORIGIN);
    }
    let new = &candidates.get(Index::new(2)).unwrap().state;
    assert_five_sigma(&counts(&*picker, 3, 100_000), &[0.5, 0.5, 2.0]);
    let _first = InFlight::begin(Arc::clone(new));
    assert_eq!(counts(&*picker, 3, 100_000)[2], 0);
}

/// One caller after another, as `picker` sends them. `takes` says how long each endpoint takes, and
/// callers give up after `patience`. Returns when the given endpoint was asked.
fn asked_when(
    candidates: &Candidates,
    takes: impl Fn(usize) -> Duration,
    patience: Duration,
    until: Duration,
    who: usize,
) -> Vec<Duration> {
    let picker = PeakEwma::new().build(candidates);
    let mut entropy = fastrand::Rng::with_seed(11);
    let (mut now, mut asked) = (Time::ORIGIN, Vec::new());
    while now.since(Time::ORIGIN) < until {
        let chosen = used(picker.pick(&PickContext::new(now, entropy.u64(..))));
        if chosen == who {
            asked.push(now.since(Time::ORIGIN));
        }
        let request = InFlight::begin(Arc::clone(&candidates.as_slice()[chosen].state));
        let took = takes(chosen).min(patience);
        let outcome = match took < takes(chosen) {
            true => Outcome::Cancelled,
            false => Outcome::Success,
        };
        now = now + took;
        request.record(outcome, took, now);
    }
    asked
}

#[test]
fn an_endpoint_that_hangs_from_the_start_is_left_alone_by_one_caller_after_another() {
    const MS: Duration = Duration::from_millis(1);
    let minute = Duration::from_secs(60);
    for patience in [8 * MS, 50 * MS, 1000 * MS, 10_000 * MS] {
        for endpoints in [2, 3, 10] {
            let candidates = candidates(&vec![1; endpoints]);
            let takes = |one| if one == 0 { Duration::MAX } else { 5 * MS };
            let asked = asked_when(&candidates, takes, patience, 10 * minute, 0);
            // Of 120,000 requests that fit into ten minutes, and the longer the rarer.
            let (early, late) = (
                asked.iter().filter(|&&at| at < minute).count(),
                asked.iter().filter(|&&at| at >= 9 * minute).count(),
            );
            assert!(!asked.is_empty() && early <= 12, "{patience:?}: {asked:?}");
            assert!(late <= 4, "{patience:?}: {asked:?}");
        }
    }
}

#[test]
fn callers_that_cancel_at_once_do_not_keep_a_fresh_endpoint_from_being_used() {
    const MS: Duration = Duration::from_millis(1);
    let second = Duration::from_secs(1);
    let candidates = candidates(&[1, 1, 1]);
    let fresh = &candidates.as_slice()[0].state;
    // Hedges, of which the other copy is answered first.
    for tick in 0..20 {
        fresh.record(Outcome::Cancelled, MS / 2, Time::ORIGIN + MS * tick);
    }
    let asked = asked_when(&candidates, |_| 5 * MS, second, 60 * second, 0);
    assert!(asked[0] < 10 * second, "{:?}", asked[0]);
    let share = asked.iter().filter(|&&at| at > 30 * second).count();
    assert!((1_700..2_300).contains(&share), "{share} of 6,000");
}

#[test]
fn weighted_round_robin_is_smooth() {
    let picker = WeightedRoundRobin::new().build(&candidates(&[5, 1, 1]));
    let mut entropy = fastrand::Rng::with_seed(1);
    let turns: Vec<_> = (0..70).map(|_| draw(&*picker, &mut entropy)).collect();
    assert!(
        turns
            .windows(5)
            .all(|five| five.iter().any(|&one| one != 0)),
        "{turns:?}"
    );
    for week in turns.chunks(7) {
        let of = |position| week.iter().filter(|&&one| one == position).count();
        assert_eq!([of(0), of(1), of(2)], [5, 1, 1], "{turns:?}");
    }
}

#[test]
fn one_towering_weight_keeps_picks_short() {
    let mut weights = vec![1; 10_000];
    weights[77] = 1_000_000;
    let picker = super::weighted_round_robin::StridePicker::new(&weights, 1);
    let steps_before = picker.steps();
    let draws = 100_000;
    let counts = counts(&picker, weights.len(), draws);
    assert!(picker.steps() - steps_before < 12 * draws as u64);
    let due = draws as f64 * 1_000_000.0 / 1_009_999.0;
    assert!((counts[77] as f64 - due).abs() < 200.0, "{}", counts[77]);
}

proptest! {
    /// Over any stretch of picks no endpoint is further from its due than its few places allow.
    #[test]
    fn weighted_round_robin_keeps_to_the_weights(
        weights in prop::collection::vec(0u32..50, 2..20),
        seed in any::<u64>(),
    ) {
        prop_assume!(weights.iter().any(|&weight| weight != weights[0]));
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let picker = super::weighted_round_robin::StridePicker::new(&weights, seed);
        let mut taken = vec![0u64; weights.len()];
        let mut entropy = fastrand::Rng::with_seed(seed);
        let laps = 40;
        for _ in 0..laps * sum {
            taken[draw(&picker, &mut entropy)] += 1;
        }
        for (&taken, &weight) in taken.iter().zip(&weights) {
            let due = laps * u64::from(weight);
            // A place is at most one turn off; a heavy endpoint has weight/limit places, and the
            // stretch may end within a round.
            let places = u64::from(weight).div_ceil((4 * sum / weights.len() as u64).max(1)) + 1;
            prop_assert!(taken.abs_diff(due) <= 2 * places, "{taken} against {due}: {weights:?}");
        }
    }

    /// No policy returns what has been tried or does not exist, and each says when nothing is left.
    #[test]
    fn what_has_been_tried_is_left_alone(
        weights in prop::collection::vec(0u32..5, 0..12),
        tried in prop::collection::vec(0u32..20, 0..12),
        entropy in any::<u64>(),
    ) {
        let candidates = candidates(&weights);
        let tried: Tried = tried.into_iter().map(Index::new).collect();
        let context = PickContext::new(Time::ORIGIN, entropy).with_tried(&tried);
        let left = (0..weights.len() as u32).filter(|&one| !tried.contains(Index::new(one))).count();
        for policy in policies() {
            let picker = policy.build(&candidates);
            for _ in 0..20 {
                match picker.pick(&context) {
                    Verdict::Use(index) => {
                        prop_assert!(!tried.contains(index), "{policy:?}");
                        prop_assert!(candidates.get(index).is_some(), "{policy:?}");
                    }
                    Verdict::Fail(Reason::AllTried) => {
                        prop_assert_eq!(left, 0);
                        prop_assert!(!weights.is_empty());
                    }
                    Verdict::Wait => prop_assert!(weights.is_empty()),
                    other => prop_assert!(false, "{policy:?}: {other:?}"),
                }
            }
        }
    }

    /// The n-th untried is what a naive filter finds.
    #[test]
    fn skipping_is_filtering(total in 1usize..30, tried in prop::collection::vec(0u32..40, 0..30), nth in 0usize..60) {
        let tried: Tried = tried.into_iter().map(Index::new).collect();
        let left: Vec<_> = (0..total as u32).map(Index::new).filter(|&one| !tried.contains(one)).collect();
        let context = PickContext::new(Time::ORIGIN, 0).with_tried(&tried);
        let expected = match left.len() {
            0 => Verdict::Fail(Reason::AllTried),
            len => Verdict::Use(left[nth % len]),
        };
        prop_assert_eq!(context.nth_untried(total, nth), expected);
    }
}

#[test]
fn what_is_not_timed_goes_neither_by_the_time_nor_by_latency() {
    let day = Duration::from_secs(86_400);
    for weights in [[1, 1, 1], [1, 2, 3]] {
        let (quick, slow) = (candidates(&weights), candidates(&weights));
        let state = &slow.as_slice()[0].state;
        state.record(
            Outcome::Success,
            Duration::from_secs(10),
            Time::ORIGIN + day,
        );
        for (one, rate) in slow.iter().zip([1.0, 2.0, 3.0]) {
            let report = LoadReport::default()
                .with_cpu_utilization(Utilization::new(0.5).unwrap())
                .with_requests_per_second(Rate::new(rate).unwrap());
            one.state.report_load(&report, Time::ORIGIN + day);
        }
        let mut timed = Vec::new();
        for policy in policies() {
            let (one, other) = (policy.build(&quick), policy.build(&slow));
            timed.push(one.is_timed());
            let mut entropy = fastrand::Rng::with_seed(7);
            let same = (0..1000).all(|_| {
                let bits = entropy.u64(..);
                let early = one.pick(&PickContext::new(Time::ORIGIN, bits));
                early == other.pick(&PickContext::new(Time::ORIGIN + day, bits))
            });
            assert_ne!(same, one.is_timed(), "{policy:?}");
        }
        let expected = [false, false, false, false, true, true, true];
        assert_eq!(timed, expected, "peak EWMA, and what goes by reports");
    }
}
