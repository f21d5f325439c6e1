use std::collections::BTreeMap;

use portolan_core::Conditions;
use proptest::prelude::*;

use super::*;
use crate::source::{Fixed, member};

fn merge(members: &[(&str, u32, u32)]) -> Merge {
    let members: Vec<Member> = members
        .iter()
        .map(|(name, priority, weight)| {
            let nobody = Fixed::default();
            member(*name, nobody).priority(*priority).weight(*weight)
        })
        .collect();
    Merge::new(&members)
}

fn not_ready() -> Conditions {
    Conditions::new(Some(false), None, None)
}

fn endpoint(cluster: u8, nth: u8) -> Endpoint {
    let address = format!("10.{cluster}.0.{nth}:80").parse().unwrap();
    Endpoint::new(Placement::new(format!("db-{nth}")), address).with_uid(format!("{cluster}/{nth}"))
}

fn list(endpoints: impl IntoIterator<Item = Endpoint>) -> Resolution {
    Resolution::Present(endpoints.into_iter().collect())
}

fn failed(why: &str) -> Resolution {
    Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, why))
}

/// What was said, in short.
fn said(merge: &mut Merge) -> Option<String> {
    let said = merge.resolution()?;
    assert!(merge.resolution().is_none(), "said twice");
    Some(match said {
        Resolution::Present(set) => {
            let one = |one: &Arc<Endpoint>| format!("{}*{}", one.placement(), one.weight().value());
            set.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Resolution::Absent => "absent".to_owned(),
        Resolution::Failed(error) => error.to_string(),
        _ => unreachable!(),
    })
}

#[test]
fn names_tell_members_apart_and_weights_are_multiplied() {
    let mut merge = merge(&[("east", 0, 3), ("west", 0, 1)]);
    merge.hear(
        0,
        list([endpoint(1, 0).with_weight(Weight::new(2)), endpoint(1, 1)]),
    );
    assert_eq!(said(&mut merge), None, "west is waited for");
    merge.hear(1, list([endpoint(2, 0).with_weight(Weight::new(u32::MAX))]));
    let both = "east/db-0*6 east/db-1*3 west/db-0*4294967295";
    assert_eq!(said(&mut merge).unwrap(), both);
    assert_eq!(said(&mut merge), None);
}

#[test]
fn the_best_priority_that_has_a_ready_endpoint_is_used() {
    let mut merge = merge(&[("east", 0, 1), ("drained", 0, 0), ("west", 1, 1)]);
    merge.hear(
        0,
        list([endpoint(1, 0), endpoint(1, 1).with_conditions(not_ready())]),
    );
    merge.hear(1, list([]));
    // West need not have spoken: it would not be used.
    assert_eq!(said(&mut merge).unwrap(), "east/db-0*1 east/db-1*1");
    merge.hear(2, list([endpoint(2, 0)]));
    assert_eq!(said(&mut merge).unwrap(), "east/db-0*1 east/db-1*1");
    merge.hear(0, list([endpoint(1, 0).with_conditions(not_ready())]));
    assert_eq!(said(&mut merge).unwrap(), "west/db-0*1");
    // One that weighs nothing is no reason to stay.
    merge.hear(1, list([endpoint(3, 0)]));
    assert_eq!(said(&mut merge).unwrap(), "west/db-0*1");
    merge.hear(2, list([]));
    assert_eq!(said(&mut merge).unwrap(), "drained/db-0*0 east/db-0*1");
    merge.hear(1, Resolution::Absent);
    assert_eq!(said(&mut merge).unwrap(), "east/db-0*1");
    let last_resort = Conditions::new(Some(false), Some(true), Some(true));
    merge.hear(2, list([endpoint(2, 0).with_conditions(last_resort)]));
    assert_eq!(said(&mut merge).unwrap(), "west/db-0*1");
}

#[test]
fn a_member_that_fails_keeps_its_last_good_part() {
    let mut merge = merge(&[("east", 0, 1), ("west", 0, 1)]);
    merge.hear(0, failed("refused"));
    assert_eq!(said(&mut merge), None);
    merge.stop_waiting();
    assert_eq!(
        said(&mut merge).unwrap(),
        "east: refused; west: no word yet"
    );
    merge.hear(1, list([endpoint(2, 0)]));
    assert_eq!(said(&mut merge).unwrap(), "west/db-0*1");
    merge.hear(0, list([endpoint(1, 0)]));
    assert_eq!(said(&mut merge).unwrap(), "east/db-0*1 west/db-0*1");
    merge.hear(0, failed("refused"));
    assert_eq!(said(&mut merge).unwrap(), "east/db-0*1 west/db-0*1");
    merge.hear(1, failed("forbidden"));
    assert_eq!(said(&mut merge).unwrap(), "east: refused; west: forbidden");
    merge.hear(1, Resolution::Absent);
    assert_eq!(said(&mut merge).unwrap(), "east/db-0*1");
    merge.hear(0, Resolution::Absent);
    assert_eq!(said(&mut merge).unwrap(), "absent");
}

#[test]
fn a_pod_that_two_members_name_is_there_once() {
    let mut merge = merge(&[("stable", 0, 9), ("canary", 0, 1)]);
    merge.hear(0, list([endpoint(1, 0), endpoint(1, 1)]));
    merge.hear(1, list([endpoint(1, 1), endpoint(1, 2)]));
    assert_eq!(
        said(&mut merge).unwrap(),
        "canary/db-2*1 stable/db-0*9 stable/db-1*9"
    );
}

#[test]
fn what_did_not_change_is_the_same_pointer() {
    let mut merge = merge(&[("east", 0, 2)]);
    let (a, b) = (Arc::new(endpoint(1, 0)), Arc::new(endpoint(1, 1)));
    let mut listed = |endpoints: &[&Arc<Endpoint>]| {
        let endpoints = endpoints.iter().map(|one| Arc::clone(one)).collect();
        merge.hear(0, Resolution::Present(EndpointSet::new(endpoints)));
        match merge.resolution() {
            Some(Resolution::Present(set)) => set,
            other => panic!("{other:?}"),
        }
    };
    let first = listed(&[&a, &b]);
    let second = listed(&[&b]);
    assert!(Arc::ptr_eq(&first[1], &second[0]));
}

#[test]
fn what_promises_less_is_true_of_all() {
    let mut merge = merge(&[("east", 0, 1), ("west", 0, 1)]);
    let set = |cluster| -> EndpointSet { [endpoint(cluster, 0)].into_iter().collect() };
    merge.hear(0, Resolution::Present(set(1)));
    let nodes = set(2).with_reach(Reach::Nodes);
    let nodes = nodes.with_internal_traffic(InternalTraffic::Local);
    merge.hear(1, Resolution::Present(nodes));
    let Some(Resolution::Present(both)) = merge.resolution() else {
        panic!("no list");
    };
    assert_eq!(both.reach(), Reach::Nodes);
    assert_eq!(both.internal_traffic(), InternalTraffic::Local);
}

/// What a member says: for each of its Pods whether it is ready.
#[derive(Clone, Debug)]
enum Word {
    Lists(BTreeMap<u8, (bool, u32)>),
    Absent,
    Fails,
}

fn words() -> impl Strategy<Value = Vec<(usize, Word)>> {
    let pods = prop::collection::btree_map(0u8..4, (any::<bool>(), 0u32..3), 0..4);
    let word = prop_oneof![
        4 => pods.prop_map(Word::Lists),
        1 => Just(Word::Absent),
        2 => Just(Word::Fails),
    ];
    prop::collection::vec((0usize..4, word), 0..40)
}

proptest! {
    #[test]
    fn a_union_is_what_the_naive_model_says(
        settings in prop::collection::vec((0u32..3, 0u32..3), 4),
        words in words(),
    ) {
        let names = ["a", "b", "c", "d"];
        let members: Vec<_> = names.iter().zip(&settings).map(|(name, (priority, weight))| (*name, *priority, *weight)).collect();
        let mut merge = merge(&members);
        merge.stop_waiting();
        let mut good: [Option<BTreeMap<u8, (bool, u32)>>; 4] = Default::default();
        let mut absent = [false; 4];
        let mut failing = [false; 4];
        for (who, word) in words {
            failing[who] = matches!(word, Word::Fails);
            let resolution = match word {
                Word::Lists(pods) => {
                    good[who] = Some(pods.clone());
                    absent[who] = false;
                    list(pods.into_iter().map(|(pod, (ready, weight))| {
                        let conditions = if ready { Conditions::READY } else { not_ready() };
                        endpoint(who as u8, pod).with_conditions(conditions).with_weight(Weight::new(weight))
                    }))
                }
                Word::Absent => {
                    good[who] = None;
                    absent[who] = true;
                    Resolution::Absent
                }
                Word::Fails => failed("no answer"),
            };
            merge.hear(who, resolution);
            let said = merge.resolution();

            // The model: every endpoint with what it is worth, and the least of that.
            let spoken = |who: usize| good[who].is_some() || absent[who];
            let mut all: Vec<(u8, u32, String, u32)> = Vec::new();
            for (who, pods) in good.iter().enumerate() {
                for (pod, (ready, weight)) in pods.iter().flatten() {
                    let weight = weight * members[who].2;
                    let worth = match (ready, weight) {
                        (true, 0) => 1,
                        (true, _) => 0,
                        (false, _) => 3,
                    };
                    all.push((worth, members[who].1, format!("{}/db-{pod}", names[who]), weight));
                }
            }
            let priority = all.iter().min().map(|(_, priority, ..)| *priority);
            let mut expected: Vec<_> = all.into_iter().filter(|one| Some(one.1) == priority).map(|(_, _, name, weight)| (name, weight)).collect();
            expected.sort();
            match said {
                None => prop_assert!(!(0..4).any(spoken) && !failing.contains(&true)),
                Some(Resolution::Failed(_)) => {
                    prop_assert!(!failing.contains(&false) || !(0..4).any(spoken));
                }
                Some(Resolution::Absent) => prop_assert!(absent.iter().all(|absent| *absent)),
                Some(Resolution::Present(set)) => {
                    prop_assert!(!absent.iter().all(|absent| *absent));
                    let got: Vec<_> = set.iter().map(|one| (one.placement().to_string(), one.weight().value())).collect();
                    prop_assert_eq!(got, expected);
                }
                Some(other) => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
