//! A Service as the API server writes it.

use serde::Deserialize;

use super::{Family, Service, ServiceKind, ServicePort, TargetPort};
use crate::object::{Meta, Object, Resource, Selector, null_is_default};

/// `v1` Service.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WireService {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: WireSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    ports: Vec<WirePort>,
    #[serde(deserialize_with = "null_is_default")]
    ip_families: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    name: Option<String>,
    protocol: Option<String>,
    port: i64,
    target_port: Option<IntOrString>,
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
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn belongs_to(&self, service: &str) -> bool {
        self.metadata.name == service
    }

    fn selector(service: &str) -> Selector {
        Selector::Fields(format!("metadata.name={service}"))
    }
}

impl From<WireService> for Service {
    fn from(wire: WireService) -> Self {
        let spec = wire.spec;
        let headless = spec.cluster_ip.as_deref() == Some("None");
        let kind = match spec.r#type.as_deref() {
            None | Some("" | "ClusterIP") if headless => ServiceKind::Headless,
            None | Some("" | "ClusterIP" | "NodePort" | "LoadBalancer") => ServiceKind::Virtual,
            Some(other) => ServiceKind::Unhandled(other.into()),
        };
        Self {
            kind,
            ports: spec.ports.iter().filter_map(convert_port).collect(),
            family: spec
                .ip_families
                .iter()
                .find_map(|family| match family.as_str() {
                    "IPv4" => Some(Family::V4),
                    "IPv6" => Some(Family::V6),
                    _ => None,
                }),
        }
    }
}

/// A port that is none is left out: who asks for it is told what there is.
fn convert_port(port: &WirePort) -> Option<ServicePort> {
    let number = valid(port.port)?;
    let target = match &port.target_port {
        Some(IntOrString::String(name)) if !name.is_empty() => {
            TargetPort::Name(name.as_str().into())
        }
        // Unset means the same as the Service's own (and so does 0, which Go writes for unset).
        Some(IntOrString::Int(target)) => TargetPort::Number(valid(*target).unwrap_or(number)),
        _ => TargetPort::Number(number),
    };
    Some(ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        number,
        target,
        tcp: port
            .protocol
            .as_deref()
            .is_none_or(|protocol| protocol == "TCP"),
    })
}

fn valid(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}
