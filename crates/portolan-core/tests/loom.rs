//! The atomics of an endpoint's state, in every order in which two threads can interleave.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p portolan-core --test loom --target-dir target/loom
//! ```
#![cfg(loom)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use loom::{model, thread};
use portolan_core::{
    Candidate, Candidates, Endpoint, EndpointState, InFlight, Measurement, Outcome, PickContext,
    Placement, Policy, Time, Verdict, policy::RoundRobin,
};

const MS: Duration = Duration::from_millis(1);

fn state() -> Arc<EndpointState> {
    let endpoint = Endpoint::new(Placement::new("db-0"), ([10, 0, 0, 1], 80).into());
    Arc::new(EndpointState::new(
        Arc::new(endpoint),
        Measurement::default(),
    ))
}

fn at(millis: u64) -> Time {
    Time::ORIGIN + Duration::from_millis(millis)
}

#[test]
fn the_limit_of_requests_in_flight_is_never_passed_and_never_leaks() {
    model(|| {
        let state = state();
        let try_one = |state: &Arc<EndpointState>| {
            let request = InFlight::try_begin(state, 1);
            let began = request.is_some();
            // Another may be counted for the moment in which it is being refused, but not begun.
            drop(request);
            began
        };
        let other = Arc::clone(&state);
        let thread = thread::spawn(move || try_one(&other));
        let here = try_one(&state);
        let there = thread.join().unwrap();
        assert!(here || there, "with room for one, one of two begins");
        assert_eq!(state.in_flight(), 0);
    });
}

#[test]
fn estimate_and_time_of_a_latency_are_never_torn_apart() {
    model(|| {
        let state = state();
        state.record(Outcome::Success, 10 * MS, at(0));
        let other = Arc::clone(&state);
        // One sample raises the estimate late; the other, early and small, hardly lowers it.
        let thread = thread::spawn(move || other.record(Outcome::Success, 100 * MS, at(10_000)));
        let seen = state.latency(at(10_000)).unwrap();
        // Either the old estimate, decayed by one τ, or the new one, fresh. A new estimate with the
        // old time would be 100/e ms, an old one with the new time 10 ms.
        let near = |millis: f64| (seen.as_secs_f64() * 1e3 - millis).abs() < 0.1;
        assert!(near(10.0 / std::f64::consts::E) || near(100.0), "{seen:?}");
        thread.join().unwrap();
        assert!((state.latency(at(10_000)).unwrap().as_secs_f64() - 0.1).abs() < 1e-4);
    });
}

#[test]
fn no_sample_is_lost() {
    model(|| {
        let state = state();
        let other = Arc::clone(&state);
        let thread = thread::spawn(move || other.record(Outcome::Failure, MS, at(0)));
        state.record(Outcome::Failure, MS, at(0));
        thread.join().unwrap();
        assert_eq!((state.requests(), state.failures()), (2, 2));
        assert_eq!(state.consecutive_failures(), 2);
        // 1 s for the first, four times as much for the second, whichever that was.
        assert_eq!(state.latency(at(0)), Some(Duration::from_secs(4)));
    });
}

struct Rings(AtomicUsize);

impl Wake for Rings {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn however_failures_come_together_the_one_that_is_too_many_rings() {
    model(|| {
        let rings = Arc::new(Rings(AtomicUsize::new(0)));
        let state = state();
        state.alarm().connect(&Waker::from(Arc::clone(&rings)));
        state.alarm().set(2, 0);
        state.record_untimed(Outcome::Failure);
        let other = Arc::clone(&state);
        let thread = thread::spawn(move || other.record_untimed(Outcome::Failure));
        state.record_untimed(Outcome::Failure);
        thread.join().unwrap();
        assert_eq!(rings.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn turns_are_taken_once() {
    model(|| {
        let list: Vec<_> = (0..2)
            .map(|_| state())
            .map(|state| Candidate {
                endpoint: Arc::clone(state.endpoint()),
                state,
            })
            .collect();
        let picker = RoundRobin::new().build(&Candidates::new(list, 0));
        let pick = |picker: &dyn portolan_core::Picker| match picker
            .pick(&PickContext::new(Time::ORIGIN, 0))
        {
            Verdict::Use(index) => index.position(),
            other => panic!("{other:?}"),
        };
        let other = Arc::clone(&picker);
        let thread = thread::spawn(move || pick(&*other));
        let here = pick(&*picker);
        assert_ne!(here, thread.join().unwrap());
    });
}
