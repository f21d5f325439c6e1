//! The rules against a naive form of them, and what the client adds.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::{InternalTraffic, Location, categorize, eligible};
use crate::{
    Candidate, Conditions, Endpoint, EndpointSet, Hints, Measurement, Membership, Placement,
    reconcile,
};

const NODES: [&str; 3] = ["n0", "n1", "n2"];
const ZONES: [&str; 2] = ["za", "zb"];

#[derive(Clone, Debug)]
struct Spec {
    conditions: Conditions,
    node: Option<usize>,
    for_nodes: BTreeSet<usize>,
    for_zones: BTreeSet<usize>,
}

impl Spec {
    fn ready() -> Self {
        Self {
            conditions: Conditions::READY,
            node: None,
            for_nodes: BTreeSet::new(),
            for_zones: BTreeSet::new(),
        }
    }

    fn terminating(ready: bool) -> Self {
        Self {
            conditions: Conditions::new(Some(ready), Some(true), Some(true)),
            ..Self::ready()
        }
    }

    fn on(mut self, node: usize) -> Self {
        self.node = Some(node);
        self
    }

    fn hinted(mut self, zone: usize) -> Self {
        self.for_zones.insert(zone);
        self
    }
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let conditions = any::<[Option<bool>; 3]>().prop_map(|[a, b, c]| Conditions::new(a, b, c));
    // Whole hints must not be too rare to be met.
    let hints = |of: usize| prop::collection::btree_set(0..of, 0..=of);
    let spec = (
        prop_oneof![3 => Just(Conditions::READY), 2 => conditions],
        prop::option::weighted(0.8, 0..NODES.len()),
        prop_oneof![1 => Just(BTreeSet::new()), 3 => hints(NODES.len())],
        prop_oneof![1 => Just(BTreeSet::new()), 3 => hints(ZONES.len())],
    )
        .prop_map(|(conditions, node, for_nodes, for_zones)| Spec {
            conditions,
            node,
            for_nodes,
            for_zones,
        });
    prop::collection::vec(spec, 0..7)
}

fn locations() -> impl Strategy<Value = (Option<usize>, Option<usize>)> {
    let zone = prop::option::weighted(0.8, 0..ZONES.len());
    (prop::option::weighted(0.8, 0..NODES.len()), zone)
}

fn location((node, zone): (Option<usize>, Option<usize>)) -> Location {
    let here = Location::UNKNOWN;
    let here = node.map_or(here.clone(), |node| here.with_node(NODES[node]));
    zone.map_or(here.clone(), |zone| here.with_zone(ZONES[zone]))
}

fn membership(specs: &[Spec], internal_traffic: InternalTraffic) -> Membership {
    let endpoint = |(number, spec): (usize, &Spec)| {
        let names = |of: &[&str], which: &BTreeSet<usize>| -> Box<[Arc<str>]> {
            which.iter().map(|&one| Arc::from(of[one])).collect()
        };
        let address = ([10, 0, 0, number as u8 + 1], 80).into();
        let endpoint = Endpoint::new(Placement::new(format!("db-{number}")), address)
            .with_conditions(spec.conditions)
            .with_hints(Arc::new(Hints {
                zones: names(&ZONES, &spec.for_zones),
                nodes: names(&NODES, &spec.for_nodes),
            }));
        spec.node
            .map_or(endpoint.clone(), |node| endpoint.with_node(NODES[node]))
    };
    let set: EndpointSet = specs.iter().enumerate().map(endpoint).collect();
    let set = set.with_internal_traffic(internal_traffic);
    reconcile(&Membership::default(), &set, Measurement::default()).0
}

fn numbers(chosen: &[Candidate]) -> Vec<usize> {
    let number = |one: &Candidate| one.endpoint.placement().ordinal().unwrap() as usize;
    chosen.iter().map(number).collect()
}

/// The same as one would tell it: whose Node, whose zone, all; and the rest last.
fn expected(
    specs: &[Spec],
    internal: InternalTraffic,
    (node, zone): (Option<usize>, Option<usize>),
) -> Vec<usize> {
    let which = |such: &dyn Fn(&Spec) -> bool| -> Vec<usize> {
        let all = specs.iter().enumerate();
        all.filter(|(_, spec)| such(spec))
            .map(|(at, _)| at)
            .collect()
    };
    let ready = |spec: &Spec| spec.conditions.is_ready();
    let lingers = |spec: &Spec| spec.conditions.is_serving() && spec.conditions.is_terminating();
    let first_not_empty = |first: Vec<usize>, otherwise: Vec<usize>| match first.is_empty() {
        true => otherwise,
        false => first,
    };
    if internal == InternalTraffic::Local {
        let local = |spec: &Spec| node.is_some() && spec.node == node;
        let first = which(&|spec| ready(spec) && local(spec));
        return first_not_empty(first, which(&|spec| lingers(spec) && local(spec)));
    }
    let all_ready = || specs.iter().filter(|spec| ready(spec));
    if let Some(node) = node
        && all_ready().all(|spec| !spec.for_nodes.is_empty())
        && all_ready().any(|spec| spec.for_nodes.contains(&node))
    {
        return which(&|spec| ready(spec) && spec.for_nodes.contains(&node));
    }
    if let Some(zone) = zone
        && all_ready().all(|spec| !spec.for_zones.is_empty())
        && all_ready().any(|spec| spec.for_zones.contains(&zone))
    {
        return which(&|spec| ready(spec) && spec.for_zones.contains(&zone));
    }
    first_not_empty(which(&ready), which(&lingers))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_rules_are_kube_proxys(specs in specs(), here in locations(), local in any::<bool>()) {
        let internal = if local { InternalTraffic::Local } else { InternalTraffic::Cluster };
        let chosen = categorize(&membership(&specs, internal), &location(here));
        prop_assert_eq!(numbers(&chosen), expected(&specs, internal, here));
    }

    #[test]
    fn the_client_only_leaves_out_unless_it_would_reach_nobody(
        specs in specs(),
        here in locations(),
        local in any::<bool>(),
        unreachable in prop::collection::btree_set(0usize..7, 0..7),
    ) {
        let internal = if local { InternalTraffic::Local } else { InternalTraffic::Cluster };
        let membership = membership(&specs, internal);
        let by_rule = numbers(&categorize(&membership, &location(here)));
        let is_out = |number: &usize| unreachable.contains(number);
        let list = eligible(&membership, &location(here), |one| is_out(&numbers(std::slice::from_ref(one))[0]));
        let chosen = numbers(&list);
        prop_assert_eq!(chosen.is_empty(), by_rule.is_empty());
        let leaves = |number: &usize| specs[*number].conditions.is_terminating();
        if by_rule.iter().any(|one| !is_out(one)) {
            prop_assert!(chosen.iter().all(|one| by_rule.contains(one) && !is_out(one)));
            // Nobody is left out for nothing.
            let best = by_rule.iter().filter(|one| !is_out(one) && !leaves(one)).count();
            prop_assert!(best == 0 || chosen.len() == best);
        } else if chosen.iter().any(|one| !by_rule.contains(one)) {
            // Farther off: only where the Service does not forbid it, and only to who can be reached.
            prop_assert!(!local);
            prop_assert!(chosen.iter().all(|one| !is_out(one) && specs[*one].conditions.is_ready()));
        }
        // Whoever terminates gets nothing while another does not.
        prop_assert!(chosen.iter().all(leaves) || !chosen.iter().any(leaves));
    }
}

fn choose(specs: &[Spec], here: (Option<usize>, Option<usize>), out: &[usize]) -> Vec<usize> {
    let membership = membership(specs, InternalTraffic::Cluster);
    let excluded = |one: &Candidate| out.contains(&numbers(std::slice::from_ref(one))[0]);
    numbers(&eligible(&membership, &location(here), excluded))
}

#[test]
fn an_endpoint_out_of_reach_is_left_out_unless_all_are() {
    let three = [Spec::ready(), Spec::ready(), Spec::ready()];
    assert_eq!(choose(&three, (None, None), &[1]), [0, 2]);
    assert_eq!(choose(&three, (None, None), &[0, 1, 2]), [0, 1, 2]);
}

#[test]
fn a_zone_out_of_reach_spills_into_the_others() {
    let zones = [Spec::ready().hinted(0), Spec::ready().hinted(1)];
    assert_eq!(choose(&zones, (None, Some(0)), &[]), [0]);
    assert_eq!(choose(&zones, (None, Some(0)), &[0]), [1]);
    assert_eq!(choose(&zones, (None, Some(0)), &[0, 1]), [0]);
}

#[test]
fn a_published_pod_that_terminates_gets_nothing_new_while_another_does_not() {
    let published = [Spec::terminating(true), Spec::ready()];
    assert_eq!(choose(&published, (None, None), &[]), [1]);
    assert_eq!(choose(&published[..1], (None, None), &[]), [0]);
    // Better one that leaves than one that cannot be reached.
    assert_eq!(choose(&published, (None, None), &[1]), [0]);
}

#[test]
fn an_address_that_was_given_away_is_the_new_pods() {
    let pod = |name: &str, conditions| {
        Endpoint::new(Placement::new(name), ([10, 0, 0, 1], 80).into())
            .with_uid(name)
            .with_conditions(conditions)
    };
    let starting = Conditions::new(Some(false), Some(false), Some(false));
    let leaving = Conditions::new(Some(false), Some(true), Some(true));
    let set: EndpointSet = [pod("new", starting), pod("old", leaving)]
        .into_iter()
        .collect();
    let (membership, _) = reconcile(&Membership::default(), &set, Measurement::default());
    // It is the new one that would answer, and that one is not ready.
    assert!(categorize(&membership, &Location::UNKNOWN).is_empty());
    let set: EndpointSet = [pod("old", leaving)].into_iter().collect();
    let (membership, _) = reconcile(&Membership::default(), &set, Measurement::default());
    assert_eq!(categorize(&membership, &Location::UNKNOWN).len(), 1);
}

#[test]
fn a_local_service_never_leaves_the_node() {
    let specs = [
        Spec::ready().on(0),
        Spec::ready().on(1),
        Spec::terminating(false).on(2),
    ];
    let membership = membership(&specs, InternalTraffic::Local);
    let chosen = |here, out: bool| numbers(&eligible(&membership, &location(here), |_| out));
    assert_eq!(chosen((Some(1), None), false), [1]);
    assert_eq!(
        chosen((Some(1), None), true),
        [1],
        "even where nobody there is reached"
    );
    assert_eq!(
        chosen((Some(2), None), false),
        [2],
        "one that leaves is better than none"
    );
    assert_eq!(
        chosen((None, Some(0)), false),
        [0usize; 0],
        "nor is it used from nowhere"
    );
}
