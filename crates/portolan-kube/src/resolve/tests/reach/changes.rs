//! A Service that becomes something else while it is in use.

use super::*;

fn shown_pods() -> Slice {
    slice("a", vec![pod("a-0", "10.0.0.1")])
}

#[test]
fn from_cluster_ip_to_an_alias_to_headless() {
    let mut machine = Machine::of(of_kind(ServiceKind::ClusterIp), Some("http"));
    machine.apply(shown_pods());
    let pods = machine.set();

    machine.change(alias("db.example.com"));
    assert!(
        machine.set().is_same(&pods),
        "until DNS has answered, the last good set stays"
    );
    machine.answer(host("db.example.com", 80), addresses(&["192.0.2.1:80"]));
    assert_eq!(machine.endpoints(), ["192.0.2.1:80@192.0.2.1:80"]);
    assert_eq!(machine.reach(), Reach::ExternalName);
    assert!(!machine.needs().slices);

    // The controller goes on, whoever listens.
    machine.apply(slice(
        "a",
        vec![pod("a-0", "10.0.0.1"), pod("a-1", "10.0.0.2")],
    ));
    assert_eq!(machine.endpoints(), ["192.0.2.1:80@192.0.2.1:80"]);

    machine.change(of_kind(ServiceKind::Headless));
    assert_eq!(
        machine.endpoints(),
        ["a-0@10.0.0.1:8080", "a-1@10.0.0.2:8080"]
    );
    assert_eq!(machine.reach(), Reach::Pods);
    assert!(machine.needs().slices && machine.needs().hosts.is_empty());
}

#[test]
fn from_one_alias_to_another() {
    let mut machine = Machine::of(alias("one.example.com"), Some("http"));
    machine.answer(host("one.example.com", 80), addresses(&["192.0.2.1:80"]));
    machine.change(alias("two.example.com"));
    assert_eq!(
        machine.needs().hosts.iter().collect::<Vec<_>>(),
        [&host("two.example.com", 80)]
    );
    assert_eq!(machine.endpoints(), ["192.0.2.1:80@192.0.2.1:80"]);
    machine.answer(
        host("two.example.com", 80),
        addresses(&["192.0.2.1:80", "192.0.2.2:80"]),
    );
    let set = machine.set();
    assert!(set.iter().all(|one| one.host() == Some("two.example.com")));
    machine.change(alias("10.0.0.1"));
    machine.refuses("no DNS name");
}

#[test]
fn between_the_types_that_have_pods_nothing_changes_from_inside() {
    let mut machine = Machine::of(of_kind(ServiceKind::ClusterIp), Some("http"));
    machine.apply(shown_pods());
    let set = machine.set();
    for kind in [
        ServiceKind::NodePort,
        load_balancer(&[]).kind,
        load_balancer(&["192.0.2.1"]).kind,
    ] {
        machine.change(of_kind(kind));
        assert!(machine.set().is_same(&set));
    }
}

#[test]
fn from_outside_the_way_in_is_followed() {
    let mut machine = Machine::seeing(of_kind(ServiceKind::ClusterIp), from_outside());
    machine.apply(shown_pods());
    assert_eq!(machine.reach(), Reach::Pods);
    machine.change(load_balancer(&[]));
    assert_eq!(machine.error().kind(), SourceErrorKind::Pending);
    machine.change(load_balancer(&["192.0.2.1"]));
    assert_eq!(machine.reach(), Reach::LoadBalancer);
    machine.change(of_kind(ServiceKind::NodePort));
    assert!(machine.needs().nodes);
    assert_eq!(
        machine.reach(),
        Reach::LoadBalancer,
        "until the Nodes are known"
    );
    machine.list_nodes(&[Node {
        name: "n1".into(),
        uid: "u".into(),
        internal: ["10.1.0.1".parse().unwrap()].into(),
        external: Box::default(),
        zone: None,
        fit: true,
    }]);
    assert_eq!(machine.endpoints(), ["n1@10.1.0.1:30080"]);
    machine.change(of_kind(ServiceKind::ClusterIp));
    assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
}

#[test]
fn ports_that_change_are_followed_in_every_reach() {
    let moved = |kind| Service {
        ports: [ServicePort {
            node_port: Some(31000),
            ..port("http", 90, 8080)
        }]
        .into(),
        ..of_kind(kind)
    };
    let mut machine = Machine::seeing(
        of_kind(ServiceKind::ClusterIp),
        reached_by(Reach::VirtualIp),
    );
    machine.change(moved(ServiceKind::ClusterIp));
    assert_eq!(machine.endpoints(), ["orders.shop@10.96.0.7:90"]);
    let mut machine = Machine::seeing(
        load_balancer(&["192.0.2.1"]),
        reached_by(Reach::LoadBalancer),
    );
    machine.change(moved(load_balancer(&["192.0.2.1"]).kind));
    assert_eq!(machine.endpoints(), ["192.0.2.1@192.0.2.1:90"]);
    let mut machine = Machine::seeing(alias("db.example.com"), reached_by(Reach::ExternalName));
    machine.change(moved(alias("db.example.com").kind));
    assert!(machine.needs().hosts.contains(&host("db.example.com", 90)));
}

#[test]
fn a_port_that_goes_is_said_and_one_that_comes_back_is_found() {
    let mut machine = Machine::of(of_kind(ServiceKind::ClusterIp), Some("http"));
    machine.apply(shown_pods());
    let set = machine.set();
    machine.change(service(&[port("grpc", 90, 9090)]));
    machine.refuses("has no port `http`; it has: `grpc` (90)");
    machine.change(of_kind(ServiceKind::ClusterIp));
    assert_eq!(machine.set(), set);
}

#[test]
fn families_that_change_are_followed() {
    let mut machine = Machine::of(of_kind(ServiceKind::ClusterIp), Some("http"));
    machine.apply(shown_pods());
    machine.apply(slice("b", vec![pod("a-0", "fd00::1")]));
    assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
    machine.change(Service {
        family: Some(Family::V6),
        ..of_kind(ServiceKind::ClusterIp)
    });
    assert_eq!(machine.endpoints(), ["a-0@[fd00::1]:8080"]);
    assert_eq!(
        machine.set()[0].alternate(),
        Some("10.0.0.1:8080".parse().unwrap())
    );
}

#[test]
fn a_type_that_is_not_known_leaves_what_was_there() {
    let mut machine = Machine::of(of_kind(ServiceKind::ClusterIp), Some("http"));
    machine.apply(shown_pods());
    let set = machine.set();
    machine.change(of_kind(ServiceKind::Unknown("Quantum".into())));
    machine.refuses("of type `Quantum`, which is not known here");
    machine.change(of_kind(ServiceKind::ClusterIp));
    assert_eq!(machine.set(), set);
}
