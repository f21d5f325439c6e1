//! How a Service is reached, and what becomes of that when the Service changes.

mod changes;
mod external_name;
mod load_balancer;
mod model;
mod nodes;
mod virtual_ip;

use portolan_core::{Reach, SourceErrorKind};

use super::*;
use crate::{
    cluster::{NodeAddresses, Vantage},
    node::Node,
    resolve::{Followed, Host, Needs},
    service::{HostName, Ingress, IngressPlace, PortFault},
};

fn reached_by(reach: Reach) -> Want {
    Want {
        port: Some(wanted_port("http")),
        reach: Some(reach),
        ..Want::default()
    }
}

fn from_outside() -> Want {
    Want {
        port: Some(wanted_port("http")),
        vantage: Vantage::Outside,
        ..Want::default()
    }
}

fn of_kind(kind: ServiceKind) -> Service {
    Service {
        kind,
        cluster_ips: ["10.96.0.7", "fd00:96::7"]
            .map(|ip| ip.parse().unwrap())
            .into(),
        ..service(&[ServicePort {
            node_port: Some(30080),
            ..port("http", 80, 8080)
        }])
    }
}

fn alias(name: &str) -> Service {
    of_kind(ServiceKind::ExternalName(
        HostName::parse(name).ok_or_else(|| name.into()),
    ))
}

fn load_balancer(places: &[&str]) -> Service {
    let ingress = places.iter().map(|place| Ingress {
        place: match place.parse() {
            Ok(ip) => IngressPlace::Ip(ip),
            Err(_) => IngressPlace::Host(HostName::parse(place).unwrap()),
        },
        faults: Box::default(),
    });
    of_kind(ServiceKind::LoadBalancer(ingress.collect()))
}

fn host(name: &str, port: u16) -> Host {
    Host {
        name: HostName::parse(name).unwrap(),
        port: port.try_into().unwrap(),
    }
}

fn addresses(addresses: &[&str]) -> EndpointSet {
    let endpoint = |address: &&str| {
        Endpoint::new(
            portolan_core::Placement::new(*address),
            address.parse().unwrap(),
        )
    };
    addresses.iter().map(endpoint).collect()
}

impl Machine {
    /// What a Machine sees of this Service, wanting that.
    fn seeing(service: Service, want: Want) -> Self {
        Self::of(service, Some("http")).wanting(want)
    }

    fn change(&mut self, service: Service) {
        self.serve(ServiceState::Known(Arc::new(service)));
    }

    /// DNS says so.
    fn answer(&mut self, host: Host, addresses: EndpointSet) {
        let known = Followed {
            known: Some(addresses),
            failure: None,
        };
        self.world.hosts.insert(host, known);
        self.resolve(&[]);
    }

    fn list_nodes(&mut self, nodes: &[Node]) {
        self.world.nodes.known = Some(nodes.iter().cloned().map(Arc::new).collect());
        self.resolve(&[]);
    }

    fn needs(&self) -> &Needs {
        self.view.needs()
    }

    fn reach(&self) -> Reach {
        self.set().reach()
    }

    fn is_silent(&self) -> bool {
        self.last.is_none()
    }

    /// That this is refused as it cannot be, with these words.
    fn refuses(&self, words: &str) {
        let error = self.error();
        assert_eq!(error.kind(), SourceErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn who_does_not_say_gets_the_pods_from_inside() {
    for kind in [
        ServiceKind::ClusterIp,
        ServiceKind::Headless,
        ServiceKind::NodePort,
        load_balancer(&["192.0.2.1"]).kind,
    ] {
        let mut machine = Machine::of(of_kind(kind), Some("http"));
        machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
        assert_eq!(machine.endpoints(), ["a-0@10.0.0.1:8080"]);
        assert_eq!(machine.reach(), Reach::Pods);
        assert!(machine.needs().slices && !machine.needs().nodes);
    }
}

#[test]
fn from_outside_it_is_what_the_type_opens_to_the_outside() {
    for kind in [ServiceKind::ClusterIp, ServiceKind::Headless] {
        let machine = Machine::seeing(of_kind(kind), from_outside());
        assert_eq!(machine.reach(), Reach::Pods);
    }
    let machine = Machine::seeing(of_kind(ServiceKind::NodePort), from_outside());
    assert!(machine.is_silent() && machine.needs().nodes);
    let machine = Machine::seeing(load_balancer(&["192.0.2.1"]), from_outside());
    assert_eq!(machine.reach(), Reach::LoadBalancer);
    let machine = Machine::seeing(alias("db.example.com"), from_outside());
    assert!(machine.needs().hosts.contains(&host("db.example.com", 80)));
}

#[test]
fn what_is_asked_for_is_what_one_gets_wherever_one_stands() {
    let want = Want {
        vantage: Vantage::Outside,
        ..reached_by(Reach::Pods)
    };
    let machine = Machine::seeing(load_balancer(&["192.0.2.1"]), want);
    assert_eq!(machine.reach(), Reach::Pods);
}

#[test]
fn a_service_that_may_not_be_read_has_pods_and_nothing_else() {
    let hidden = || {
        let reason = SourceError::new(SourceErrorKind::Forbidden, "may not list services");
        ServiceState::Hidden(reason)
    };
    let mut machine = Machine::seeing(of_kind(ServiceKind::NodePort), from_outside());
    machine.serve(hidden());
    assert_eq!(machine.reach(), Reach::Pods);
    for reach in [
        Reach::VirtualIp,
        Reach::Nodes,
        Reach::LoadBalancer,
        Reach::ExternalName,
    ] {
        let mut machine = Machine::seeing(of_kind(ServiceKind::NodePort), reached_by(reach));
        machine.serve(hidden());
        assert_eq!(machine.error().kind(), SourceErrorKind::Forbidden);
    }
}

#[test]
fn the_policy_for_internal_traffic_is_about_pods() {
    let local = |kind| Service {
        internal_traffic: InternalTraffic::Local,
        ..of_kind(kind)
    };
    let machine = Machine::seeing(local(ServiceKind::ClusterIp), reached_by(Reach::Pods));
    assert_eq!(machine.set().internal_traffic(), InternalTraffic::Local);
    let machine = Machine::seeing(local(ServiceKind::ClusterIp), reached_by(Reach::VirtualIp));
    assert_eq!(machine.set().internal_traffic(), InternalTraffic::Cluster);
    assert_eq!(machine.set().len(), 1);
}

#[test]
fn a_policy_that_changes_is_said_with_the_endpoints_as_they_were() {
    let mut machine = Machine::seeing(of_kind(ServiceKind::ClusterIp), reached_by(Reach::Pods));
    machine.apply(slice("a", vec![pod("a-0", "10.0.0.1")]));
    let before = machine.set();
    machine.change(Service {
        internal_traffic: InternalTraffic::Local,
        ..of_kind(ServiceKind::ClusterIp)
    });
    let after = machine.set();
    assert_eq!(after.internal_traffic(), InternalTraffic::Local);
    assert!(!after.is_same(&before) && Arc::ptr_eq(&after[0], &before[0]));
    // And it stays said while Pods come and go.
    machine.apply(slice(
        "a",
        vec![pod("a-0", "10.0.0.1"), pod("a-1", "10.0.0.2")],
    ));
    assert_eq!(machine.set().internal_traffic(), InternalTraffic::Local);
}
