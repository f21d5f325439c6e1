//! What other clients get wrong, as far as it concerns the state machine: each with a right answer.

use super::*;

#[test]
fn an_event_for_one_slice_leaves_the_other_slices_alone() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice("b", vec![pod("b-0", "10.0.0.2")]));
    machine.apply(slice(
        "b",
        vec![pod("b-0", "10.0.0.2"), pod("b-1", "10.0.0.3")],
    ));
    assert_eq!(
        machine.endpoints(),
        [
            "a-0@10.0.0.1:8080",
            "b-0@10.0.0.2:8080",
            "b-1@10.0.0.3:8080"
        ]
    );
}

#[test]
fn a_deleted_slice_takes_its_endpoints_and_no_others() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice("b", vec![pod("b-0", "10.0.0.2")]));
    machine.delete("a");
    assert_eq!(machine.endpoints(), ["b-0@10.0.0.2:8080"]);
    machine.delete("never was");
    assert_eq!(machine.endpoints(), ["b-0@10.0.0.2:8080"]);
}

#[test]
fn an_update_replaces_the_former_self_of_the_slice() {
    let mut machine = Machine::new();
    machine.apply(slice(
        "a",
        vec![pod("a-0", "10.0.0.1"), pod("a-1", "10.0.0.2")],
    ));
    machine.apply(slice(
        "a",
        vec![pod("a-1", "10.0.0.2"), pod("a-2", "10.0.0.3")],
    ));
    assert_eq!(
        machine.endpoints(),
        ["a-1@10.0.0.2:8080", "a-2@10.0.0.3:8080"]
    );
}

#[test]
fn a_relist_replaces_everything_that_was_known() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice("b", vec![pod("b-0", "10.0.0.2")]));
    let before = machine.set();
    machine.relist(vec![
        slice("b", vec![pod("b-0", "10.0.0.2")]),
        slice("c", vec![pod("c-0", "10.0.0.3")]),
    ]);
    assert_eq!(
        machine.endpoints(),
        ["b-0@10.0.0.2:8080", "c-0@10.0.0.3:8080"]
    );
    assert!(
        Arc::ptr_eq(&machine.set()[0], &before[1]),
        "what did not change is the same object"
    );
}

#[test]
fn scale_to_zero_is_an_empty_set_and_not_silence() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice("a", vec![]));
    assert!(machine.set().is_empty());
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.relist(vec![]);
    assert!(machine.set().is_empty());
}

#[test]
fn a_slice_without_ports_or_endpoints_is_no_reason_to_panic() {
    let mut machine = Machine::new();
    machine.apply(slice_with("portless", &[], vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice_with("empty", &[("http", Some(8080))], vec![]));
    assert!(machine.set().is_empty(), "these Pods do not offer the port");
    machine.apply(slice_with(
        "any",
        &[("http", None)],
        vec![pod("a-1", "10.0.0.2")],
    ));
    assert_eq!(
        machine.endpoints(),
        ["a-1@10.0.0.2:8080"],
        "a port without a number is the Service's target"
    );
}

#[test]
fn an_endpoint_in_two_slices_is_one_and_goes_with_the_last() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice("b", vec![pod("a-0", "10.0.0.1")]));
    assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
    let one = machine.set();
    machine.delete("a");
    assert!(
        machine.set().is_same(&one),
        "nothing changed for the endpoint"
    );
    machine.delete("b");
    assert!(machine.set().is_empty());
}

#[test]
fn an_endpoint_without_a_pod_is_counted_across_slices_too() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![bare("10.0.0.1")]));
    machine.apply(slice("b", vec![bare("10.0.0.1"), bare("10.0.0.2")]));
    assert_eq!(
        machine.endpoints(),
        ["10.0.0.1:8080@10.0.0.1:8080", "10.0.0.2:8080@10.0.0.2:8080"]
    );
    machine.apply(slice("b", vec![]));
    assert_eq!(machine.endpoints(), ["10.0.0.1:8080@10.0.0.1:8080"]);
}

#[test]
fn an_endpoint_that_moves_between_slices_is_never_missing() {
    for added_first in [true, false] {
        let mut machine = Machine::new();
        machine.apply(slice(
            "a",
            vec![pod("a-0", "10.0.0.1"), pod("a-1", "10.0.0.2")],
        ));
        machine.apply(slice("b", vec![pod("b-0", "10.0.0.3")]));
        let before = machine.set();
        if added_first {
            machine.apply(slice(
                "b",
                vec![pod("b-0", "10.0.0.3"), pod("a-1", "10.0.0.2")],
            ));
            assert!(machine.set().is_same(&before));
        }
        // Where the controller removes first, the endpoint really is in no slice for a moment.
        machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
        machine.apply(slice(
            "b",
            vec![pod("b-0", "10.0.0.3"), pod("a-1", "10.0.0.2")],
        ));
        assert_eq!(machine.set(), before);
    }
}

#[test]
fn of_two_entries_the_ready_one_is_believed_then_the_newer() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![but(pod("a-0", "10.0.0.1"), UNREADY)]));
    assert!(!machine.set()[0].conditions().is_ready());
    machine.apply(slice("b", vec![pod("a-0", "10.0.0.1")]));
    assert!(machine.set()[0].conditions().is_ready());
    machine.delete("b");
    assert!(!machine.set()[0].conditions().is_ready());

    let in_zone = |zone: &str| pod("a-0", "10.0.0.1").with_zone(zone);
    let at = |version, mut slice: Slice| {
        slice.version = version;
        slice
    };
    machine.relist(vec![
        at(9, slice("a", vec![in_zone("nine")])),
        at(8, slice("b", vec![in_zone("eight")])),
    ]);
    assert_eq!(machine.set()[0].zone(), Some("nine"));
    // The entry is the same as before, but its slice was written later.
    machine.apply(at(10, slice("b", vec![in_zone("eight")])));
    assert_eq!(machine.set()[0].zone(), Some("eight"));
}

#[test]
fn ports_are_resolved_per_slice() {
    let mut machine = Machine::new();
    machine.apply(slice_with(
        "old",
        &[("http", Some(8080))],
        vec![pod("a-0", "10.0.0.1")],
    ));
    machine.apply(slice_with(
        "new",
        &[("metrics", Some(9090)), ("http", Some(3000))],
        vec![pod("a-1", "10.0.0.2")],
    ));
    assert_eq!(
        machine.endpoints(),
        ["a-0@10.0.0.1:8080", "a-1@10.0.0.2:3000"]
    );
    // The slice's ports change under its endpoints.
    machine.apply(slice_with(
        "old",
        &[("http", Some(8081))],
        vec![pod("a-0", "10.0.0.1")],
    ));
    assert_eq!(
        machine.endpoints(),
        ["a-0@10.0.0.1:8081", "a-1@10.0.0.2:3000"]
    );
}

#[test]
fn unready_and_terminating_endpoints_are_in_the_set_with_what_they_are() {
    let mut machine = Machine::new();
    machine.apply(slice(
        "a",
        vec![
            but(pod("unready", "10.0.0.1"), UNREADY),
            but(pod("going", "10.0.0.2"), TERMINATING),
            // publishNotReadyAddresses: ready whatever the Pod says, `serving` tells the truth.
            but(
                pod("published", "10.0.0.3"),
                (Some(true), Some(false), Some(false)),
            ),
        ],
    ));
    let set = machine.set();
    let seen: Vec<_> = set
        .iter()
        .map(|endpoint| (endpoint.placement().as_str(), endpoint.conditions()))
        .collect();
    assert_eq!(
        seen,
        [
            (
                "going",
                Conditions::new(Some(false), Some(true), Some(true))
            ),
            ("published", Conditions::new(Some(true), Some(false), None)),
            ("unready", Conditions::new(Some(false), None, None)),
        ]
    );
}

#[test]
fn the_placement_outlives_the_pod_and_the_incarnation_does_not() {
    let of = |uid: &str, ip: &str| stateful("db-0", uid, ip);
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![of("first", "10.0.0.1")]));
    let before = machine.set();
    machine.apply(slice("a", vec![of("second", "10.0.0.1")]));
    let after = machine.set();
    assert_eq!(before[0].placement(), after[0].placement());
    assert_ne!(
        before[0].incarnation(),
        after[0].incarnation(),
        "the address is the same, the Pod is not"
    );
    assert_eq!(
        (after[0].ordinal(), after[0].pod()),
        (Some(0), Some("db-0"))
    );
    // Both at once, while the old one terminates.
    machine.apply(slice(
        "a",
        vec![
            but(of("first", "10.0.0.1"), TERMINATING),
            of("second", "10.0.0.2"),
        ],
    ));
    assert_eq!(
        machine.endpoints(),
        ["db-0@10.0.0.1:8080", "db-0@10.0.0.2:8080"]
    );
}

#[test]
fn ipv4_and_ipv6_of_a_pod_are_one_endpoint() {
    let slices = || {
        vec![
            slice(
                "four",
                vec![pod("a-0", "10.0.0.1"), pod("only-4", "10.0.0.2")],
            ),
            slice("six", vec![pod("a-0", "fd00::1"), pod("only-6", "fd00::2")]),
        ]
    };
    let seen = |families| {
        let mut machine = Machine::new().with_families(families);
        for slice in slices() {
            machine.apply(slice);
        }
        let set = machine.set();
        let one = |endpoint: &Arc<Endpoint>| match endpoint.alternate() {
            Some(alternate) => format!("{} or {alternate}", shown(endpoint)),
            None => shown(endpoint),
        };
        set.iter().map(one).collect::<Vec<_>>()
    };
    let four_first = [
        "a-0@10.0.0.1:8080 or [fd00::1]:8080",
        "only-4@10.0.0.2:8080",
        "only-6@[fd00::2]:8080",
    ];
    assert_eq!(seen(IpFamilies::PreferV4), four_first);
    assert_eq!(seen(IpFamilies::AsService), four_first);
    let six_first = [
        "a-0@[fd00::1]:8080 or 10.0.0.1:8080",
        "only-4@10.0.0.2:8080",
        "only-6@[fd00::2]:8080",
    ];
    assert_eq!(seen(IpFamilies::PreferV6), six_first);
    assert_eq!(
        seen(IpFamilies::V4Only),
        ["a-0@10.0.0.1:8080", "only-4@10.0.0.2:8080"]
    );
    assert_eq!(
        seen(IpFamilies::V6Only),
        ["a-0@[fd00::1]:8080", "only-6@[fd00::2]:8080"]
    );
}

#[test]
fn the_service_says_which_family_comes_first() {
    let mut machine = Machine::new();
    machine.apply(slice("four", vec![pod("a-0", "10.0.0.1")]));
    machine.apply(slice("six", vec![pod("a-0", "fd00::1")]));
    assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
    let six = Service {
        family: Some(Family::V6),
        ..service(&[port("http", 80, 8080)])
    };
    machine.serve(ServiceState::Known(Arc::new(six)));
    assert_eq!(machine.endpoints(), ["a-0@[fd00::1]:8080"]);
    // One family goes: the endpoint stays, with the other.
    machine.delete("six");
    assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
}

#[test]
fn a_service_that_is_deleted_is_absent_and_its_return_is_seen() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    machine.serve(ServiceState::Absent);
    assert!(matches!(machine.last, Some(Resolution::Absent)));
    machine.delete("a");
    assert!(
        matches!(machine.last, Some(Resolution::Absent)),
        "its slices are collected later"
    );
    machine.serve(ServiceState::Known(Arc::new(service(&[port(
        "http", 80, 8080,
    )]))));
    assert!(machine.set().is_empty());
    machine.apply(slice("b", vec![pod("b-0", "10.0.0.2")]));
    assert_eq!(machine.endpoints(), ["b-0@10.0.0.2:8080"]);
}

#[test]
fn nothing_is_said_before_both_the_service_and_the_slices_are_known() {
    let mut world = World::new("orders.shop".into());
    let mut view = View::new(Want::default());
    assert!(view.resolve(&world, &[]).is_none());
    world.slices = Some(BTreeMap::new());
    assert!(view.resolve(&world, &[]).is_none());
    world.slices = None;
    world.service = ServiceState::Known(Arc::new(service(&[port("http", 80, 8080)])));
    assert!(view.resolve(&world, &[]).is_none());
    world.slices = Some(BTreeMap::new());
    assert!(matches!(view.resolve(&world, &[]), Some(Resolution::Present(set)) if set.is_empty()));
}
