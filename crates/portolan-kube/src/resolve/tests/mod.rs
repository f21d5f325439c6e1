//! The state machine, scenario by scenario, and against a model.

mod conformance;
mod model;
mod ports;
mod reach;

use std::{collections::BTreeMap, sync::Arc};

use portolan_core::{
    Conditions, Endpoint, EndpointSet, InternalTraffic, Placement, PortRef, Resolution,
    SessionAffinity, SourceError,
};

use super::{ServiceState, Touched, View, Want, World};
use crate::{
    cluster::IpFamilies,
    service::{Family, Service, ServiceKind, ServicePort, TargetPort},
    slice::{Slice, SlicePort, at_port},
};

/// A world, a view of it, and events.
pub(super) struct Machine {
    pub(super) world: World,
    pub(super) view: View,
    pub(super) last: Option<Resolution>,
}

impl Machine {
    /// A ClusterIP Service with the port `http`, 80 to 8080, and a view of it.
    pub(super) fn new() -> Self {
        Self::of(service(&[port("http", 80, 8080)]), Some("http"))
    }

    pub(super) fn of(service: Service, wanted: Option<&str>) -> Self {
        let mut world = World::new("orders.shop".into());
        world.service = ServiceState::Known(Arc::new(service));
        world.slices = Some(BTreeMap::new());
        let mut machine = Self {
            world,
            view: View::new(Want {
                port: wanted.map(wanted_port),
                ..Want::default()
            }),
            last: None,
        };
        machine.resolve(&[]);
        machine
    }

    /// The same world, seen by who wants something else of it.
    pub(super) fn wanting(mut self, want: Want) -> Self {
        (self.view, self.last) = (View::new(want), None);
        self.resolve(&[]);
        self
    }

    pub(super) fn with_families(mut self, families: IpFamilies) -> Self {
        self.view = View::new(Want {
            port: Some(wanted_port("http")),
            families,
            ..Want::default()
        });
        self.resolve(&[]);
        self
    }

    fn resolve(&mut self, touched: &[Touched]) {
        if let Some(resolution) = self.view.resolve(&self.world, touched) {
            self.last = Some(resolution);
        }
    }

    pub(super) fn apply(&mut self, slice: Slice) {
        let after = Some(Arc::new(slice));
        let slices = self.world.slices.as_mut().unwrap();
        let before = after
            .as_ref()
            .and_then(|slice| slices.insert(Arc::clone(&slice.name), Arc::clone(slice)));
        self.resolve(&[Touched { before, after }]);
    }

    pub(super) fn delete(&mut self, name: &str) {
        let before = self.world.slices.as_mut().unwrap().remove(name);
        self.resolve(&[Touched {
            before,
            after: None,
        }]);
    }

    pub(super) fn relist(&mut self, listed: Vec<Slice>) {
        let listed = listed
            .into_iter()
            .map(|slice| (Arc::clone(&slice.name), Arc::new(slice)))
            .collect();
        let former = self.world.slices.replace(listed).unwrap();
        let mut touched: Vec<_> = Vec::new();
        for (name, after) in self.world.slices.as_ref().unwrap() {
            let before = former.get(name).map(Arc::clone);
            touched.push(Touched {
                before,
                after: Some(Arc::clone(after)),
            });
        }
        let listed = self.world.slices.as_ref().unwrap();
        let gone = former
            .into_iter()
            .filter(|(name, _)| !listed.contains_key(name));
        touched.extend(gone.map(|(_, before)| Touched {
            before: Some(before),
            after: None,
        }));
        self.resolve(&touched);
    }

    pub(super) fn serve(&mut self, service: ServiceState) {
        self.world.service = service;
        self.resolve(&[]);
    }

    pub(super) fn set(&self) -> EndpointSet {
        match self.last.as_ref().unwrap() {
            Resolution::Present(set) => set.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn error(&self) -> SourceError {
        match self.last.as_ref().unwrap() {
            Resolution::Failed(error) => error.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// `placement@address` of each endpoint.
    pub(super) fn endpoints(&self) -> Vec<String> {
        self.set().iter().map(|endpoint| shown(endpoint)).collect()
    }
}

pub(super) fn shown(endpoint: &Endpoint) -> String {
    format!("{}@{}", endpoint.placement(), endpoint.address())
}

pub(super) fn wanted_port(text: &str) -> PortRef {
    match text.parse::<u16>() {
        Ok(number) => PortRef::number(number).unwrap(),
        Err(_) => PortRef::named(text).unwrap(),
    }
}

pub(super) fn service(ports: &[ServicePort]) -> Service {
    Service {
        uid: "u-orders".into(),
        kind: ServiceKind::ClusterIp,
        ports: ports.into(),
        family: Some(Family::V4),
        cluster_ips: Box::default(),
        internal_traffic: InternalTraffic::Cluster,
        session_affinity: SessionAffinity::None,
        external_traffic_stays: false,
    }
}

pub(super) fn headless(ports: &[ServicePort]) -> Service {
    Service {
        kind: ServiceKind::Headless,
        ..service(ports)
    }
}

pub(super) fn port(name: &str, number: u16, target: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        number: number.try_into().unwrap(),
        target: TargetPort::Number(target),
        node_port: None,
        tcp: true,
    }
}

/// A slice with the port `http` at 8080.
pub(super) fn slice(name: &str, endpoints: Vec<Endpoint>) -> Slice {
    slice_with(name, &[("http", Some(8080))], endpoints)
}

pub(super) fn slice_with(
    name: &str,
    ports: &[(&str, Option<u16>)],
    endpoints: Vec<Endpoint>,
) -> Slice {
    let ports: Vec<_> = ports
        .iter()
        .map(|(name, number)| SlicePort {
            name: (*name).into(),
            number: *number,
        })
        .collect();
    // As where the first port is the one that is likely to be wanted, be it or not.
    let likely = ports.first().and_then(|port| port.number).unwrap_or(0);
    let endpoints = endpoints.iter().map(|one| Arc::new(at_port(one, likely)));
    Slice::new(name.into(), 1, ports.into(), endpoints.collect())
}

/// A Pod whose UID is its name with a `u-` before.
pub(super) fn pod(name: &str, ip: &str) -> Endpoint {
    bare(ip)
        .with_placement(Placement::new(name))
        .with_pod(name)
        .with_uid(format!("u-{name}"))
}

/// A Pod of a StatefulSet, in a life of its own.
pub(super) fn stateful(name: &str, uid: &str, ip: &str) -> Endpoint {
    let placement = Placement::new(name);
    let ordinal = placement.ordinal().unwrap();
    pod(name, ip).with_uid(uid).with_ordinal(ordinal)
}

/// An endpoint of which nothing is known but its address.
pub(super) fn bare(ip: &str) -> Endpoint {
    let address = std::net::SocketAddr::new(ip.parse().unwrap(), 0);
    Endpoint::new(Placement::new(address.to_string()), address)
}

pub(super) const UNREADY: (Option<bool>, Option<bool>, Option<bool>) = (Some(false), None, None);
pub(super) const TERMINATING: (Option<bool>, Option<bool>, Option<bool>) =
    (Some(false), Some(true), Some(true));

pub(super) fn but(
    endpoint: Endpoint,
    (ready, serving, terminating): (Option<bool>, Option<bool>, Option<bool>),
) -> Endpoint {
    endpoint.with_conditions(Conditions::new(ready, serving, terminating))
}
