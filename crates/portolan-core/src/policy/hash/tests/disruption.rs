//! How many keys move that need not.

use std::sync::Arc;

use super::{Ketama, candidates, endpoint, equal, owners};
use crate::{
    Candidates, Placement, Policy,
    policy::{GrpcRingHash, JumpHash, Maglev, Rendezvous, RingHash},
};

const KEYS: u32 = 2_000;
const SIZES: std::ops::RangeInclusive<u32> = 1..=200;

/// Those that promise that nothing else moves.
fn consistent() -> [Arc<dyn Policy>; 3] {
    [
        Arc::new(RingHash::new()),
        Arc::new(Rendezvous::new()),
        Arc::new(Ketama::by_placement()),
    ]
}

fn without(number: u32, gone: u32) -> Candidates {
    candidates(
        (0..number)
            .filter(|one| *one != gone)
            .map(|one| endpoint(one, 1, 0)),
    )
}

/// The part of the keys that moved, though not from `gone`.
fn moved_without_need(before: &[Placement], after: &[Placement], gone: &str) -> f64 {
    let pairs = before.iter().zip(after);
    let innocent = pairs.filter(|(before, _)| before.as_str() != gone);
    let (all, moved) = innocent.fold((0, 0), |(all, moved), (before, after)| {
        (all + 1, moved + u32::from(before != after))
    });
    f64::from(moved) / f64::from(all.max(1))
}

#[test]
fn a_restart_moves_no_key_at_any_size() {
    let mut policies: Vec<Arc<dyn Policy>> = consistent().into();
    policies.push(Arc::new(Maglev::new().table_size(4_000)));
    policies.push(Arc::new(GrpcRingHash::by_placement()));
    policies.push(Arc::new(JumpHash::new()));
    for size in SIZES {
        let before = equal(size);
        let after = candidates((0..size).map(|one| endpoint(one, 1, u8::from(one == size / 2))));
        for policy in &policies {
            assert_eq!(
                owners(&**policy, &before, KEYS),
                owners(&**policy, &after, KEYS),
                "{size}: {policy:?}"
            );
        }
    }
}

#[test]
fn removing_one_moves_its_own_keys_only_at_any_size() {
    for size in SIZES.skip(1) {
        // From all over the order, and its ends.
        for gone in [0, size * 7 / 10, size - 1] {
            for policy in consistent() {
                let before = owners(&*policy, &equal(size), KEYS);
                let after = owners(&*policy, &without(size, gone), KEYS);
                let moved = moved_without_need(&before, &after, &format!("db-{gone}"));
                assert_eq!(moved, 0.0, "{size} without {gone}: {policy:?}");
            }
        }
        let policy = JumpHash::new();
        let before = owners(&policy, &equal(size), KEYS);
        let after = owners(&policy, &equal(size - 1), KEYS);
        let moved = moved_without_need(&before, &after, &format!("db-{}", size - 1));
        assert_eq!(moved, 0.0, "{size}: {policy:?}");
    }
}

#[test]
fn removing_one_from_maglev_moves_few_others_at_any_size() {
    let policy = Maglev::new();
    for size in SIZES.skip(1) {
        let gone = size * 7 / 10;
        let before = owners(&policy, &equal(size), 20_000);
        let after = owners(&policy, &without(size, gone), 20_000);
        let moved = moved_without_need(&before, &after, &format!("db-{gone}"));
        assert!(moved <= 0.01, "{size}: {moved}");
    }
}

#[test]
fn another_hosts_weight_moves_keys_to_or_from_it_only() {
    let before = candidates((0..20).map(|one| endpoint(one, 1 + one % 3, 0)));
    for weight in [0, 1, 5] {
        let changed = |one| if one == 7 { weight } else { 1 + one % 3 };
        let after = candidates((0..20).map(|one| endpoint(one, changed(one), 0)));
        for policy in consistent() {
            let (before, after) = (
                owners(&*policy, &before, 20_000),
                owners(&*policy, &after, 20_000),
            );
            let mut moved = before
                .iter()
                .zip(&after)
                .filter(|(before, after)| before != after);
            assert!(
                moved.all(|(before, after)| [before, after]
                    .iter()
                    .any(|one| one.as_str() == "db-7")),
                "{weight}: {policy:?}"
            );
        }
    }
    // Not even where all weighed the same before.
    let (before, after) = (
        candidates((0..20).map(|one| endpoint(one, 5, 0))),
        candidates((0..20).map(|one| endpoint(one, 5 + u32::from(one == 7), 0))),
    );
    for policy in consistent() {
        let (before, after) = (
            owners(&*policy, &before, 20_000),
            owners(&*policy, &after, 20_000),
        );
        let mut moved = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after);
        assert!(
            moved.all(|(_, after)| after.as_str() == "db-7"),
            "{policy:?}"
        );
    }
}

/// What it is good for that hosts are known by their names.
#[test]
fn on_a_ring_of_addresses_a_rolling_restart_moves_nearly_all_keys() {
    let policy = GrpcRingHash::by_address();
    let life = |life| candidates((0..10).map(|one| endpoint(one, 1, life)));
    let (before, after) = (
        owners(&policy, &life(0), 100_000),
        owners(&policy, &life(1), 100_000),
    );
    let moved = moved_without_need(&before, &after, "");
    assert!((0.85..0.95).contains(&moved), "{moved}");
}

/// What the fixed number of points for each host is good for.
#[test]
fn the_ring_of_grpc_moves_innocent_keys() {
    let policy = GrpcRingHash::by_placement();
    let (before, after) = (
        owners(&policy, &equal(3), 100_000),
        owners(&policy, &without(3, 1), 100_000),
    );
    let moved = moved_without_need(&before, &after, "db-1");
    assert!((0.05..0.15).contains(&moved), "{moved}");
}
