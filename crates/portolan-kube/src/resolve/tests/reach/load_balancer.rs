//! The load balancer before a Service.

use super::*;

fn seen(service: Service) -> Machine {
    Machine::seeing(service, reached_by(Reach::LoadBalancer))
}

#[test]
fn is_pending_until_it_has_an_address() {
    let mut machine = seen(load_balancer(&[]));
    let error = machine.error();
    assert_eq!(error.kind(), SourceErrorKind::Pending);
    let text = "the load balancer of Service `orders.shop` has no address yet";
    assert!(error.to_string().starts_with(text), "{error}");
    machine.change(load_balancer(&["192.0.2.1", "fd00::1"]));
    assert_eq!(
        machine.endpoints(),
        ["192.0.2.1@192.0.2.1:80", "fd00::1@[fd00::1]:80"]
    );
    assert_eq!(machine.reach(), Reach::LoadBalancer);
    assert_eq!(*machine.needs(), Needs::default());
}

#[test]
fn that_loses_its_addresses_has_truly_none() {
    let mut machine = seen(load_balancer(&["192.0.2.1"]));
    machine.change(load_balancer(&[]));
    assert!(machine.set().is_empty());
    // Another one, after the Service was something else, is waited for as the first was.
    machine.change(of_kind(ServiceKind::ClusterIp));
    machine.refuses("is of type ClusterIP, so there is no load balancer before it");
    machine.serve(ServiceState::Absent);
    machine.change(load_balancer(&[]));
    assert_eq!(machine.error().kind(), SourceErrorKind::Pending);
}

#[test]
fn of_a_service_that_was_made_anew_is_waited_for() {
    let mut machine = seen(load_balancer(&["192.0.2.1"]));
    // Between two lists a Service may go and come, and only its UID tells.
    machine.change(Service {
        uid: "another".into(),
        ..load_balancer(&[])
    });
    assert_eq!(machine.error().kind(), SourceErrorKind::Pending);
}

#[test]
fn whose_name_dns_never_knew_had_no_address_yet() {
    let mut machine = seen(load_balancer(&["lb.example.com"]));
    assert!(machine.is_silent());
    machine.change(load_balancer(&[]));
    assert_eq!(machine.error().kind(), SourceErrorKind::Pending);
}

#[test]
fn with_a_name_is_asked_of_dns() {
    let mut machine = seen(load_balancer(&["192.0.2.9", "lb.example.com"]));
    let lb = host("lb.example.com", 80);
    assert!(machine.is_silent(), "the list is not whole yet");
    assert_eq!(machine.needs().hosts.iter().collect::<Vec<_>>(), [&lb]);
    machine.answer(lb, addresses(&["192.0.2.1:80", "192.0.2.9:80"]));
    let set = machine.set();
    let told: Vec<_> = set
        .iter()
        .map(|one| (one.address().to_string(), one.host()))
        .collect();
    assert_eq!(
        told,
        [
            ("192.0.2.1:80".into(), Some("lb.example.com")),
            ("192.0.2.9:80".into(), None),
        ]
    );
}

#[test]
fn of_families_that_are_not_used_is_left_out() {
    let want = Want {
        families: IpFamilies::V6Only,
        ..reached_by(Reach::LoadBalancer)
    };
    let mut machine = Machine::seeing(
        load_balancer(&["192.0.2.1", "fd00::1", "lb.example.com"]),
        want,
    );
    machine.answer(
        host("lb.example.com", 80),
        addresses(&["192.0.2.2:80", "[fd00::2]:80"]),
    );
    let mut found: Vec<_> = machine
        .set()
        .iter()
        .map(|one| one.address().to_string())
        .collect();
    found.sort();
    assert_eq!(found, ["[fd00::1]:80", "[fd00::2]:80"]);
}

#[test]
fn that_cannot_offer_the_port_is_left_out_and_told_of_if_all_are() {
    let with_fault = |faulty: &[&str], sound: &[&str]| {
        let fault = PortFault {
            port: 80,
            tcp: true,
            error: "example.com/NoQuota".into(),
        };
        let udp = PortFault {
            tcp: false,
            ..fault.clone()
        };
        let ingress = |place: &&str, faults: &[PortFault]| Ingress {
            place: IngressPlace::Ip(place.parse().unwrap()),
            faults: faults.into(),
        };
        let faulty = faulty
            .iter()
            .map(|one| ingress(one, std::slice::from_ref(&fault)));
        let sound = sound
            .iter()
            .map(|one| ingress(one, std::slice::from_ref(&udp)));
        of_kind(ServiceKind::LoadBalancer(faulty.chain(sound).collect()))
    };
    let mut machine = seen(with_fault(&["192.0.2.1"], &["192.0.2.2"]));
    assert_eq!(machine.endpoints(), ["192.0.2.2@192.0.2.2:80"]);
    machine.change(with_fault(&["192.0.2.1", "192.0.2.2"], &[]));
    let error = machine.error();
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    assert!(
        error
            .to_string()
            .ends_with("cannot offer port `http` (80): example.com/NoQuota"),
        "{error}"
    );
}
