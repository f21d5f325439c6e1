//! Which port is meant.

use portolan_core::SourceErrorKind;

use super::*;

fn two_ports() -> Service {
    service(&[port("http", 80, 8080), port("grpc", 9000, 9001)])
}

fn two_port_slice() -> Slice {
    slice_with(
        "a",
        &[("http", Some(8080)), ("grpc", Some(9001))],
        vec![pod("a-0", "10.0.0.1")],
    )
}

fn resolved(service: Service, wanted: Option<&str>, slice: Slice) -> Vec<String> {
    let mut machine = Machine::of(service, wanted);
    machine.apply(slice);
    machine.endpoints()
}

fn refused(service: Service, wanted: Option<&str>) -> String {
    let mut machine = Machine::of(service, wanted);
    machine.apply(two_port_slice());
    assert_eq!(machine.error().kind(), SourceErrorKind::Invalid);
    machine.error().to_string()
}

#[test]
fn by_name_by_number_and_the_only_one() {
    assert_eq!(
        resolved(two_ports(), Some("grpc"), two_port_slice()),
        ["a-0@10.0.0.1:9001"]
    );
    assert_eq!(
        resolved(two_ports(), Some("80"), two_port_slice()),
        ["a-0@10.0.0.1:8080"]
    );
    assert_eq!(
        resolved(service(&[port("grpc", 9000, 9001)]), None, two_port_slice()),
        ["a-0@10.0.0.1:9001"]
    );
    let unnamed = slice_with("a", &[("", Some(8080))], vec![pod("a-0", "10.0.0.1")]);
    assert_eq!(
        resolved(service(&[port("", 80, 8080)]), None, unnamed),
        ["a-0@10.0.0.1:8080"]
    );
}

#[test]
fn what_there_is_is_said_where_the_port_is_wrong() {
    assert_eq!(
        refused(two_ports(), None),
        "Service `orders.shop` has several ports; write the one that is meant: `http` (80), `grpc` (9000)"
    );
    assert_eq!(
        refused(two_ports(), Some("htpp")),
        "Service `orders.shop` has no port `htpp`; it has: `http` (80), `grpc` (9000)"
    );
    // Of a Service with an IP of its own, the Pods' port is nobody's business.
    assert_eq!(
        refused(two_ports(), Some("8080")),
        "Service `orders.shop` has no port `8080`; it has: `http` (80), `grpc` (9000)"
    );
    assert!(refused(service(&[]), None).contains("has no ports"));
    assert!(refused(headless(&[]), None).contains("`orders.shop:8080`"));
}

#[test]
fn of_a_headless_service_the_target_port_is_accepted_too() {
    let service = || headless(&[port("http", 80, 8080), port("grpc", 9000, 9001)]);
    assert_eq!(
        resolved(service(), Some("9000"), two_port_slice()),
        ["a-0@10.0.0.1:9001"]
    );
    assert_eq!(
        resolved(service(), Some("9001"), two_port_slice()),
        ["a-0@10.0.0.1:9001"]
    );
    assert!(refused(service(), Some("9002")).contains("has no port `9002`"));
}

#[test]
fn a_named_target_port_is_what_the_slices_say() {
    let named = ServicePort {
        target: TargetPort::Name("web".into()),
        ..port("http", 80, 1)
    };
    assert_eq!(
        resolved(
            headless(std::slice::from_ref(&named)),
            Some("8080"),
            two_port_slice()
        ),
        ["a-0@10.0.0.1:8080"]
    );
    assert_eq!(
        resolved(
            headless(std::slice::from_ref(&named)),
            Some("80"),
            two_port_slice()
        ),
        ["a-0@10.0.0.1:8080"]
    );
    // Before there are any endpoints, it may be any.
    assert!(
        Machine::of(headless(std::slice::from_ref(&named)), Some("8080"))
            .set()
            .is_empty()
    );
    assert!(refused(headless(&[named]), Some("7")).contains("has no port `7`"));
}

#[test]
fn a_headless_service_without_ports_takes_any_number() {
    let portless = slice_with("a", &[], vec![pod("a-0", "10.0.0.1")]);
    assert_eq!(
        resolved(headless(&[]), Some("6379"), portless),
        ["a-0@10.0.0.1:6379"]
    );
}

#[test]
fn of_one_number_for_tcp_and_udp_it_is_tcp() {
    let udp = ServicePort {
        tcp: false,
        ..port("dns-udp", 53, 5353)
    };
    let service = service(&[udp, port("dns-tcp", 53, 5354)]);
    let slice = slice_with(
        "a",
        &[("dns-udp", Some(5353)), ("dns-tcp", Some(5354))],
        vec![pod("a-0", "10.0.0.1")],
    );
    assert_eq!(resolved(service, Some("53"), slice), ["a-0@10.0.0.1:5354"]);
}

#[test]
fn a_change_of_the_service_is_followed() {
    let mut machine = Machine::of(two_ports(), Some("9000"));
    machine.apply(two_port_slice());
    let good = machine.set();
    machine.serve(ServiceState::Known(Arc::new(service(&[port(
        "http", 80, 8080,
    )]))));
    assert!(
        machine
            .error()
            .to_string()
            .contains("has no port `9000`; it has: `http` (80)")
    );
    machine.serve(ServiceState::Known(Arc::new(service(&[port(
        "http", 9000, 8080,
    )]))));
    assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
    machine.serve(ServiceState::Known(Arc::new(two_ports())));
    assert_eq!(machine.set(), good);
}

#[test]
fn a_type_that_is_not_known_is_said() {
    let unknown = Service {
        kind: ServiceKind::Unknown("Quantum".into()),
        ..service(&[])
    };
    let error = Machine::of(unknown, None).error();
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(
        error.to_string().contains("`Quantum`, which is not known"),
        "{error}"
    );
}

mod without_the_service {
    use super::*;

    fn hidden(wanted: Option<&str>) -> Machine {
        let mut machine = Machine::of(two_ports(), wanted);
        let reason = SourceError::new(SourceErrorKind::Forbidden, "may not list services");
        machine.serve(ServiceState::Hidden(reason));
        machine
    }

    #[test]
    fn a_named_port_is_enough() {
        let mut machine = hidden(Some("grpc"));
        assert!(machine.set().is_empty());
        machine.apply(two_port_slice());
        assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:9001"]);
    }

    #[test]
    fn a_name_that_no_endpoint_has_is_said() {
        let mut machine = hidden(Some("htpp"));
        machine.apply(two_port_slice());
        assert_eq!(machine.error().kind(), SourceErrorKind::Invalid);
        assert!(
            machine
                .error()
                .to_string()
                .ends_with("they have: `grpc`, `http`"),
            "{}",
            machine.error()
        );
    }

    #[test]
    fn the_only_port_needs_no_name() {
        let mut machine = hidden(None);
        machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
        assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
        machine.apply(two_port_slice());
        assert!(machine.error().to_string().contains("several ports"));
    }

    #[test]
    fn a_number_is_the_services_and_so_not_known() {
        let mut machine = hidden(Some("80"));
        machine.apply(two_port_slice());
        assert_eq!(machine.error().kind(), SourceErrorKind::Forbidden);
    }
}

#[test]
fn the_likely_port_of_a_slice_is_the_one_that_is_wanted() {
    let two = service(&[port("metrics", 9090, 9090), port("http", 80, 8080)]);
    let slice = slice_with(
        "a",
        &[("metrics", Some(9090)), ("http", Some(3000))],
        vec![pod("a-0", "10.0.0.1")],
    );
    let likely = |machine: &Machine| machine.view.likely_port(&machine.world, &slice.ports);
    for wanted in ["http", "80"] {
        let mut machine = Machine::of(two.clone(), Some(wanted));
        assert_eq!(likely(&machine), Some(3000), "{wanted}");
        // Before the Service is known, and where it may not be read, a number could be any port's.
        machine.world.service = ServiceState::Unknown;
        let by_name = if wanted == "http" { 3000 } else { 9090 };
        assert_eq!(likely(&machine), Some(by_name), "{wanted}");
    }
    let machine = Machine::of(service(&[port("gone", 80, 8080)]), Some("gone"));
    assert_eq!(likely(&machine), None, "the slice does not have it");
}

#[test]
fn an_endpoint_at_the_likely_port_is_the_one_that_the_slice_has() {
    let mut machine = Machine::new();
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1"), bare("10.0.0.2")]));
    let (set, slices) = (machine.set(), machine.world.slices.as_ref().unwrap());
    let entries = slices["a"].endpoints();
    assert!(
        set.iter()
            .all(|one| entries.iter().any(|entry| Arc::ptr_eq(one, entry)))
    );
    assert!(entries.iter().all(|entry| {
        let known = machine.view.known(entry).unwrap();
        Arc::ptr_eq(&known, entry)
    }));
    // Another port is wanted: the endpoints are others, and say so.
    let other = slice_with(
        "b",
        &[("metrics", Some(9090)), ("http", Some(8080))],
        vec![bare("10.0.0.3")],
    );
    assert!(machine.view.known(&other.endpoints()[0]).is_none());
    machine.apply(other);
    assert_eq!(machine.endpoints()[1], "10.0.0.3:8080@10.0.0.3:8080");
}
