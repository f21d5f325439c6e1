//! A Service as the API server writes it.

use std::{net::IpAddr, num::NonZeroU16, time::Duration};

use portolan_core::{InternalTraffic, SessionAffinity};
use serde::Deserialize;

use super::{
    Family, HostName, Ingress, IngressPlace, PortFault, Service, ServiceKind, ServicePort,
    TargetPort,
};
use crate::object::{Meta, Object, Resource, Scope, Selector, null_is_default};

/// `v1` Service.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WireService {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: WireSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    status: WireStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "null_is_default")]
    cluster_ips: Vec<String>,
    external_name: Option<String>,
    internal_traffic_policy: Option<String>,
    external_traffic_policy: Option<String>,
    session_affinity: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    session_affinity_config: WireAffinityConfig,
    #[serde(deserialize_with = "null_is_default")]
    ports: Vec<WirePort>,
    #[serde(deserialize_with = "null_is_default")]
    ip_families: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireAffinityConfig {
    #[serde(rename = "clientIP", deserialize_with = "null_is_default")]
    client_ip: WireClientIp,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireClientIp {
    timeout_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    name: Option<String>,
    protocol: Option<String>,
    port: i64,
    target_port: Option<IntOrString>,
    node_port: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    #[serde(deserialize_with = "null_is_default")]
    load_balancer: WireLoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireLoadBalancer {
    #[serde(deserialize_with = "null_is_default")]
    ingress: Vec<WireIngress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireIngress {
    ip: Option<String>,
    hostname: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    ports: Vec<WirePortStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WirePortStatus {
    port: i64,
    protocol: Option<String>,
    error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum IntOrString {
    Int(i64),
    String(String),
}

impl Object for WireService {
    const RESOURCE: Resource = Resource {
        group: "",
        plural: "services",
        most: 10_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        match scope {
            Scope::Service { name, .. } | Scope::Named { name, .. } => Selector::Name(name.clone()),
            Scope::Labelled { label, .. } => Selector::HasLabel(label.clone()),
            Scope::Cluster => Selector::All,
        }
    }
}

impl From<WireService> for Service {
    fn from(wire: WireService) -> Self {
        let (spec, status) = (wire.spec, wire.status);
        let families = spec.ip_families.iter();
        let family = families
            .filter_map(|family| match family.as_str() {
                "IPv4" => Some(Family::V4),
                "IPv6" => Some(Family::V6),
                _ => None,
            })
            .next();
        let kind = kind(&spec, &status);
        let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
        let internal_traffic = match kind {
            // What it says of traffic to the Service's address says nothing where there is none.
            ServiceKind::Headless => InternalTraffic::Cluster,
            _ if local(&spec.internal_traffic_policy) => InternalTraffic::Local,
            _ => InternalTraffic::Cluster,
        };
        // Servers from before dual stack, and mocks, write only the first.
        let first = spec.cluster_ip.as_slice();
        let addresses = match &*spec.cluster_ips {
            [] => first,
            all => all,
        };
        Self {
            uid: wire.metadata.uid.into(),
            kind,
            ports: spec.ports.iter().filter_map(convert_port).collect(),
            family,
            cluster_ips: addresses.iter().filter_map(|ip| address(ip)).collect(),
            internal_traffic,
            session_affinity: session_affinity(&spec),
            external_traffic_stays: local(&spec.external_traffic_policy),
        }
    }
}

fn session_affinity(spec: &WireSpec) -> SessionAffinity {
    match spec.session_affinity.as_deref() {
        Some("ClientIP") => SessionAffinity::ClientIp {
            timeout: (spec.session_affinity_config.client_ip.timeout_seconds)
                .map_or(SessionAffinity::DEFAULT_TIMEOUT, Duration::from_secs),
        },
        _ => SessionAffinity::None,
    }
}

fn kind(spec: &WireSpec, status: &WireStatus) -> ServiceKind {
    let headless = spec.cluster_ip.as_deref() == Some("None");
    match spec.r#type.as_deref() {
        None | Some("" | "ClusterIP") if headless => ServiceKind::Headless,
        None | Some("" | "ClusterIP") => ServiceKind::ClusterIp,
        Some("NodePort") => ServiceKind::NodePort,
        Some("LoadBalancer") => {
            let ingress = status.load_balancer.ingress.iter();
            ServiceKind::LoadBalancer(ingress.filter_map(convert_ingress).collect())
        }
        Some("ExternalName") => {
            let name = spec.external_name.as_deref().unwrap_or_default();
            ServiceKind::ExternalName(HostName::parse(name).ok_or_else(|| name.into()))
        }
        Some(other) => ServiceKind::Unknown(other.into()),
    }
}

/// An ingress with neither an address nor a name is one that is not there yet. The address goes first, as
/// it needs nobody to be asked.
fn convert_ingress(ingress: &WireIngress) -> Option<Ingress> {
    let ip = ingress.ip.as_deref().and_then(address);
    let host = || ingress.hostname.as_deref().and_then(HostName::parse);
    let place = ip
        .map(IngressPlace::Ip)
        .or_else(|| host().map(IngressPlace::Host));
    if place.is_none() {
        let WireIngress { ip, hostname, .. } = ingress;
        tracing::warn!(
            ?ip,
            ?hostname,
            "an ingress that is no address and no name is left out"
        );
    }
    let fault = |port: &WirePortStatus| {
        let error = port.error.as_deref().filter(|error| !error.is_empty())?;
        Some(PortFault {
            port: valid(port.port)?,
            tcp: is_tcp(port.protocol.as_deref()),
            error: error.into(),
        })
    };
    Some(Ingress {
        place: place?,
        faults: ingress.ports.iter().filter_map(fault).collect(),
    })
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified())
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// A port that is none is left out: who asks for it is told what there is.
fn convert_port(port: &WirePort) -> Option<ServicePort> {
    let number = NonZeroU16::new(valid(port.port)?)?;
    let target = match &port.target_port {
        Some(IntOrString::String(name)) if !name.is_empty() => {
            TargetPort::Name(name.as_str().into())
        }
        // Unset means the same as the Service's own (and so does 0, which Go writes for unset).
        Some(IntOrString::Int(target)) => {
            TargetPort::Number(valid(*target).unwrap_or(number.get()))
        }
        _ => TargetPort::Number(number.get()),
    };
    Some(ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        number,
        target,
        node_port: port.node_port.and_then(valid),
        tcp: is_tcp(port.protocol.as_deref()),
    })
}

fn valid(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}
