//! What the simulator says of the policies, asserted.
//!
//! The table has, for each of them, the mean over twenty seeds (1 to 20) and five standard deviations of p50, p99 and
//! p99.9 in milliseconds and of errors in per cent, as `portolan-sim bounds` prints them. The runs here are of another seed.
//! Where five deviations are wide, so is what the policy does from one run to the next; the mean alone would be a lie.
//! Where they are narrow, a tenth of the mean is allowed: quantiles are skewed (near a second, after which clients give up,
//! above all), and what twenty runs say of the deviation is not exact itself.
#![cfg(test)]

use std::time::Duration;

use portolan_core::Policy;
use portolan_sim::{
    comparison::{
        Compared::{self, *},
        LOADS, Row, row,
    },
    scenario::{Fault, Scenario},
    simulation,
};

type Bound = (f64, f64);

#[rustfmt::skip]
const TABLE: &[(Fault, f64, Compared, [Bound; 4])] = &[
    (Fault::None, 0.7, RoundRobin, [(13.08, 1.32), (64.45, 6.77), (88.73, 12.01), (0.00, 0.00)]),
    (Fault::None, 0.7, LeastRequest, [(13.23, 0.80), (64.86, 7.93), (90.47, 15.81), (0.00, 0.00)]),
    (Fault::None, 0.7, PeakEwma, [(13.58, 1.12), (66.00, 7.16), (91.40, 11.36), (0.00, 0.00)]),
    (Fault::None, 0.7, BackendWeighted, [(13.30, 1.02), (67.08, 11.63), (95.58, 52.05), (0.00, 0.00)]),
    (Fault::None, 0.7, Prequal, [(12.05, 0.78), (58.88, 5.32), (82.24, 11.19), (0.00, 0.00)]),
    (Fault::None, 0.9, RoundRobin, [(26.96, 7.33), (128.96, 67.93), (174.74, 101.59), (0.00, 0.00)]),
    (Fault::None, 0.9, LeastRequest, [(24.21, 4.54), (91.20, 14.14), (121.52, 29.42), (0.00, 0.00)]),
    (Fault::None, 0.9, PeakEwma, [(26.87, 4.99), (97.53, 18.77), (126.99, 33.80), (0.00, 0.00)]),
    (Fault::None, 0.9, BackendWeighted, [(28.92, 7.68), (155.13, 53.57), (216.02, 132.08), (0.00, 0.00)]),
    (Fault::None, 0.9, Prequal, [(20.65, 3.37), (78.89, 9.39), (105.64, 17.88), (0.00, 0.00)]),
    (Fault::None, 1.05, RoundRobin, [(458.45, 38.95), (605.98, 36.76), (653.94, 51.68), (4.95, 3.40)]),
    (Fault::None, 1.05, LeastRequest, [(472.84, 13.60), (608.69, 38.18), (657.99, 73.94), (5.17, 2.09)]),
    (Fault::None, 1.05, PeakEwma, [(470.71, 24.40), (606.53, 26.11), (653.06, 53.21), (4.96, 3.15)]),
    (Fault::None, 1.05, BackendWeighted, [(458.37, 37.14), (604.19, 36.20), (651.80, 98.21), (5.10, 2.70)]),
    (Fault::None, 1.05, Prequal, [(468.55, 20.11), (604.96, 27.90), (654.78, 45.19), (4.85, 2.84)]),
    (Fault::Slow, 0.7, RoundRobin, [(11.96, 1.06), (60.85, 7.05), (84.94, 18.28), (9.65, 0.12)]),
    (Fault::Slow, 0.7, LeastRequest, [(13.74, 1.16), (416.33, 77.94), (580.96, 135.67), (0.00, 0.00)]),
    (Fault::Slow, 0.7, PeakEwma, [(14.15, 1.19), (73.93, 11.60), (138.61, 48.42), (0.00, 0.00)]),
    (Fault::Slow, 0.7, BackendWeighted, [(13.47, 1.48), (170.90, 464.93), (874.05, 631.81), (1.41, 3.79)]),
    (Fault::Slow, 0.7, Prequal, [(12.54, 1.02), (61.64, 6.27), (93.70, 15.27), (0.00, 0.00)]),
    (Fault::Slow, 0.9, RoundRobin, [(18.77, 2.90), (86.90, 20.21), (116.47, 34.50), (9.75, 0.08)]),
    (Fault::Slow, 0.9, LeastRequest, [(25.24, 4.52), (571.19, 97.40), (777.21, 194.24), (0.00, 0.06)]),
    (Fault::Slow, 0.9, PeakEwma, [(28.61, 5.74), (113.34, 22.63), (212.58, 69.65), (0.00, 0.00)]),
    (Fault::Slow, 0.9, BackendWeighted, [(29.42, 7.70), (225.18, 591.10), (781.47, 1384.79), (2.17, 2.38)]),
    (Fault::Slow, 0.9, Prequal, [(22.58, 3.65), (86.51, 13.30), (128.60, 18.93), (0.00, 0.00)]),
    (Fault::Slow, 1.05, RoundRobin, [(69.84, 64.15), (365.81, 323.26), (436.40, 359.35), (9.86, 0.14)]),
    (Fault::Slow, 1.05, LeastRequest, [(193.62, 58.05), (310.03, 61.56), (351.57, 62.06), (7.17, 2.85)]),
    (Fault::Slow, 1.05, PeakEwma, [(425.02, 25.64), (580.52, 39.79), (631.27, 90.15), (7.48, 2.24)]),
    (Fault::Slow, 1.05, BackendWeighted, [(450.60, 40.94), (599.58, 37.06), (658.34, 249.61), (6.84, 2.90)]),
    (Fault::Slow, 1.05, Prequal, [(470.98, 23.03), (646.08, 58.98), (913.08, 145.93), (5.40, 3.90)]),
    (Fault::Failing, 0.7, RoundRobin, [(11.51, 1.30), (58.89, 6.95), (84.07, 18.26), (10.01, 0.02)]),
    (Fault::Failing, 0.7, LeastRequest, [(11.51, 0.68), (59.24, 6.14), (83.51, 13.31), (10.88, 0.89)]),
    (Fault::Failing, 0.7, PeakEwma, [(13.72, 1.14), (67.99, 9.78), (94.58, 20.75), (0.68, 0.24)]),
    (Fault::Failing, 0.7, BackendWeighted, [(13.11, 1.11), (65.48, 10.20), (91.55, 23.26), (0.82, 0.40)]),
    (Fault::Failing, 0.7, Prequal, [(12.19, 0.69), (58.99, 5.07), (82.74, 9.93), (0.05, 0.06)]),
    (Fault::Failing, 0.9, RoundRobin, [(17.47, 1.84), (84.34, 20.31), (122.08, 60.23), (10.02, 0.03)]),
    (Fault::Failing, 0.9, LeastRequest, [(16.62, 1.65), (73.31, 4.85), (99.52, 12.01), (11.49, 0.75)]),
    (Fault::Failing, 0.9, PeakEwma, [(27.18, 5.06), (102.40, 13.90), (133.71, 24.77), (0.69, 0.24)]),
    (Fault::Failing, 0.9, BackendWeighted, [(24.39, 5.19), (132.46, 69.97), (184.54, 142.24), (3.00, 0.60)]),
    (Fault::Failing, 0.9, Prequal, [(21.03, 3.41), (80.46, 10.74), (108.28, 17.43), (0.07, 0.04)]),
    (Fault::Failing, 1.05, RoundRobin, [(43.49, 26.88), (218.78, 302.38), (278.81, 312.43), (10.05, 0.06)]),
    (Fault::Failing, 1.05, LeastRequest, [(26.69, 4.90), (95.70, 12.66), (125.80, 26.32), (12.53, 0.70)]),
    (Fault::Failing, 1.05, PeakEwma, [(380.63, 50.76), (567.65, 39.37), (617.46, 67.09), (5.11, 3.38)]),
    (Fault::Failing, 1.05, BackendWeighted, [(73.96, 50.92), (278.30, 150.71), (346.61, 290.27), (7.32, 0.71)]),
    (Fault::Failing, 1.05, Prequal, [(468.94, 18.74), (606.15, 35.69), (651.02, 67.20), (5.04, 2.88)]),
    (Fault::ColdStarts, 0.7, RoundRobin, [(13.84, 1.62), (622.59, 80.54), (947.07, 81.06), (6.20, 0.39)]),
    (Fault::ColdStarts, 0.7, LeastRequest, [(15.00, 1.56), (420.51, 142.20), (830.79, 189.37), (0.02, 0.14)]),
    (Fault::ColdStarts, 0.7, PeakEwma, [(22.98, 5.12), (110.38, 35.72), (732.37, 371.01), (0.02, 0.14)]),
    (Fault::ColdStarts, 0.7, BackendWeighted, [(14.99, 1.07), (618.29, 163.98), (945.80, 71.92), (5.92, 0.68)]),
    (Fault::ColdStarts, 0.7, Prequal, [(16.73, 3.15), (77.45, 12.34), (437.31, 309.96), (0.00, 0.00)]),
    (Fault::ColdStarts, 0.9, RoundRobin, [(30.17, 8.81), (576.16, 118.53), (933.16, 70.17), (6.68, 0.63)]),
    (Fault::ColdStarts, 0.9, LeastRequest, [(36.82, 10.08), (394.91, 270.72), (931.71, 55.59), (0.37, 0.41)]),
    (Fault::ColdStarts, 0.9, PeakEwma, [(115.67, 39.48), (246.71, 46.46), (811.23, 259.86), (0.42, 0.53)]),
    (Fault::ColdStarts, 0.9, BackendWeighted, [(36.97, 15.20), (575.54, 139.62), (930.26, 55.96), (6.48, 0.55)]),
    (Fault::ColdStarts, 0.9, Prequal, [(61.65, 44.27), (178.22, 97.62), (578.22, 285.74), (0.02, 0.11)]),
    (Fault::ColdStarts, 1.05, RoundRobin, [(460.36, 30.53), (631.49, 83.50), (931.04, 60.44), (11.73, 2.17)]),
    (Fault::ColdStarts, 1.05, LeastRequest, [(445.22, 38.16), (614.40, 42.65), (927.94, 94.69), (11.83, 2.04)]),
    (Fault::ColdStarts, 1.05, PeakEwma, [(460.87, 23.88), (628.39, 39.97), (927.97, 79.90), (11.66, 2.41)]),
    (Fault::ColdStarts, 1.05, BackendWeighted, [(452.48, 40.98), (629.69, 54.19), (926.93, 80.27), (11.74, 2.53)]),
    (Fault::ColdStarts, 1.05, Prequal, [(457.49, 16.05), (611.44, 38.49), (777.43, 191.55), (10.98, 2.92)]),
];

/// None of those that the bounds were taken from.
const SEED: u64 = 4711;

/// All rows of a fault, each within its bounds.
fn played(fault: Fault) -> Vec<Row> {
    let mut rows = Vec::new();
    for load in LOADS {
        for policy in Compared::ALL {
            let row = row(fault, load, policy, SEED);
            check(&row);
            rows.push(row);
        }
    }
    rows
}

fn check(row: &Row) {
    let of_row = |(fault, load, policy, _): &&(Fault, f64, Compared, [Bound; 4])| {
        (*fault, *load, *policy) == (row.fault, row.load, row.policy)
    };
    let (.., bounds) = TABLE.iter().find(of_row).unwrap();
    let millis = |quantile| row.outcome.latency(quantile).as_secs_f64() * 1e3;
    let errors = row.outcome.errors() * 100.0;
    let found = [millis(0.5), millis(0.99), millis(0.999), errors];
    for (name, (found, (mean, margin))) in ["p50", "p99", "p99.9", "errors"]
        .iter()
        .zip(found.into_iter().zip(*bounds))
    {
        // The table is rounded to hundredths.
        let margin = margin.max(mean / 10.0) + 0.011;
        assert!(
            (found - mean).abs() <= margin,
            "{name} of {} with {} at {}: {found:.2}, where {mean:.2} ± {margin:.2} was expected",
            row.policy,
            row.fault,
            row.load
        );
    }
}

fn one(rows: &[Row], policy: Compared, load: f64) -> &Row {
    let of = |row: &&Row| (row.policy, row.load) == (policy, load);
    rows.iter().find(of).unwrap()
}

fn p99(rows: &[Row], policy: Compared, load: f64) -> Duration {
    one(rows, policy, load).outcome.latency(0.99)
}

fn errors(rows: &[Row], policy: Compared, load: f64) -> f64 {
    one(rows, policy, load).outcome.errors()
}

#[test]
fn with_sound_pods_nobody_fails_before_all_are_busy() {
    let rows = played(Fault::None);
    for policy in Compared::ALL {
        assert_eq!(errors(&rows, policy, 0.7), 0.0, "{policy}");
        assert_eq!(errors(&rows, policy, 0.9), 0.0, "{policy}");
        // What is too much has to fail, and hardly more does.
        let least = 1.0 - 1.0 / 1.05;
        let more = errors(&rows, policy, 1.05) / least;
        assert!((0.4..1.6).contains(&more), "{policy}: {more}");
    }
    // Knowing something of the queues is worth a third of the tail of the one who knows nothing.
    assert!(p99(&rows, Prequal, 0.9) < p99(&rows, RoundRobin, 0.9).mul_f64(0.85));
    assert!(p99(&rows, Prequal, 0.9) < p99(&rows, BackendWeighted, 0.9).mul_f64(0.85));
}

#[test]
fn slow_pods_are_left_alone_by_those_who_look_at_latency() {
    let rows = played(Fault::Slow);
    for load in [0.7, 0.9] {
        // The slow ones drown in their equal share: of what they get, most fails.
        assert!(errors(&rows, RoundRobin, load) > 0.09);
        for policy in [LeastRequest, PeakEwma, Prequal] {
            assert!(errors(&rows, policy, load) < 0.001, "{policy}");
        }
        for policy in [PeakEwma, Prequal] {
            assert!(
                p99(&rows, policy, load) < p99(&rows, LeastRequest, load) / 2,
                "{policy}"
            );
        }
        assert!(errors(&rows, BackendWeighted, load) < errors(&rows, RoundRobin, load) * 0.7);
    }
}

#[test]
fn failing_at_once_draws_requests_only_from_those_who_do_not_see_it() {
    let rows = played(Fault::Failing);
    for load in LOADS {
        // A tenth of the Pods fails a tenth of the requests, and more where it looks idle.
        assert!((0.09..0.11).contains(&errors(&rows, RoundRobin, load)));
        assert!(errors(&rows, LeastRequest, load) > 0.1);
    }
    for load in [0.7, 0.9] {
        assert!(errors(&rows, PeakEwma, load) < 0.01);
        assert!(errors(&rows, Prequal, load) < 0.0015);
        assert!(errors(&rows, BackendWeighted, load) < 0.04);
    }
}

#[test]
fn cold_pods_are_warmed_up_gently_by_those_who_look_at_latency() {
    let rows = played(Fault::ColdStarts);
    assert!(errors(&rows, RoundRobin, 0.7) > 0.05);
    // Weights that are learnt come too late for a Pod that is warm after five seconds.
    assert!(errors(&rows, BackendWeighted, 0.7) > 0.05);
    for policy in [LeastRequest, PeakEwma, Prequal] {
        assert!(errors(&rows, policy, 0.7) < 0.002, "{policy}");
    }
    for policy in [PeakEwma, Prequal] {
        assert!(
            p99(&rows, policy, 0.7) < p99(&rows, LeastRequest, 0.7) / 2,
            "{policy}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_outcome_and_another_one_does_not() {
    let scenario = Scenario::new(Fault::ColdStarts, 0.9)
        .lasting(Duration::from_secs(1), Duration::from_secs(4));
    let make = || -> std::sync::Arc<dyn Policy> { Prequal.policy() };
    let run = |seed| simulation::run(&scenario, &make, seed);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
