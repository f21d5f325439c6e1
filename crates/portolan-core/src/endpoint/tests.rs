//! However it is kept, an endpoint says what it was told.

use std::net::{SocketAddr, SocketAddrV6};

use proptest::{option, prelude::*};

use super::*;

/// What may be told of an endpoint, in any order and more than once.
#[derive(Clone, Debug)]
enum Told {
    Placement(String),
    Address(SocketAddr),
    Uid(String),
    Pod(String),
    Ordinal(u32),
    Node(String),
    Zone(String),
    Hints(String),
    Topology(Option<String>, Option<String>),
    Alternate(SocketAddr),
    Host(String),
    Labels(Vec<(String, String)>),
}

/// The same, each kept by itself.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    placement: String,
    address: SocketAddr,
    uid: Option<String>,
    pod: Option<String>,
    ordinal: Option<u32>,
    node: Option<String>,
    zone: Option<String>,
    hints: Option<String>,
    alternate: Option<SocketAddr>,
    host: Option<String>,
    labels: Vec<(String, String)>,
}

fn told() -> impl Strategy<Value = Told> {
    // Few names, so that the Pod's is often the placement's, and the ordinal that in the name.
    let name = || "[ab]|db-[0-2]";
    prop_oneof![
        name().prop_map(Told::Placement),
        address().prop_map(Told::Address),
        "a|8c4f1d7e-30a5-4a9c-b3a1-5f6f0e2d9b1[0-9]".prop_map(Told::Uid),
        name().prop_map(Told::Pod),
        (0..3_u32).prop_map(Told::Ordinal),
        "n[12]".prop_map(Told::Node),
        "z[12]".prop_map(Told::Zone),
        "z[12]".prop_map(Told::Hints),
        (option::of("n[12]"), option::of("z[12]"))
            .prop_map(|(node, zone)| Told::Topology(node, zone)),
        address().prop_map(Told::Alternate),
        "h".prop_map(Told::Host),
        option::of("l").prop_map(|label| {
            Told::Labels(label.into_iter().map(|name| (name, "v".into())).collect())
        }),
    ]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        Just("10.0.0.1:80".parse().unwrap()),
        Just("[fd00::1]:80".parse().unwrap()),
        (0..2_u32, 0..2_u32).prop_map(|(flow, scope)| {
            SocketAddrV6::new("fe80::1".parse().unwrap(), 80, flow, scope).into()
        }),
    ]
}

impl Model {
    fn new() -> Self {
        Self {
            placement: "a".into(),
            address: "10.0.0.1:80".parse().unwrap(),
            uid: None,
            pod: None,
            ordinal: None,
            node: None,
            zone: None,
            hints: None,
            alternate: None,
            host: None,
            labels: Vec::new(),
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Placement(name) => self.placement = name,
            Told::Address(address) => self.address = address,
            Told::Uid(uid) => self.uid = Some(uid),
            Told::Pod(pod) => self.pod = Some(pod),
            Told::Ordinal(ordinal) => self.ordinal = Some(ordinal),
            Told::Node(node) => self.node = Some(node),
            Told::Zone(zone) => self.zone = Some(zone),
            Told::Hints(zone) => self.hints = Some(zone),
            Told::Topology(node, zone) => {
                (self.node, self.zone, self.hints) = (node, zone, None);
            }
            Told::Alternate(address) => self.alternate = Some(address),
            Told::Host(host) => self.host = Some(host),
            Told::Labels(labels) => self.labels = labels,
        }
    }

    fn of(endpoint: &Endpoint) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let hints = endpoint.hints();
        Self {
            placement: endpoint.placement().to_string(),
            address: endpoint.address(),
            uid: endpoint.uid().map(Uid::to_string),
            pod: owned(endpoint.pod()),
            ordinal: endpoint.ordinal(),
            node: owned(endpoint.node()),
            zone: owned(endpoint.zone()),
            hints: hints.map(|hints| hints.zones[0].to_string()),
            alternate: endpoint.alternate(),
            host: owned(endpoint.host()),
            labels: endpoint
                .labels()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

fn hear(endpoint: Endpoint, told: Told) -> Endpoint {
    match told {
        Told::Placement(name) => endpoint.with_placement(Placement::new(name)),
        Told::Address(address) => endpoint.with_address(address),
        Told::Uid(uid) => endpoint.with_uid(uid),
        Told::Pod(pod) => endpoint.with_pod(pod),
        Told::Ordinal(ordinal) => endpoint.with_ordinal(ordinal),
        Told::Node(node) => endpoint.with_node(node),
        Told::Zone(zone) => endpoint.with_zone(zone),
        Told::Hints(zone) => endpoint.with_hints(Arc::new(hints(&zone))),
        Told::Topology(node, zone) => {
            let topology = Topology::UNKNOWN;
            let topology = node.map_or(topology.clone(), |node| topology.with_node(node));
            let topology = zone.map_or(topology.clone(), |zone| topology.with_zone(zone));
            endpoint.with_topology(Arc::new(topology))
        }
        Told::Alternate(address) => endpoint.with_alternate(address),
        Told::Host(host) => endpoint.with_host(host),
        Told::Labels(labels) => endpoint.with_labels(labels),
    }
}

fn hints(zone: &str) -> Hints {
    Hints {
        zones: [zone.into()].into(),
        nodes: Box::default(),
    }
}

fn all(told: &[Told]) -> (Endpoint, Model) {
    let mut model = Model::new();
    let mut endpoint = Endpoint::new(Placement::new(&*model.placement), model.address);
    for one in told {
        endpoint = hear(endpoint, one.clone());
        model.hear(one.clone());
    }
    (endpoint, model)
}

proptest! {
    #[test]
    fn it_says_what_it_was_told(told in proptest::collection::vec(told(), 0..16)) {
        let (endpoint, model) = all(&told);
        prop_assert_eq!(Model::of(&endpoint), model);
    }

    #[test]
    fn those_that_say_the_same_are_equal(
        one in proptest::collection::vec(told(), 0..5), other in proptest::collection::vec(told(), 0..5),
    ) {
        let ((a, of_a), (b, of_b)) = (all(&one), all(&other));
        prop_assert_eq!(a == b, of_a == of_b);
        // The same again, told once more on top of something else.
        let again: Vec<_> = one.iter().chain(&one).cloned().collect();
        prop_assert_eq!(all(&again).0, a);
    }
}

#[test]
fn a_usual_endpoint_is_small() {
    assert!(size_of::<Endpoint>() <= 88, "{}", size_of::<Endpoint>());
    let usual = Endpoint::new(Placement::new("db-0"), "10.0.0.1:80".parse().unwrap())
        .with_pod("db-0")
        .with_ordinal(0)
        .with_node("n");
    assert!(usual.seldom.is_none());
}
