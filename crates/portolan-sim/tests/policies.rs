//! What the simulator says of the policies, asserted.
//!
//! The table has, for each of them, the mean over sixty seeds (1 to 60) and five standard deviations of p50, p99 and
//! p99.9 in milliseconds and of errors in per cent, as `portolan-sim bounds` prints them. The runs here are of another seed.
//! Where five deviations are wide, so is what the policy does from one run to the next; the mean alone would be a lie.
//! Where they are narrow, a tenth of the mean is allowed, and of errors a quarter of a per cent: quantiles are skewed (near a
//! second, after which clients give up, above all), rare events come in bursts, and what sixty runs say of the deviation
//! is not exact itself.
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
    (Fault::None, 0.7, RoundRobin, [(13.08, 1.27), (64.38, 6.77), (90.06, 21.61), (0.00, 0.00)]),
    (Fault::None, 0.7, LeastRequest, [(13.25, 1.12), (64.87, 6.77), (90.28, 15.17), (0.00, 0.00)]),
    (Fault::None, 0.7, PeakEwma, [(13.63, 1.16), (66.34, 7.60), (91.68, 15.38), (0.00, 0.00)]),
    (Fault::None, 0.7, BackendWeighted, [(13.33, 1.22), (67.31, 11.10), (95.77, 42.60), (0.00, 0.00)]),
    (Fault::None, 0.7, Prequal, [(12.08, 0.75), (58.88, 4.75), (82.34, 11.25), (0.00, 0.00)]),
    (Fault::None, 0.9, RoundRobin, [(27.21, 6.76), (132.03, 55.17), (181.99, 111.95), (0.00, 0.00)]),
    (Fault::None, 0.9, LeastRequest, [(24.39, 3.83), (91.43, 13.95), (120.49, 27.53), (0.00, 0.00)]),
    (Fault::None, 0.9, PeakEwma, [(27.12, 4.64), (98.44, 17.37), (127.79, 29.41), (0.00, 0.00)]),
    (Fault::None, 0.9, BackendWeighted, [(28.93, 7.76), (157.49, 78.53), (219.06, 144.36), (0.00, 0.00)]),
    (Fault::None, 0.9, Prequal, [(20.75, 3.08), (79.24, 8.75), (106.40, 16.23), (0.00, 0.00)]),
    (Fault::None, 1.05, RoundRobin, [(458.75, 34.26), (604.38, 33.23), (652.38, 55.34), (4.98, 3.07)]),
    (Fault::None, 1.05, LeastRequest, [(471.55, 19.26), (606.83, 39.12), (653.66, 75.32), (5.04, 2.90)]),
    (Fault::None, 1.05, PeakEwma, [(470.78, 21.31), (607.63, 30.28), (654.42, 55.90), (4.98, 2.70)]),
    (Fault::None, 1.05, BackendWeighted, [(457.59, 33.24), (602.99, 33.71), (648.76, 78.42), (5.00, 2.75)]),
    (Fault::None, 1.05, Prequal, [(468.77, 20.41), (605.36, 31.29), (653.47, 53.57), (4.96, 2.88)]),
    (Fault::Slow, 0.7, RoundRobin, [(11.85, 1.23), (60.51, 7.35), (84.95, 15.40), (9.66, 0.14)]),
    (Fault::Slow, 0.7, LeastRequest, [(13.73, 1.18), (416.37, 95.60), (590.35, 184.53), (0.00, 0.00)]),
    (Fault::Slow, 0.7, PeakEwma, [(14.08, 1.24), (73.36, 11.45), (136.62, 42.73), (0.00, 0.00)]),
    (Fault::Slow, 0.7, BackendWeighted, [(13.50, 1.36), (164.80, 507.78), (867.72, 715.07), (1.37, 3.85)]),
    (Fault::Slow, 0.7, Prequal, [(12.54, 1.05), (61.69, 5.35), (93.71, 17.01), (0.00, 0.00)]),
    (Fault::Slow, 0.9, RoundRobin, [(18.74, 2.45), (87.85, 22.34), (122.23, 69.97), (9.75, 0.12)]),
    (Fault::Slow, 0.9, LeastRequest, [(25.41, 4.76), (576.36, 114.81), (783.22, 220.67), (0.01, 0.06)]),
    (Fault::Slow, 0.9, PeakEwma, [(28.47, 5.97), (113.20, 25.30), (213.50, 67.94), (0.00, 0.00)]),
    (Fault::Slow, 0.9, BackendWeighted, [(29.08, 7.46), (215.98, 547.29), (754.82, 1348.30), (2.08, 2.36)]),
    (Fault::Slow, 0.9, Prequal, [(22.60, 3.83), (86.36, 12.19), (130.20, 34.17), (0.00, 0.00)]),
    (Fault::Slow, 1.05, RoundRobin, [(70.00, 53.50), (364.03, 325.99), (430.50, 355.37), (9.86, 0.16)]),
    (Fault::Slow, 1.05, LeastRequest, [(197.45, 68.43), (315.53, 81.26), (357.75, 102.41), (7.34, 2.93)]),
    (Fault::Slow, 1.05, PeakEwma, [(423.42, 34.55), (580.76, 38.10), (630.12, 74.84), (7.38, 3.36)]),
    (Fault::Slow, 1.05, BackendWeighted, [(449.62, 46.41), (599.62, 34.85), (656.37, 248.43), (6.79, 3.02)]),
    (Fault::Slow, 1.05, Prequal, [(470.58, 23.12), (647.20, 64.06), (919.78, 115.49), (5.32, 3.86)]),
    (Fault::Failing, 0.7, RoundRobin, [(11.50, 1.34), (58.98, 8.00), (83.85, 17.10), (10.01, 0.02)]),
    (Fault::Failing, 0.7, LeastRequest, [(11.53, 0.64), (59.31, 6.49), (84.30, 14.10), (10.84, 0.78)]),
    (Fault::Failing, 0.7, PeakEwma, [(13.69, 1.10), (67.81, 9.25), (94.56, 20.43), (0.68, 0.21)]),
    (Fault::Failing, 0.7, BackendWeighted, [(13.18, 1.24), (65.80, 10.79), (91.98, 25.46), (0.81, 0.34)]),
    (Fault::Failing, 0.7, Prequal, [(12.17, 0.94), (59.17, 5.05), (83.04, 10.80), (0.04, 0.05)]),
    (Fault::Failing, 0.9, RoundRobin, [(17.44, 1.97), (83.07, 19.73), (117.36, 59.94), (10.02, 0.03)]),
    (Fault::Failing, 0.9, LeastRequest, [(16.59, 1.74), (73.37, 7.52), (99.99, 17.23), (11.47, 0.73)]),
    (Fault::Failing, 0.9, PeakEwma, [(27.12, 5.58), (102.93, 21.31), (134.10, 33.70), (0.70, 0.22)]),
    (Fault::Failing, 0.9, BackendWeighted, [(24.36, 5.12), (132.61, 70.35), (185.70, 145.40), (2.98, 0.55)]),
    (Fault::Failing, 0.9, Prequal, [(20.93, 3.19), (80.28, 10.81), (107.57, 16.62), (0.07, 0.04)]),
    (Fault::Failing, 1.05, RoundRobin, [(41.98, 20.92), (220.62, 219.52), (279.66, 244.89), (10.05, 0.06)]),
    (Fault::Failing, 1.05, LeastRequest, [(26.74, 4.59), (95.06, 12.74), (124.74, 25.28), (12.49, 0.74)]),
    (Fault::Failing, 1.05, PeakEwma, [(378.46, 66.40), (565.19, 45.23), (617.84, 79.51), (4.97, 3.37)]),
    (Fault::Failing, 1.05, BackendWeighted, [(72.54, 45.02), (281.99, 143.87), (350.39, 232.62), (7.28, 0.98)]),
    (Fault::Failing, 1.05, Prequal, [(468.15, 20.83), (604.61, 38.17), (650.72, 68.74), (4.99, 2.97)]),
    (Fault::ColdStarts, 0.7, RoundRobin, [(13.85, 1.48), (623.73, 139.02), (946.89, 71.43), (6.21, 0.47)]),
    (Fault::ColdStarts, 0.7, LeastRequest, [(14.96, 1.29), (422.27, 169.82), (836.98, 180.43), (0.03, 0.14)]),
    (Fault::ColdStarts, 0.7, PeakEwma, [(22.89, 5.37), (109.44, 30.04), (709.63, 375.15), (0.02, 0.16)]),
    (Fault::ColdStarts, 0.7, BackendWeighted, [(14.92, 1.73), (616.61, 143.59), (945.66, 70.75), (5.95, 0.59)]),
    (Fault::ColdStarts, 0.7, Prequal, [(16.76, 2.98), (77.48, 11.00), (450.95, 304.10), (0.00, 0.02)]),
    (Fault::ColdStarts, 0.9, RoundRobin, [(30.18, 9.06), (574.02, 135.00), (930.54, 81.36), (6.68, 0.54)]),
    (Fault::ColdStarts, 0.9, LeastRequest, [(36.31, 10.15), (395.94, 342.34), (933.18, 81.59), (0.36, 0.52)]),
    (Fault::ColdStarts, 0.9, PeakEwma, [(113.68, 37.06), (243.70, 51.92), (803.64, 240.22), (0.40, 0.51)]),
    (Fault::ColdStarts, 0.9, BackendWeighted, [(36.80, 12.85), (574.42, 124.01), (931.74, 72.93), (6.48, 0.47)]),
    (Fault::ColdStarts, 0.9, Prequal, [(60.58, 46.05), (172.91, 105.58), (571.37, 327.55), (0.01, 0.09)]),
    (Fault::ColdStarts, 1.05, RoundRobin, [(460.46, 28.66), (633.40, 65.14), (928.89, 73.19), (11.76, 2.30)]),
    (Fault::ColdStarts, 1.05, LeastRequest, [(446.14, 43.13), (616.05, 59.39), (927.64, 84.30), (11.90, 2.41)]),
    (Fault::ColdStarts, 1.05, PeakEwma, [(460.82, 22.16), (628.56, 44.87), (931.13, 75.33), (11.78, 2.53)]),
    (Fault::ColdStarts, 1.05, BackendWeighted, [(452.49, 36.33), (630.73, 52.18), (923.54, 92.37), (11.75, 2.55)]),
    (Fault::ColdStarts, 1.05, Prequal, [(458.31, 15.63), (613.56, 35.84), (772.30, 213.03), (11.04, 3.10)]),
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
    let found = [
        ("p50", millis(0.5), 0.0),
        ("p99", millis(0.99), 0.0),
        ("p99.9", millis(0.999), 0.0),
        ("errors", errors, 0.25),
    ];
    for ((name, found, least), (mean, five_sigma)) in found.into_iter().zip(*bounds) {
        let margin = five_sigma.max(mean / 10.0).max(least);
        // The table is rounded to hundredths.
        assert!(
            (found - mean).abs() <= margin + 0.011,
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
        assert!(errors(&rows, policy, 0.7) < 0.005, "{policy}");
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
