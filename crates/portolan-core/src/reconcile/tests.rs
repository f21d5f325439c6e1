use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;

use super::{Change, Membership, reconcile};
use crate::{Conditions, Endpoint, EndpointSet, Measurement, Placement};

fn endpoint(pod: u8, life: u8, conditions: Conditions) -> Endpoint {
    Endpoint::new(
        Placement::new(format!("db-{pod}")),
        format!("10.0.{life}.{pod}:80").parse().unwrap(),
    )
    .with_uid(format!("{pod}/{life}"))
    .with_conditions(conditions)
}

fn conditions() -> impl Strategy<Value = Conditions> {
    (
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
    )
        .prop_map(|(ready, serving, terminating)| Conditions::new(ready, serving, terminating))
}

/// Sets of up to a dozen Pods, each in one of two lives.
fn sets() -> impl Strategy<Value = Vec<BTreeMap<(u8, u8), Conditions>>> {
    prop::collection::vec(
        prop::collection::btree_map((0u8..12, 0u8..2), conditions(), 0..12),
        1..6,
    )
}

proptest! {
    #[test]
    fn states_follow_incarnations_and_changes_tell_the_difference(sets in sets()) {
        let mut membership = Membership::default();
        let mut before: BTreeMap<(u8, u8), Conditions> = BTreeMap::new();
        for set in sets {
            let endpoints: EndpointSet = set
                .iter()
                .map(|(&(pod, life), &conditions)| endpoint(pod, life, conditions))
                .collect();
            let (after, changes) = reconcile(&membership, &endpoints, Measurement::default());

            prop_assert_eq!(after.members().len(), set.len());
            for member in after.members() {
                let old = membership
                    .members()
                    .iter()
                    .find(|old| old.endpoint.incarnation() == member.endpoint.incarnation());
                let kept = old.is_some_and(|old| Arc::ptr_eq(&old.state, &member.state));
                prop_assert_eq!(kept, old.is_some());
            }

            let uid = |endpoint: &Endpoint| endpoint.uid().unwrap().to_string();
            let name = |&(pod, life): &(u8, u8)| format!("{pod}/{life}");
            let (mut added, mut removed, mut updated) =
                (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for change in &changes {
                let first = match change {
                    Change::Added(one) => added.insert(uid(one)),
                    Change::Removed(one) => removed.insert(uid(one)),
                    Change::Updated(one) => updated.insert(uid(one)),
                };
                prop_assert!(first, "told twice: {change:?}");
            }
            let only = |a: &BTreeMap<(u8, u8), Conditions>, b: &BTreeMap<(u8, u8), Conditions>| {
                a.keys().filter(|key| !b.contains_key(key)).map(name).collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(added, only(&set, &before));
            prop_assert_eq!(removed, only(&before, &set));
            let differing = set
                .iter()
                .filter(|(key, conditions)| before.get(key).is_some_and(|old| old != *conditions))
                .map(|(key, _)| name(key))
                .collect::<BTreeSet<_>>();
            prop_assert_eq!(updated, differing);
            membership = after;
            before = set;
        }
    }
}

/// A StatefulSet's Pods as the API tells them, and as DNS does.
fn told_by(api: bool, pods: &[u8]) -> EndpointSet {
    pods.iter()
        .map(|pod| {
            let endpoint = endpoint(*pod, 0, Conditions::READY);
            if api {
                endpoint
            } else {
                Endpoint::new(endpoint.placement().clone(), endpoint.address())
            }
        })
        .collect()
}

#[test]
fn a_uid_that_only_one_source_knows_makes_no_new_life() {
    let measurement = Measurement::default();
    let (by_api, _) = reconcile(
        &Membership::default(),
        &told_by(true, &[0, 1, 2]),
        measurement,
    );
    let (by_dns, changes) = reconcile(&by_api, &told_by(false, &[1, 2, 3]), measurement);
    let kinds = |changes: &[Change]| -> Vec<String> {
        let kind = |change: &Change| match change {
            Change::Added(one) => format!("+{}", one.placement()),
            Change::Removed(one) => format!("-{}", one.placement()),
            Change::Updated(one) => format!("~{}", one.placement()),
        };
        changes.iter().map(kind).collect()
    };
    assert_eq!(kinds(&changes), ["-db-0", "~db-1", "~db-2", "+db-3"]);
    let (again, changes) = reconcile(&by_dns, &told_by(true, &[1, 2, 3]), measurement);
    assert_eq!(kinds(&changes), ["~db-1", "~db-2", "~db-3"]);
    for (nth, name) in ["db-1", "db-2"].into_iter().enumerate() {
        let state_in = |membership: &Membership, nth: usize| {
            let member = &membership.members()[nth];
            assert_eq!(member.endpoint.placement().as_str(), name);
            Arc::clone(&member.state)
        };
        let (first, last) = (state_in(&by_api, nth + 1), state_in(&again, nth));
        assert!(Arc::ptr_eq(&first, &last));
    }
    assert!(
        again.members()[0]
            .endpoint
            .uid()
            .is_some_and(|uid| uid == "1/0")
    );
}

#[test]
fn one_of_two_uids_at_the_same_place_is_taken_for_the_former_life() {
    let measurement = Measurement::default();
    let (before, _) = reconcile(&Membership::default(), &told_by(false, &[1]), measurement);
    let two_lives: EndpointSet = ["a", "b"]
        .map(|uid| endpoint(1, 0, Conditions::READY).with_uid(uid))
        .into_iter()
        .collect();
    let (after, changes) = reconcile(&before, &two_lives, measurement);
    assert!(
        matches!(changes[..], [Change::Updated(_), Change::Added(_)]),
        "{changes:?}"
    );
    assert!(Arc::ptr_eq(
        &before.members()[0].state,
        &after.members()[0].state
    ));
    assert!(!Arc::ptr_eq(
        &before.members()[0].state,
        &after.members()[1].state
    ));
}

proptest! {
    /// Each Pod stays at its address; in each set it has no UID, or one of two.
    #[test]
    fn a_state_is_kept_unless_two_uids_say_otherwise(
        sets in prop::collection::vec(
            prop::collection::btree_map(0u8..8, prop::option::of(0u8..2), 0..8),
            1..6,
        ),
    ) {
        let mut membership = Membership::default();
        let mut before: BTreeMap<u8, Option<u8>> = BTreeMap::new();
        for set in sets {
            let endpoints: EndpointSet = set
                .iter()
                .map(|(pod, uid)| {
                    let bare = Endpoint::new(
                        Placement::new(format!("db-{pod}")),
                        format!("10.0.0.{pod}:80").parse().unwrap(),
                    );
                    match uid {
                        Some(uid) => bare.with_uid(format!("{uid}")),
                        None => bare,
                    }
                })
                .collect();
            let (after, changes) = reconcile(&membership, &endpoints, Measurement::default());
            let mut expected = [0; 3];
            for (member, (pod, uid)) in after.members().iter().zip(&set) {
                let same = match (before.get(pod), uid) {
                    (None, _) => false,
                    (Some(None), _) | (Some(_), None) => true,
                    (Some(Some(former)), Some(uid)) => former == uid,
                };
                let placement = member.endpoint.placement();
                let former = membership
                    .members()
                    .iter()
                    .find(|former| former.endpoint.placement() == placement);
                let kept = former.is_some_and(|former| Arc::ptr_eq(&former.state, &member.state));
                prop_assert_eq!(kept, same, "{:?} after {:?}", uid, before.get(pod));
                expected[0] += usize::from(!same);
                expected[2] += usize::from(same && before.get(pod) != Some(uid));
                expected[1] += usize::from(!same && before.contains_key(pod));
            }
            expected[1] += before.keys().filter(|pod| !set.contains_key(pod)).count();
            let mut counted = [0; 3];
            for change in &changes {
                counted[match change {
                    Change::Added(_) => 0,
                    Change::Removed(_) => 1,
                    Change::Updated(_) => 2,
                }] += 1;
            }
            prop_assert_eq!(counted, expected);
            membership = after;
            before = set;
        }
    }
}

#[test]
fn a_pod_of_a_stateful_set_may_return_and_one_of_a_deployment_does_not() {
    let members = |names: &[&str]| {
        let address = "10.0.0.1:80".parse().unwrap();
        let endpoints = names
            .iter()
            .map(|name| Endpoint::new(Placement::new(*name), address));
        let set: EndpointSet = endpoints.collect();
        reconcile(&Membership::default(), &set, Measurement::default()).0
    };
    let may_return = |names: &[&str], name: &str| members(names).may_return(&Placement::new(name));
    // It is there, in whatever condition.
    assert!(may_return(&["web-7d4b9-x2k4p"], "web-7d4b9-x2k4p"));
    // It comes back under its name.
    assert!(may_return(&["db-0", "db-2"], "db-1"));
    assert!(may_return(&[], "db-1"));
    // Nobody comes back under another's.
    assert!(!may_return(&["web-7d4b9-x2k4p"], "web-7d4b9-zz9f2"));
    assert!(!may_return(&[], "web-7d4b9-zz9f2"));
    // It was the only one of its StatefulSet.
    assert!(may_return(&["shard-b-0"], "shard-a-0"));
}
