//! How evenly keys are spread.

use std::sync::Arc;

use super::{equal, key, pick, weighted};
use crate::{
    Candidates, Policy, Verdict,
    policy::{GrpcRingHash, JumpHash, Ketama, Maglev, Rendezvous, RingHash},
};

fn counts(policy: &dyn Policy, candidates: &Candidates, keys: u32) -> Vec<u64> {
    let picker = policy.build(candidates);
    let mut counts = vec![0; candidates.len()];
    for number in 0..keys {
        let Verdict::Use(index) = pick(&*picker, &key(number)) else {
            panic!("{policy:?}")
        };
        counts[index.position()] += 1;
    }
    counts
}

/// The busiest host's keys, of the mean.
fn busiest(policy: &dyn Policy, hosts: u32, keys: u32) -> f64 {
    let counts = counts(policy, &equal(hosts), keys);
    counts.iter().copied().max().unwrap() as f64 * f64::from(hosts) / f64::from(keys)
}

/// Each count within 5σ of its due, where beside the chance of a key a host's due itself has one: of that part.
fn assert_by_weight(policy: &dyn Policy, weights: &[u32], own: impl Fn(u32) -> f64) {
    let keys = 1_000_000;
    let counts = counts(policy, &weighted(weights), keys);
    let sum: u32 = weights.iter().sum();
    for (&count, &weight) in counts.iter().zip(weights) {
        if weight == 0 {
            assert_eq!(count, 0, "{policy:?}");
            continue;
        }
        let share = f64::from(weight) / f64::from(sum);
        let due = f64::from(keys) * share;
        let sigma = (due * (1.0 - share)).sqrt().hypot(due * own(weight));
        let off = (count as f64 - due).abs();
        assert!(
            off <= 5.0 * sigma,
            "{policy:?}: {count} of {due:.0} ± {sigma:.0}"
        );
    }
}

const WEIGHTS: [u32; 10] = [1, 2, 3, 0, 5, 8, 1, 1, 13, 4];

#[test]
fn keys_follow_the_weights() {
    let none = |_| 0.0;
    assert_by_weight(&Rendezvous::new(), &WEIGHTS, none);
    assert_by_weight(&Rendezvous::new(), &[1; 10], none);
    // A place more or less in the table.
    let places = |weight| 38.0 / (65_537.0 * f64::from(weight));
    assert_by_weight(&Maglev::new(), &WEIGHTS, places);
    assert_by_weight(&JumpHash::new(), &[1; 10], none);
    // So many points are by chance as near to the ones before them.
    let points = |weight| 1.0 / (160.0 * f64::from(weight)).sqrt();
    assert_by_weight(&RingHash::new(), &WEIGHTS, points);
    assert_by_weight(&Ketama::by_placement(), &WEIGHTS, points);
}

#[test]
fn the_table_of_the_guide_is_true() {
    let table: [(Arc<dyn Policy>, [f64; 3]); 5] = [
        (Arc::new(RingHash::new()), [1.2, 1.3, 1.35]),
        (Arc::new(Maglev::new()), [1.02, 1.04, 1.1]),
        (Arc::new(Rendezvous::new()), [1.02, 1.04, 1.1]),
        (Arc::new(JumpHash::new()), [1.02, 1.04, 1.1]),
        (Arc::new(GrpcRingHash::by_placement()), [1.3, 2.2, 4.5]),
    ];
    for (policy, most) in table {
        for (hosts, most) in [10, 100, 500].into_iter().zip(most) {
            let busiest = busiest(&*policy, hosts, 1_000_000);
            assert!(busiest <= most, "{hosts}: {busiest}, {policy:?}");
        }
    }
}

/// However heavy the hosts are, a ring has a size that a computer can hold, and follows the weights.
#[test]
fn heavy_weights_make_no_larger_ring_than_there_is_room_for() {
    let weights = [1_000_000, 4_000_000_000, 2_000_000_000];
    let counts = counts(&RingHash::new(), &weighted(&weights), 100_000);
    assert!(counts[0] < 200, "{counts:?}");
    assert!((66_000..67_300).contains(&counts[1]), "{counts:?}");
    let _ = super::owners(&Ketama::by_placement(), &weighted(&weights), 10);
}
