use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{EndpointState, InFlight, Measurement, Outcome};
use crate::{Endpoint, Placement, Time};

fn fresh() -> EndpointState {
    let endpoint = Endpoint::new(Placement::new("db-0"), ([10, 0, 0, 1], 80).into());
    EndpointState::new(Arc::new(endpoint), Measurement::default())
}

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Time {
    Time::ORIGIN + Duration::from_millis(millis)
}

fn millis(state: &EndpointState, now: Time) -> f64 {
    state.latency(now).unwrap().as_secs_f64() * 1e3
}

#[test]
fn a_slow_response_raises_the_estimate_at_once_and_good_ones_lower_it_with_time() {
    let state = fresh();
    assert_eq!(state.latency(at(0)), None);
    state.record(Outcome::Success, 10 * MS, at(0));
    state.record(Outcome::Success, 100 * MS, at(1));
    assert!((millis(&state, at(1)) - 100.0).abs() < 0.1);
    // One τ later a good sample moves it by 1 − 1/e.
    state.record(Outcome::Success, 10 * MS, at(10_001));
    let expected = 100.0 / std::f64::consts::E + 10.0 * (1.0 - 1.0 / std::f64::consts::E);
    assert!((millis(&state, at(10_001)) - expected).abs() < 0.1);
}

#[test]
fn an_idle_endpoint_is_forgiven() {
    let state = fresh();
    state.record(Outcome::Success, 1000 * MS, at(0));
    assert!((millis(&state, at(10_000)) - 1000.0 / std::f64::consts::E).abs() < 1.0);
    assert!(millis(&state, at(120_000)) < 0.01);
}

#[test]
fn failing_fast_is_never_better_than_answering() {
    let good = fresh();
    let bad = fresh();
    for tick in 0..1000 {
        good.record(Outcome::Success, 5 * MS, at(tick));
        bad.record(Outcome::Failure, Duration::from_micros(50), at(tick));
        assert!(millis(&bad, at(tick)) > 100.0 * millis(&good, at(tick)));
    }
    assert_eq!(bad.failures(), 1000);
    assert_eq!(bad.consecutive_failures(), 1000);
    bad.record(Outcome::Success, MS, at(1001));
    assert_eq!(bad.consecutive_failures(), 0);
}

#[test]
fn what_cannot_be_reached_fails_and_is_not_counted_in_a_row() {
    let state = fresh();
    state.record(Outcome::Failure, MS, at(0));
    for _ in 0..100 {
        state.record(Outcome::Unreachable, MS, at(0));
    }
    assert_eq!((state.requests(), state.failures()), (101, 101));
    assert_eq!(state.consecutive_failures(), 1);
    assert!(millis(&state, at(0)) > 100.0);
}

#[test]
fn the_estimate_has_a_ceiling() {
    let state = fresh();
    for tick in 0..10_000 {
        state.record(Outcome::Failure, Duration::MAX, at(tick));
    }
    assert!(state.latency(at(10_000)).unwrap() <= Duration::from_secs(60));
}

#[test]
fn a_caller_that_gives_up_can_only_make_it_worse() {
    let state = fresh();
    state.record(Outcome::Success, 10 * MS, at(0));
    state.record(Outcome::Cancelled, MS, at(1));
    assert!((millis(&state, at(1)) - 10.0).abs() < 0.1);
    state.record(Outcome::Cancelled, 500 * MS, at(2));
    assert!((millis(&state, at(2)) - 500.0).abs() < 0.1);
    assert_eq!(state.requests(), 1);
    // It decays from there: one that gives up sooner does not hold it up.
    state.record(Outcome::Cancelled, MS, at(5_002));
    let decayed = 500.0 / std::f64::consts::E;
    assert!((millis(&state, at(10_002)) - decayed).abs() < 1.0);
}

#[test]
fn what_callers_wait_in_vain_adds_up_until_the_first_answer_replaces_it() {
    let state = fresh();
    state.record(Outcome::Cancelled, 300 * MS, at(0));
    assert!((millis(&state, at(0)) - 300.0).abs() < 0.1);
    // It is forgotten with time, as all bad news, and remembered with the next.
    assert!(millis(&state, at(60_000)) < 1.0);
    state.record(Outcome::Cancelled, 300 * MS, at(60_000));
    assert!((millis(&state, at(60_000)) - 600.0).abs() < 0.1);
    state.record(Outcome::Success, 10 * MS, at(60_001));
    assert!((millis(&state, at(60_001)) - 10.0).abs() < 0.1);

    let state = fresh();
    for tick in 0..100 {
        state.record(Outcome::Cancelled, Duration::MAX, at(tick));
    }
    assert!(state.latency(at(100)).unwrap() <= Duration::from_secs(60));
    state.record(Outcome::Failure, MS, at(100));
    let failed = millis(&state, at(100));
    assert!((59_000.0..61_000.0).contains(&failed), "{failed}");
}

#[test]
fn a_clock_that_steps_back_is_survived() {
    let state = fresh();
    state.record(Outcome::Success, 10 * MS, at(5_000));
    state.record(Outcome::Success, 5 * MS, at(4_000));
    assert!((millis(&state, at(3_000)) - 10.0).abs() < 0.1);
}

#[test]
fn the_ticks_wrap_without_a_jump() {
    let state = fresh();
    let wrap = Time::from_nanos((1 << 48) - 1);
    state.record(Outcome::Success, 100 * MS, wrap);
    assert!((millis(&state, wrap + 10 * MS) - 100.0).abs() < 1.0);
}

#[test]
fn in_flight_counts_from_begin_to_drop() {
    let state = Arc::new(fresh());
    let guards: Vec<_> = (0..3)
        .map(|_| InFlight::begin(Arc::clone(&state)))
        .collect();
    assert_eq!(state.in_flight(), 3);
    drop(guards);
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn no_more_begin_than_the_limit_allows() {
    let state = Arc::new(fresh());
    let guards: Vec<_> = (0..5)
        .filter_map(|_| InFlight::try_begin(&state, 3))
        .collect();
    assert_eq!((guards.len(), state.in_flight()), (3, 3));
}

#[test]
fn an_untimed_request_counts_as_a_timed_one_and_leaves_the_latency() {
    let (timed, untimed) = (fresh(), fresh());
    for state in [&timed, &untimed] {
        state.record(Outcome::Success, 10 * MS, at(0));
    }
    for outcome in [
        Outcome::Failure,
        Outcome::Interrupted,
        Outcome::Cancelled,
        Outcome::Success,
        Outcome::Failure,
    ] {
        timed.record(outcome, 50 * MS, at(0));
        untimed.record_untimed(outcome);
        let counts = |state: &EndpointState| {
            (
                state.requests(),
                state.failures(),
                state.consecutive_failures(),
            )
        };
        assert_eq!(counts(&timed), counts(&untimed), "{outcome:?}");
    }
    assert!(timed.latency(at(0)) > Some(10 * MS));
    assert_eq!(untimed.latency(at(0)), Some(10 * MS));
}

#[test]
fn threads_lose_no_count() {
    let state = Arc::new(fresh());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for tick in 0..10_000 {
                    let request = InFlight::begin(Arc::clone(&state));
                    request.record(Outcome::Success, MS, at(tick));
                }
            });
        }
    });
    assert_eq!((state.in_flight(), state.requests()), (0, 40_000));
}

proptest! {
    /// The packed atomic follows the textbook definition in 64-bit floats.
    #[test]
    fn follows_the_definition(samples in prop::collection::vec((1u64..5_000, 1u64..2_000_000), 1..50)) {
        let state = fresh();
        let (mut now, mut model) = (0u64, None::<f64>);
        for (step, micros) in samples {
            now += step;
            state.record(Outcome::Success, Duration::from_micros(micros), at(now));
            let sample = micros as f64;
            model = Some(match model {
                Some(estimate) if estimate > sample => {
                    let weight = (-(step as f64) / 10_000.0).exp();
                    estimate * weight + sample * (1.0 - weight)
                }
                _ => sample,
            });
            let measured = state.latency(at(now)).unwrap().as_secs_f64() * 1e6;
            let model = model.unwrap();
            // Ticks of 65 µs against 10 s, and 24 bits of mantissa.
            prop_assert!((measured - model).abs() <= model * 2e-3 + 1e-2, "{measured} {model}");
        }
    }
}
