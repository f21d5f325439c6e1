use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::BackendWeighted;
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, Explanation, LoadReport, Measurement,
    PickContext, Picker, Placement, Policy, Rate, Time, Tried, Utilization, Verdict,
};

fn candidates(count: usize) -> Candidates {
    let one = |nth| {
        let address = ([10, 0, (nth >> 8) as u8, nth as u8], 80).into();
        let endpoint = Arc::new(Endpoint::new(Placement::new(format!("db-{nth}")), address));
        let state = Arc::new(EndpointState::new(
            Arc::clone(&endpoint),
            Measurement::default(),
        ));
        Candidate { endpoint, state }
    };
    Candidates::new((0..count).map(one).collect::<Vec<_>>(), 42)
}

fn at(seconds: u64) -> Time {
    Time::ORIGIN + Duration::from_secs(seconds)
}

fn report(candidates: &Candidates, nth: usize, busy: f64, rate: f64, errors: f64, now: Time) {
    let report = LoadReport::default()
        .with_application_utilization(Utilization::new(busy).unwrap())
        .with_requests_per_second(Rate::new(rate).unwrap())
        .with_errors_per_second(Rate::new(errors).unwrap());
    candidates.as_slice()[nth].state.report_load(&report, now);
}

/// How often each is chosen in so many picks at that time.
fn counts(picker: &dyn Picker, of: usize, picks: usize, now: Time) -> Vec<usize> {
    let mut counts = vec![0; of];
    for _ in 0..picks {
        match picker.pick(&PickContext::new(now, 0)) {
            Verdict::Use(index) => counts[index.position()] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts
}

/// Reports of all, at once and long enough ago.
fn reported(loads: &[(f64, f64, f64)]) -> Candidates {
    let candidates = candidates(loads.len());
    for (nth, &(busy, rate, errors)) in loads.iter().enumerate() {
        report(&candidates, nth, busy, rate, errors, at(0));
        report(&candidates, nth, busy, rate, errors, at(20));
    }
    candidates
}

#[test]
fn turns_are_as_the_reports_say() {
    // What they could do at full utilization: 100, 200, 400 a second.
    let candidates = reported(&[(0.5, 50.0, 0.0), (0.25, 50.0, 0.0), (0.5, 200.0, 0.0)]);
    let picker = BackendWeighted::new().build(&candidates);
    let counts = counts(&*picker, 3, 7_000, at(21));
    for (count, due) in counts.iter().zip([1_000, 2_000, 4_000]) {
        assert!(count.abs_diff(due) <= 2, "{counts:?}");
    }
}

#[test]
fn failing_requests_weighs_as_utilization_does() {
    // Half of the requests fail, at a utilization of 0.5: as one that is fully used.
    let candidates = reported(&[(0.5, 100.0, 50.0), (1.0, 100.0, 0.0)]);
    let penalised = BackendWeighted::new().build(&candidates);
    assert_eq!(counts(&*penalised, 2, 1_000, at(21)), [500, 500]);
    let doubly = BackendWeighted::new().error_penalty(3.0).build(&candidates);
    assert_eq!(counts(&*doubly, 2, 900, at(21)), [300, 600]);
    for nothing in [0.0, -1.0, f64::NAN] {
        let picker = BackendWeighted::new()
            .error_penalty(nothing)
            .build(&candidates);
        assert_eq!(counts(&*picker, 2, 900, at(21)), [600, 300], "{nothing}");
    }
}

#[test]
fn where_fewer_than_two_report_all_are_alike() {
    let candidates = candidates(4);
    let picker = BackendWeighted::new().build(&candidates);
    assert_eq!(counts(&*picker, 4, 400, at(20)), [100; 4]);
    report(&candidates, 2, 0.1, 900.0, 0.0, at(20));
    assert_eq!(counts(&*picker, 4, 400, at(40)), [100; 4]);
    let context = PickContext::new(at(40), 0);
    let explanation = Explanation::of(&*picker, &candidates, &context).to_string();
    assert!(
        explanation.contains("fewer than two report"),
        "{explanation}"
    );
}

#[test]
fn who_says_nothing_gets_what_the_others_get_on_average() {
    let candidates = candidates(3);
    for nth in [0, 1] {
        for now in [at(0), at(20)] {
            let rate = [100.0, 300.0][nth];
            report(&candidates, nth, 1.0, rate, 0.0, now);
        }
    }
    let picker = BackendWeighted::new().build(&candidates);
    let counts = counts(&*picker, 3, 6_000, at(21));
    for (count, due) in counts.iter().zip([1_000, 3_000, 2_000]) {
        assert!(count.abs_diff(due) <= 2, "{counts:?}");
    }
    let context = PickContext::new(at(21), 0);
    let explanation = Explanation::of(&*picker, &candidates, &context).to_string();
    assert!(
        explanation.contains("2 do, from 0.50 to 1.50 of the mean"),
        "{explanation}"
    );
}

#[test]
fn the_first_ten_seconds_of_reports_do_not_count_and_old_ones_do_not_either() {
    let candidates = candidates(2);
    let picker = BackendWeighted::new().build(&candidates);
    let report_both = |now| {
        report(&candidates, 0, 0.9, 90.0, 0.0, now);
        report(&candidates, 1, 0.3, 90.0, 0.0, now);
    };
    for second in 0..10 {
        report_both(at(second));
        assert_eq!(counts(&*picker, 2, 40, at(second)), [20, 20], "{second}");
    }
    report_both(at(10));
    assert_eq!(counts(&*picker, 2, 40, at(10)), [10, 30]);
    assert_eq!(counts(&*picker, 2, 40, at(189)), [10, 30]);
    assert_eq!(counts(&*picker, 2, 40, at(190)), [20, 20], "expired");
    report_both(at(200));
    assert_eq!(counts(&*picker, 2, 40, at(209)), [20, 20], "as if new");
    assert_eq!(counts(&*picker, 2, 40, at(210)), [10, 30]);
    let at_once = BackendWeighted::new().blackout(Duration::ZERO);
    report_both(at(500));
    let picker = at_once.build(&candidates);
    assert_eq!(counts(&*picker, 2, 40, at(500)), [10, 30]);
}

#[test]
fn a_weight_is_looked_at_once_a_second() {
    let candidates = reported(&[(0.5, 100.0, 0.0), (0.5, 100.0, 0.0)]);
    let picker = BackendWeighted::new().build(&candidates);
    assert_eq!(counts(&*picker, 2, 40, at(21)), [20, 20]);
    report(&candidates, 0, 0.25, 150.0, 0.0, at(21));
    let within = at(21) + Duration::from_millis(999);
    assert_eq!(counts(&*picker, 2, 40, within), [20, 20]);
    assert_eq!(counts(&*picker, 2, 40, at(22)), [30, 10]);
}

#[test]
fn no_pick_looks_at_a_large_fleet_alone() {
    let candidates = reported(&vec![(0.5, 100.0, 0.0); 6_400]);
    let settings = super::Settings::default();
    let weights = super::Weights::of(&candidates, settings, at(21));
    let before = weights.share(6_399);
    report(&candidates, 6_399, 0.5, 20.0, 0.0, at(21));
    // A hundredth of them is due in 10 ms, and so the last one is when the second is over.
    for tick in 0..99 {
        let now = at(21) + Duration::from_millis(10 * tick);
        assert!(weights.look(&candidates, now), "{tick}");
        assert!(!weights.look(&candidates, now), "{tick}");
        assert_eq!(weights.share(6_399), before, "{tick}");
    }
    weights.look(&candidates, at(22));
    assert!(weights.share(6_399) < before);
    // Whoever comes after a long silence looks at all.
    report(&candidates, 6_399, 0.5, 100.0, 0.0, at(30));
    weights.look(&candidates, at(30));
    assert_eq!(weights.share(6_399), before);
}

#[test]
fn a_new_picker_knows_the_weights_before_its_first_pick() {
    let candidates = reported(&[(0.5, 100.0, 0.0), (0.5, 300.0, 0.0)]);
    let policy = BackendWeighted::new();
    assert_eq!(counts(&*policy.build(&candidates), 2, 40, at(21)), [10, 30]);
    let again = policy.build(&candidates);
    // The same moment: nothing is due, and nothing needs to be.
    assert_eq!(counts(&*again, 2, 40, at(21)), [10, 30]);
}

#[test]
fn a_clock_that_begins_anew_is_followed() {
    let candidates = candidates(2);
    let policy = BackendWeighted::new();
    let _ = counts(&*policy.build(&candidates), 2, 10, at(1_000_000));
    let picker = policy.build(&candidates);
    for second in [0, 20] {
        report(&candidates, 0, 0.5, 100.0, 0.0, at(second));
        report(&candidates, 1, 0.5, 300.0, 0.0, at(second));
    }
    assert_eq!(counts(&*picker, 2, 40, at(20)), [10, 30]);
}

#[test]
fn a_towering_weight_gets_ten_times_the_mean_and_a_dwarf_is_heard_of() {
    let mut loads = vec![(0.5, 100.0, 0.0); 100];
    loads[7] = (1e-6, 1e6, 0.0);
    loads[8] = (1000.0, 1e-3, 0.0);
    let candidates = reported(&loads);
    let picker = BackendWeighted::new().build(&candidates);
    let counts = counts(&*picker, 100, 200_000, at(21));
    let mean = 200_000.0 / 100.0;
    // The mean of the weights is the giant's hundredth part, so all others are dwarfs beside it.
    assert!(
        counts[7] as f64 > 10.0 * mean && counts.iter().all(|&count| count > 0),
        "{counts:?}"
    );
}

#[test]
fn turns_are_spread() {
    let candidates = reported(&[(0.5, 250.0, 0.0), (0.5, 50.0, 0.0), (0.5, 50.0, 0.0)]);
    let picker = BackendWeighted::new().build(&candidates);
    let turns: Vec<_> = (0..70)
        .map(|_| {
            counts(&*picker, 3, 1, at(21))
                .iter()
                .position(|&one| one == 1)
        })
        .collect();
    let others_within =
        |five: &[Option<usize>]| five.iter().filter(|one| **one != Some(0)).count() > 0;
    assert!(turns.windows(7).all(others_within), "{turns:?}");
}

proptest! {
    /// Over any fleet that reports anything, turns are what the definition says, to a turn or two.
    #[test]
    fn follows_the_definition(
        loads in prop::collection::vec((0.05..1.0, 10.0..100.0, 0.0..5.0), 2..20),
        tried in prop::collection::vec(0_u32..20, 0..3),
    ) {
        let candidates = reported(&loads);
        let picker = BackendWeighted::new().build(&candidates);
        let weights: Vec<_> = loads
            .iter()
            .map(|(busy, rate, errors)| rate / (busy + errors / rate))
            .collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        prop_assume!(weights.iter().all(|weight| *weight < 10.0 * mean));
        let counts = counts(&*picker, loads.len(), 20_000, at(21));
        for (count, weight) in counts.iter().zip(&weights) {
            let due = 20_000.0 * weight / weights.iter().sum::<f64>();
            prop_assert!((*count as f64 - due).abs() <= 3.0 + due * 1e-3, "{count} against {due}");
        }
        let tried: Tried = tried.into_iter().map(crate::Index::new).collect();
        for _ in 0..10 {
            let verdict = picker.pick(&PickContext::new(at(21), 7).with_tried(&tried));
            if let Verdict::Use(index) = verdict {
                prop_assert!(!tried.contains(index) && index.position() < loads.len());
            }
        }
    }
}
