//! The Service's own address.

use super::*;

fn seen(service: Service) -> Machine {
    Machine::seeing(service, reached_by(Reach::VirtualIp))
}

#[test]
fn is_one_endpoint_named_after_the_service_with_both_its_addresses() {
    let machine = seen(of_kind(ServiceKind::ClusterIp));
    let set = machine.set();
    assert_eq!(machine.endpoints(), ["orders.shop@10.96.0.7:80"]);
    assert_eq!(set[0].alternate(), Some("[fd00:96::7]:80".parse().unwrap()));
    assert_eq!(machine.reach(), Reach::VirtualIp);
    assert_eq!(*machine.needs(), Needs::default(), "nobody else is asked");
}

#[test]
fn goes_by_the_families_of_the_service_or_those_that_are_asked_for() {
    let v6_first = Service {
        family: Some(Family::V6),
        ..of_kind(ServiceKind::ClusterIp)
    };
    assert_eq!(seen(v6_first).endpoints(), ["orders.shop@[fd00:96::7]:80"]);
    let v6_only = Want {
        families: IpFamilies::V6Only,
        ..reached_by(Reach::VirtualIp)
    };
    let machine = Machine::seeing(of_kind(ServiceKind::ClusterIp), v6_only.clone());
    assert_eq!(machine.endpoints(), ["orders.shop@[fd00:96::7]:80"]);
    assert_eq!(machine.set()[0].alternate(), None);
    let v4_service = Service {
        cluster_ips: ["10.96.0.7".parse().unwrap()].into(),
        ..of_kind(ServiceKind::ClusterIp)
    };
    Machine::seeing(v4_service, v6_only)
        .refuses("no virtual IP of a family that is used (V6Only); it has: 10.96.0.7");
}

#[test]
fn of_a_headless_service_there_is_none() {
    seen(of_kind(ServiceKind::Headless))
        .refuses("is headless (`clusterIP: None`), so it has no virtual IP");
}

#[test]
fn of_an_alias_there_is_none() {
    seen(alias("db.example.com"))
        .refuses("an alias in DNS and nothing else: it cannot be reached by VirtualIp");
}

#[test]
fn not_there_yet_is_said() {
    let service = Service {
        cluster_ips: Box::default(),
        ..of_kind(ServiceKind::ClusterIp)
    };
    seen(service).refuses("it has: none");
}

#[test]
fn needs_a_port_of_the_service() {
    let want = Want {
        port: Some(wanted_port("8080")),
        ..reached_by(Reach::VirtualIp)
    };
    Machine::seeing(of_kind(ServiceKind::ClusterIp), want)
        .refuses("has no port `8080`; it has: `http` (80)");
}

#[test]
fn that_stays_the_same_is_the_same_set() {
    let mut machine = seen(of_kind(ServiceKind::ClusterIp));
    let before = machine.set();
    machine.change(of_kind(ServiceKind::NodePort));
    assert!(machine.set().is_same(&before));
}
