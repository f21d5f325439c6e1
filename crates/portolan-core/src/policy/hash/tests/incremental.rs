//! A ring that is derived from the one before is the ring that would have been built.

use std::sync::Arc;

use proptest::prelude::*;

use super::{candidates, endpoint, equal, owners};
use crate::{Candidates, Policy, policy::RingHash};

/// Some hosts leave, come, or weigh something else.
#[derive(Clone, Debug)]
enum Step {
    Toggle(u32),
    Weigh(u32, u32),
    Restart(u32),
    Everything(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..60).prop_map(Step::Toggle),
        2 => (0_u32..60, 0_u32..4).prop_map(|(one, weight)| Step::Weigh(one, weight)),
        1 => (0_u32..60).prop_map(Step::Restart),
        1 => (0_u32..60).prop_map(Step::Everything),
    ]
}

fn of(hosts: &[(bool, u32, u8)]) -> Candidates {
    let there = (0..).zip(hosts).filter(|(_, (there, _, _))| *there);
    candidates(there.map(|(one, (_, weight, life))| endpoint(one, *weight, *life)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Through any changes, by two balancers that share a policy.
    #[test]
    fn it_is_the_ring_that_would_be_built(steps in prop::collection::vec((step(), 0_usize..2), 1..20)) {
        let shared = RingHash::new();
        let mut hosts = [vec![(true, 1, 0); 60], vec![(true, 2, 0); 40]];
        let ring = |policy: &RingHash, hosts: &[_]| policy.kept.ring_of(&of(hosts));
        // What a balancer has in use.
        let mut rings = [ring(&shared, &hosts[0]), ring(&shared, &hosts[1])];
        for (step, who) in steps {
            let list = &mut hosts[who];
            let at = |one: u32| one as usize % list.len();
            match step {
                Step::Toggle(one) => { let one = at(one); list[one].0 ^= true }
                Step::Weigh(one, weight) => { let one = at(one); list[one].1 = weight }
                Step::Restart(one) => { let one = at(one); list[one].2 += 1 }
                Step::Everything(some) => list.iter_mut().take(some as usize).for_each(|one| one.0 ^= true),
            }
            rings[who] = ring(&shared, list);
            let anew = ring(&RingHash::new(), list);
            prop_assert!(rings[who] == anew);
        }
    }
}

#[test]
fn a_restart_takes_the_same_ring() {
    let policy = RingHash::new();
    let first = policy.kept.ring_of(&equal(50));
    let again = policy
        .kept
        .ring_of(&candidates((0..50).map(|one| endpoint(one, 1, 7))));
    assert!(Arc::ptr_eq(&first, &again));
    // A twin for a moment makes no other ring.
    let twice = (0..50)
        .map(|one| endpoint(one, 1, 0))
        .chain([endpoint(3, 1, 1)]);
    assert!(Arc::ptr_eq(
        &first,
        &policy.kept.ring_of(&candidates(twice))
    ));
}

#[test]
fn a_ring_lives_as_long_as_somebody_uses_it() {
    let policy = RingHash::new();
    let ring = Arc::downgrade(&policy.kept.ring_of(&equal(50)));
    assert_eq!(ring.strong_count(), 0);
    // And many that are used at once are right all the same.
    let used: Vec<_> = (1..30).map(|number| policy.build(&equal(number))).collect();
    assert_eq!(used.len(), 29);
    let (ours, anew) = (
        owners(&policy, &equal(7), 1000),
        owners(&RingHash::new(), &equal(7), 1000),
    );
    assert_eq!(ours, anew);
}

#[test]
fn a_clone_with_another_number_of_points_is_another_ring() {
    let policy = RingHash::new();
    let _used = policy.build(&equal(20));
    let finer = policy.clone().points_per_weight(500);
    let anew = RingHash::new().points_per_weight(500);
    assert_eq!(
        owners(&finer, &equal(20), 1000),
        owners(&anew, &equal(20), 1000)
    );
}
