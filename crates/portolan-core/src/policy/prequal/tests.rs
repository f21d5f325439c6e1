use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{Drawn, Prequal};
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, Explanation, InFlight, LoadReport, Measurement,
    Outcome, PickContext, Picker, Placement, Policy, Reason, Time, Tried, Verdict,
};

const MS: Duration = Duration::from_millis(1);

fn candidates(count: usize) -> Candidates {
    let one = |nth| {
        let address = ([10, 0, (nth >> 8) as u8, nth as u8], 80).into();
        let endpoint = Arc::new(Endpoint::new(Placement::new(format!("db-{nth}")), address));
        let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
        let state = Arc::new(state);
        Candidate { endpoint, state }
    };
    Candidates::new((0..count).map(one).collect::<Vec<_>>(), 42)
}

fn at(millis: u32) -> Time {
    Time::ORIGIN + MS * millis
}

/// Endpoints that have said at the beginning how many they have in hand, and how many milliseconds one takes them.
fn reported(loads: &[(u32, u32)]) -> Candidates {
    let candidates = candidates(loads.len());
    for (one, &(requests, millis)) in candidates.iter().zip(loads) {
        let report = LoadReport::default()
            .with_requests_in_flight(requests)
            .with_latency(MS * millis);
        one.state.report_load(&report, Time::ORIGIN);
    }
    candidates
}

fn counts(picker: &dyn Picker, of: usize, now: Time) -> Vec<usize> {
    let mut entropy = fastrand::Rng::with_seed(7);
    let mut counts = vec![0; of];
    for _ in 0..10_000 {
        match picker.pick(&PickContext::new(now, entropy.u64(..))) {
            Verdict::Use(index) => counts[index.position()] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts
}

/// Whom it chooses where all are drawn.
fn best(policy: Prequal, candidates: &Candidates, now: Time) -> usize {
    let picker = policy.choices(16).build(candidates);
    let counts = counts(&*picker, candidates.len(), now);
    counts.iter().position(|&count| count == 10_000).unwrap()
}

#[test]
fn the_fastest_cold_one_is_chosen_and_of_hot_ones_the_one_with_the_least_in_hand() {
    // Four of the five are cold.
    let candidates = reported(&[(3, 50), (4, 20), (2, 30), (5, 40), (9, 1)]);
    assert_eq!(best(Prequal::new().hot_above(0.8), &candidates, at(0)), 1);
    assert_eq!(
        best(Prequal::new().hot_above(0.0), &candidates, at(0)),
        2,
        "the least in hand"
    );
    assert_eq!(
        best(Prequal::new().hot_above(1.0), &candidates, at(0)),
        4,
        "the fastest"
    );
    assert_eq!(
        best(Prequal::new().hot_above(0.2), &candidates, at(0)),
        2,
        "the only cold one"
    );
}

#[test]
fn what_was_sent_since_the_report_counts() {
    let candidates = reported(&[(1, 10), (2, 10), (2, 10)]);
    let policy = Prequal::new().hot_above(0.0);
    assert_eq!(best(policy, &candidates, at(0)), 0);
    let state = &candidates.as_slice()[0].state;
    let sent: Vec<_> = (0..2).map(|_| InFlight::begin(Arc::clone(state))).collect();
    let others = counts(&*policy.choices(16).build(&candidates), 3, at(0));
    assert_eq!(others[0], 0, "{others:?}");
    drop(sent);
    assert_eq!(best(policy, &candidates, at(0)), 0);
}

#[test]
fn the_older_a_report_is_the_less_it_counts() {
    // Requests take 10 ms, and 5 are usual. One has said that it had 2, and has got 2 from this client since.
    let candidates = reported(&[(2, 10), (5, 10), (8, 10)]);
    let state = &candidates.as_slice()[0].state;
    let _sent: Vec<_> = (0..2).map(|_| InFlight::begin(Arc::clone(state))).collect();
    let policy = Prequal::new().hot_above(0.0);
    assert_eq!(best(policy, &candidates, at(0)), 0, "4 of 4, 5 and 8");
    assert_eq!(
        best(policy, &candidates, at(2)),
        0,
        "4.86 of 4.86, 5 and 7.1"
    );
    assert_eq!(best(policy, &candidates, at(5)), 1, "5.5 of 5.5, 5 and 6.5");
    // In the end, what it has sent itself is all that a client knows.
    let others = counts(&*policy.choices(16).build(&candidates), 3, at(900));
    assert_eq!(
        (others[0], others[2]),
        (0, 0),
        "5 still is what 5 was: {others:?}"
    );
    let forgotten = counts(&*policy.choices(16).build(&candidates), 3, at(1_001));
    assert!(
        forgotten[0] == 0 && forgotten[1] > 4_000 && forgotten[2] > 4_000,
        "{forgotten:?}"
    );
}

#[test]
fn without_reports_it_goes_by_what_the_client_has_measured() {
    let candidates = candidates(3);
    for (one, millis) in candidates.iter().zip([30, 10, 20]) {
        one.state.record(Outcome::Success, MS * millis, at(0));
    }
    assert_eq!(best(Prequal::new(), &candidates, at(0)), 1);
    // One that nothing is known of is tried, one request at a time.
    let fresh = self::candidates(1).as_slice()[0].clone();
    let mut list = candidates.as_slice().to_vec();
    list.push(fresh);
    let candidates = Candidates::new(list, 42);
    assert_eq!(best(Prequal::new(), &candidates, at(0)), 3);
    let _first = InFlight::begin(Arc::clone(&candidates.as_slice()[3].state));
    assert_eq!(best(Prequal::new(), &candidates, at(0)), 1);
}

#[test]
fn one_that_fails_at_once_comes_last_until_that_has_faded() {
    let candidates = reported(&[(0, 1), (5, 20), (90, 500)]);
    let failing = &candidates.as_slice()[0].state;
    for _ in 0..2 {
        failing.record(Outcome::Failure, MS / 10, at(0));
    }
    assert_eq!(
        best(Prequal::new(), &candidates, at(0)),
        0,
        "two may be bad luck"
    );
    failing.record(Outcome::Failure, MS / 10, at(0));
    for hot_above in [0.0, 0.84, 1.0] {
        assert_eq!(
            best(Prequal::new().hot_above(hot_above), &candidates, at(0)),
            1
        );
    }
    // 16 s fade to 100 ms in 51 s.
    let policy = Prequal::new().choices(16).max_age(60_000 * MS);
    let counts_at = |now| counts(&*policy.build(&candidates), 3, now)[0];
    assert_eq!(counts_at(at(50_000)), 0);
    assert!(counts_at(at(52_000)) > 0);
    failing.record(Outcome::Success, MS, at(52_000));
    assert_eq!(failing.consecutive_failures(), 0);
}

#[test]
fn the_explanation_says_what_it_goes_by() {
    let candidates = reported(&[(1, 10), (2, 10)]);
    let picker = Prequal::new().build(&candidates);
    let context = PickContext::new(at(0), 7);
    let said = Explanation::of(&*picker, &candidates, &context).to_string();
    let expected =
        "Prequal: the fastest cold one of 2 drawn from 2, cold up to 2.0 in hand; 2 report";
    assert!(said.starts_with(expected), "{said}");
}

proptest! {
    #[test]
    fn what_is_drawn_is_distinct_and_there(count in 0_usize..=16, total in 0_usize..40, entropy in any::<u64>()) {
        let mut drawn: Vec<_> = Drawn::some(count, total, entropy).iter().map(|(number, _)| number).collect();
        prop_assert_eq!(drawn.len(), count.min(total));
        drawn.sort_unstable();
        drawn.dedup();
        prop_assert_eq!(drawn.len(), count.min(total));
        prop_assert!(drawn.iter().all(|&number| number < total));
    }

    /// With all of them drawn, it is what a naive reading of the paper chooses.
    #[test]
    fn chooses_as_the_paper_says(
        loads in prop::collection::vec((0_u32..20, 1_u32..100), 1..16),
        tried in prop::collection::vec(0_u32..20, 0..16),
        quantile in 0.0..=1.0,
        entropy in any::<u64>(),
    ) {
        let candidates = reported(&loads);
        let picker = Prequal::new().choices(16).hot_above(quantile).build(&candidates);
        let tried: Tried = tried.into_iter().map(crate::Index::new).collect();
        let verdict = picker.pick(&PickContext::new(at(0), entropy).with_tried(&tried));
        let mut requests: Vec<_> = loads.iter().map(|(requests, _)| *requests).collect();
        requests.sort_unstable();
        let below = (quantile * requests.len() as f64).ceil() as usize;
        let is_cold = |&(requests_now, _): &(u32, u32)| quantile >= 1.0 || below > 0 && requests_now <= requests[below - 1];
        let left: Vec<_> = loads
            .iter()
            .enumerate()
            .filter(|(nth, _)| !tried.contains(crate::Index::at(*nth)))
            .map(|(_, load)| *load)
            .collect();
        let cold = left.iter().filter(|load| is_cold(load)).min_by_key(|(requests, millis)| (*millis, *requests));
        let expected = cold.or_else(|| left.iter().min());
        match (verdict, expected) {
            (Verdict::Use(index), Some(expected)) => {
                prop_assert!(!tried.contains(index));
                prop_assert_eq!(&loads[index.position()], expected);
            }
            (Verdict::Fail(Reason::AllTried), None) => {}
            (other, _) => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn each_is_drawn_as_often_as_any_other(seed in any::<u64>()) {
        let mut entropy = fastrand::Rng::with_seed(seed);
        let mut counts = [0_u32; 9];
        for _ in 0..9_000 {
            Drawn::some(3, 9, entropy.u64(..)).iter().for_each(|(number, _)| counts[number] += 1);
        }
        // 3,000 each, with σ = √(9,000 · 1/3 · 2/3) = 45.
        prop_assert!(counts.iter().all(|&count| count.abs_diff(3_000) < 6 * 45), "{counts:?}");
    }
}

#[test]
fn of_equals_each_is_chosen_as_often() {
    for (count, choices) in [(2, 5), (5, 5), (7, 3)] {
        let picker = Prequal::new()
            .choices(choices)
            .build(&reported(&vec![(3, 10); count]));
        let counts = counts(&*picker, count, at(0));
        let due = 10_000 / count;
        let five_sigma = 5 * (due as f64).sqrt() as usize;
        assert!(
            counts.iter().all(|one| one.abs_diff(due) <= five_sigma),
            "{counts:?}"
        );
    }
}
