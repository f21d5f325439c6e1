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

            let uid = |endpoint: &Endpoint| endpoint.uid().unwrap().to_owned();
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
