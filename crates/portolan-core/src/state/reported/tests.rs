use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{LoadReport, Rate, ReportedQueue, Utilization};
use crate::{Endpoint, EndpointState, InFlight, Measurement, Placement, Time};

fn fresh() -> EndpointState {
    let endpoint = Endpoint::new(Placement::new("db-0"), ([10, 0, 0, 1], 80).into());
    EndpointState::new(Arc::new(endpoint), Measurement::default())
}

fn at(seconds: u64) -> Time {
    Time::ORIGIN + Duration::from_secs(seconds)
}

fn utilization(value: f64) -> Utilization {
    Utilization::new(value).unwrap()
}

fn rate(value: f64) -> Rate {
    Rate::new(value).unwrap()
}

fn busy(used: f64, requests: f64) -> LoadReport {
    LoadReport::default()
        .with_application_utilization(utilization(used))
        .with_requests_per_second(rate(requests))
}

#[test]
fn what_is_reported_is_read_back_with_its_time() {
    let state = Arc::new(fresh());
    let _request = InFlight::begin(Arc::clone(&state));
    assert_eq!(state.reported_busyness(), None);
    assert_eq!(state.reported_queue(), None);
    let report = busy(0.5, 128.0)
        .with_errors_per_second(rate(2.0))
        .with_requests_in_flight(7)
        .with_latency(Duration::from_millis(3));
    state.report_load(&report, at(5));
    let told = state.reported_busyness().unwrap();
    assert_eq!(told.utilization, utilization(0.5));
    assert_eq!(told.requests_per_second, rate(128.0));
    assert_eq!(told.errors_per_second, rate(2.0));
    assert_eq!((told.since, told.at), (at(5), at(5)));
    let expected = ReportedQueue {
        requests_in_flight: Some(7),
        latency: Some(Duration::from_millis(3)),
        own_in_flight: 1,
        at: at(5),
    };
    assert_eq!(state.reported_queue(), Some(expected));
}

#[test]
fn what_a_report_does_not_say_stays_and_ages() {
    let state = fresh();
    state.report_load(&busy(0.5, 10.0), at(1));
    state.report_load(&LoadReport::default().with_requests_in_flight(3), at(2));
    state.report_load(&LoadReport::default(), at(3));
    assert_eq!(state.reported_busyness().unwrap().at, at(1));
    let queue = state.reported_queue().unwrap();
    assert_eq!((queue.requests_in_flight, queue.latency), (Some(3), None));
    assert_eq!(queue.at, at(2));
}

#[test]
fn the_last_word_of_an_endpoint_that_is_idle_stands() {
    let state = fresh();
    state.report_load(&busy(0.5, 10.0), at(1));
    state.report_load(&busy(0.0, 10.0), at(2));
    state.report_load(&busy(0.5, 0.0), at(3));
    let told = state.reported_busyness().unwrap();
    assert_eq!(
        (told.at, told.requests_per_second),
        (at(1), rate(10.0)),
        "nothing is learnt from no requests"
    );
}

#[test]
fn the_processor_counts_where_the_application_says_nothing() {
    let cpu = LoadReport::default().with_cpu_utilization(utilization(0.3));
    assert_eq!(cpu.utilization(), Some(utilization(0.3)));
    let both = cpu.with_application_utilization(utilization(0.8));
    assert_eq!(both.utilization(), Some(utilization(0.8)));
    let zero = cpu.with_application_utilization(utilization(0.0));
    assert_eq!(zero.utilization(), Some(utilization(0.3)));
}

#[test]
fn a_break_of_three_minutes_begins_anew() {
    let state = fresh();
    for seconds in [0, 100, 279] {
        state.report_load(&busy(0.5, 10.0), at(seconds));
    }
    assert_eq!(state.reported_busyness().unwrap().since, at(0));
    state.report_load(&busy(0.5, 10.0), at(279 + 180));
    assert_eq!(state.reported_busyness().unwrap().since, at(459));
}

#[test]
fn threads_that_report_at_once_leave_numbers_that_were_reported() {
    let state = fresh();
    std::thread::scope(|scope| {
        for thread in 1..=4u32 {
            let state = &state;
            scope.spawn(move || {
                for round in 0..1_000 {
                    let number = f64::from(thread);
                    state.report_load(&busy(number, number), at(round));
                    let told = state.reported_busyness().unwrap();
                    assert_eq!(
                        told.utilization.value(),
                        told.requests_per_second.value(),
                        "the two of one report"
                    );
                }
            });
        }
    });
}

proptest! {
    #[test]
    fn garbage_is_refused_at_the_door(value in any::<f64>()) {
        let is_sane = value.is_finite() && value >= 0.0;
        prop_assert_eq!(Utilization::new(value).is_ok(), is_sane && value <= Utilization::MAX);
        prop_assert_eq!(Rate::new(value).is_ok(), is_sane && value <= Rate::MAX);
        if let Err(error) = Rate::new(value) {
            prop_assert!(error.to_string().contains("from 0 to"));
        }
    }

    #[test]
    fn whatever_is_let_in_can_be_read(used in 0.0..=Utilization::MAX, requests in 0.0..=Rate::MAX, nanos in any::<u64>(), in_flight in any::<u32>()) {
        let state = fresh();
        let report = busy(used, requests)
            .with_requests_in_flight(in_flight)
            .with_latency(Duration::from_nanos(nanos));
        state.report_load(&report, Time::from_nanos(nanos - nanos % 2));
        if let Some(told) = state.reported_busyness() {
            prop_assert!(told.utilization.value() > 0.0 && told.requests_per_second.value() > 0.0);
            prop_assert!((told.utilization.value() - used).abs() <= used * 1e-6);
        }
        let queue = state.reported_queue().unwrap();
        prop_assert_eq!(queue.requests_in_flight, Some(in_flight.min(u32::MAX - 1)));
        prop_assert!(queue.latency.unwrap() <= Duration::from_secs(60));
    }
}
