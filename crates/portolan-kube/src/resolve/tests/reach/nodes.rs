//! Ports of Nodes.

use super::*;

fn node(name: &str, internal: &[&str]) -> Node {
    Node {
        name: name.into(),
        uid: format!("u-{name}").into(),
        internal: internal.iter().map(|ip| ip.parse().unwrap()).collect(),
        external: Box::default(),
        zone: Some("eu-1a".into()),
        fit: true,
    }
}

fn three() -> [Node; 3] {
    [
        node("n1", &["10.1.0.1", "fd00:1::1"]),
        node("n2", &["10.1.0.2"]),
        Node {
            fit: false,
            ..node("n3", &["10.1.0.3"])
        },
    ]
}

fn local(kind: ServiceKind) -> Service {
    Service {
        external_traffic_stays: true,
        ..of_kind(kind)
    }
}

fn on(node: &str, endpoint: Endpoint) -> Endpoint {
    endpoint.with_node(node)
}

#[test]
fn those_that_take_traffic_at_the_node_port() {
    let mut machine = Machine::seeing(of_kind(ServiceKind::NodePort), reached_by(Reach::Nodes));
    assert!(machine.is_silent(), "no Node is known yet");
    assert!(machine.needs().nodes && !machine.needs().slices);
    machine.list_nodes(&three());
    assert_eq!(
        machine.endpoints(),
        ["n1@10.1.0.1:30080", "n2@10.1.0.2:30080"]
    );
    assert_eq!(machine.reach(), Reach::Nodes);
    let set = machine.set();
    let first = &set[0];
    assert!(first.uid().is_some_and(|uid| uid == "u-n1"));
    assert_eq!((first.node(), first.zone()), (Some("n1"), Some("eu-1a")));
    assert_eq!(
        first.alternate(),
        Some("[fd00:1::1]:30080".parse().unwrap())
    );
    assert_eq!(first.pod(), None);
}

#[test]
fn one_that_comes_or_goes_leaves_the_others_as_they_are() {
    let mut machine = Machine::seeing(of_kind(ServiceKind::NodePort), reached_by(Reach::Nodes));
    machine.list_nodes(&three());
    let before = machine.set();
    let [first, second, third] = three();
    machine.list_nodes(&[first.clone(), second, Node { fit: true, ..third }]);
    assert_eq!(machine.set().len(), 3);
    assert!(Arc::ptr_eq(&machine.set()[0], &before[0]));
    machine.list_nodes(&[first]);
    assert_eq!(machine.endpoints(), ["n1@10.1.0.1:30080"]);
    machine.list_nodes(&[]);
    assert!(machine.set().is_empty(), "no Node is no failure");
}

#[test]
fn external_addresses_where_they_are_asked_for() {
    let want = Want {
        node_addresses: NodeAddresses::External,
        ..reached_by(Reach::Nodes)
    };
    let mut machine = Machine::seeing(of_kind(ServiceKind::NodePort), want);
    let [first, second, _] = three();
    let first = Node {
        external: ["192.0.2.1".parse().unwrap()].into(),
        ..first
    };
    machine.list_nodes(&[first, second.clone()]);
    assert_eq!(
        machine.endpoints(),
        ["n1@192.0.2.1:30080"],
        "who has none is left out"
    );
    machine.list_nodes(&[second]);
    machine.refuses("has an address of type ExternalIP in a family that is used (AsService); is it `NodeAddresses::Internal`");
}

#[test]
fn a_policy_of_local_keeps_to_those_with_a_ready_endpoint() {
    let mut machine = Machine::seeing(
        local(ServiceKind::LoadBalancer(Box::default())),
        reached_by(Reach::Nodes),
    );
    machine.list_nodes(&three());
    assert!(machine.needs().slices);
    machine.apply(slice(
        "a",
        vec![
            on("n1", but(pod("a-0", "10.0.0.1"), UNREADY)),
            on("n2", pod("a-1", "10.0.0.2")),
            on("n3", pod("a-2", "10.0.0.3")),
            pod("nowhere", "10.0.0.4"),
        ],
    ));
    assert_eq!(machine.endpoints(), ["n2@10.1.0.2:30080"]);
    machine.apply(slice(
        "a",
        vec![
            on("n1", but(pod("a-0", "10.0.0.1"), TERMINATING)),
            on("n2", but(pod("a-1", "10.0.0.2"), UNREADY)),
        ],
    ));
    assert_eq!(
        machine.endpoints(),
        ["n1@10.1.0.1:30080"],
        "better one that leaves than none"
    );
    machine.apply(slice("a", vec![]));
    assert!(machine.set().is_empty());
}

#[test]
fn a_policy_of_local_minds_the_port() {
    let mut machine = Machine::seeing(local(ServiceKind::NodePort), reached_by(Reach::Nodes));
    machine.list_nodes(&three());
    machine.apply(slice("a", vec![on("n1", pod("a-0", "10.0.0.1"))]));
    // The Pods of this one do not offer it.
    let mut other = slice("b", vec![on("n2", pod("b-0", "10.0.0.2"))]);
    other.ports = Box::default();
    machine.apply(other);
    assert_eq!(machine.endpoints(), ["n1@10.1.0.1:30080"]);
}

#[test]
fn a_policy_of_local_waits_for_the_slices() {
    let mut machine = Machine::seeing(local(ServiceKind::NodePort), reached_by(Reach::Nodes));
    machine.world.slices = None;
    machine.list_nodes(&three());
    assert!(machine.is_silent());
}

#[test]
fn a_service_without_node_ports_says_so() {
    let without = |kind| Service {
        kind,
        ..service(&[port("http", 80, 8080)])
    };
    Machine::seeing(without(ServiceKind::ClusterIp), reached_by(Reach::Nodes)).refuses(
        "is of type ClusterIP, so it has no port on the Nodes; expected NodePort or LoadBalancer",
    );
    Machine::seeing(
        without(ServiceKind::LoadBalancer(Box::default())),
        reached_by(Reach::Nodes),
    )
    .refuses("is `allocateLoadBalancerNodePorts` off?");
}

#[test]
fn nodes_that_cannot_be_listed_are_told_of() {
    let mut machine = Machine::seeing(of_kind(ServiceKind::NodePort), reached_by(Reach::Nodes));
    let failure = SourceError::new(SourceErrorKind::Forbidden, "may not list nodes");
    machine.world.nodes.failure = Some(failure);
    machine.resolve(&[]);
    assert!(machine.is_silent());
    let failure = machine.view.failure(&machine.world).unwrap();
    assert_eq!(failure.kind(), SourceErrorKind::Forbidden);
    // Whoever does not need them is not told.
    let other = Machine::seeing(of_kind(ServiceKind::NodePort), reached_by(Reach::VirtualIp));
    assert!(other.view.failure(&machine.world).is_none());
}
