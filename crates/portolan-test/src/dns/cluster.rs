//! The names of a cluster, from its live state, by the rules of CoreDNS's kubernetes plugin and of the
//! Kubernetes DNS specification 1.1.0.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use hickory_proto::rr::{Name, RData, RecordType, rdata::SRV};
use serde_json::Value;

use crate::{
    error::Error,
    json,
    kind::Kind,
    store::{Key, Store},
};

use super::zone::{Found, address_data, parse};

/// The domain of the cluster.
const DOMAIN: &str = "cluster.local.";
/// The label that names a slice's Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The names below a cluster's domain.
#[derive(Debug)]
pub(super) struct ClusterZone {
    store: Arc<Store>,
    domain: Name,
}

/// What of a Service is asked for.
#[derive(Debug, Default)]
struct Wanted {
    /// A port's name and protocol; empty for any.
    port: String,
    protocol: String,
    /// A single endpoint.
    endpoint: Option<String>,
}

/// What a name stands for.
#[derive(Debug)]
enum Service {
    Alias(Name),
    At(Vec<Place>),
}

/// One address behind a name, at one port.
#[derive(Debug)]
struct Place {
    host: IpAddr,
    /// The name that has this address, for SRV records to lead to.
    name: Name,
    /// `None` where no port is declared.
    port: Option<u16>,
}

impl ClusterZone {
    pub(super) fn new(store: Arc<Store>) -> Result<Self, Error> {
        let domain = parse(DOMAIN)?;
        Ok(Self { store, domain })
    }

    pub(super) fn find(&self, name: &Name, kind: RecordType) -> Found {
        let Some(labels) = self.labels(name) else {
            return Found::Missing;
        };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match &*labels {
            [] | ["svc"] => Found::Empty,
            [namespace, "svc"] => {
                let key = Key::new("", *namespace);
                match self.store.get(Kind::Namespace, &key) {
                    Some(_) => Found::Empty,
                    None => Found::Missing,
                }
            }
            _ => match self.service(&labels) {
                Some(Service::Alias(_)) if kind == RecordType::SRV => Found::Empty,
                Some(Service::Alias(target)) => Found::Alias(target),
                Some(Service::At(places)) => {
                    let records = records(&places, kind);
                    if records.is_empty() {
                        Found::Empty
                    } else {
                        Found::Records(records)
                    }
                }
                None => Found::Missing,
            },
        }
    }

    /// The addresses of all to which the SRV records of this name lead.
    pub(super) fn targets(&self, name: &Name) -> Vec<(Name, RData)> {
        let labels = self.labels(name).unwrap_or_default();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let mut seen = HashSet::new();
        match self.service(&labels) {
            Some(Service::At(places)) => places
                .into_iter()
                .map(|place| (place.name, address_data(place.host)))
                .filter(|target| seen.insert(target.clone()))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What stands before the cluster's domain, in lower case.
    fn labels(&self, name: &Name) -> Option<Vec<String>> {
        let depth = usize::from(name.num_labels().checked_sub(self.domain.num_labels())?);
        let labels = name
            .iter()
            .take(depth)
            .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase());
        self.domain.zone_of(name).then(|| labels.collect())
    }

    /// What a name below a Service's stands for, if it is there.
    fn service(&self, labels: &[&str]) -> Option<Service> {
        let [wanted @ .., name, namespace, "svc"] = labels else {
            return None;
        };
        let wanted = Wanted::of(wanted)?;
        let key = Key::new(*namespace, *name);
        let service = self.store.get(Kind::Service, &key)?;
        let name = parse(&format!("{}.{}.svc.{DOMAIN}", key.name, key.namespace)).ok()?;
        if json::text(&service, "/spec/type") == "ExternalName" {
            return alias(&service, &wanted);
        }
        let headless = json::text(&service, "/spec/clusterIP") == "None";
        let places = if headless || wanted.endpoint.is_some() {
            self.endpoints(&key, &name, &wanted)
        } else {
            virtual_ips(&service, &name, &wanted)
        };
        (!places.is_empty()).then_some(Service::At(places))
    }

    /// The ready endpoints of the Service's slices.
    fn endpoints(&self, key: &Key, service: &Name, wanted: &Wanted) -> Vec<Place> {
        let mut slices = self.store.objects(Kind::EndpointSlice);
        slices.retain(|slice| {
            json::text(slice, "/metadata/namespace") == key.namespace
                && json::label(slice, SERVICE_LABEL) == Some(&*key.name)
        });
        let mut places = Vec::new();
        for slice in &slices {
            let ports = wanted.ports(json::items(slice, "/ports"), "/port", true);
            for endpoint in json::items(slice, "/endpoints") {
                // Nil means ready.
                if endpoint.pointer("/conditions/ready") == Some(&Value::Bool(false)) {
                    continue;
                }
                for address in json::items(endpoint, "/addresses") {
                    let place = place(endpoint, address, service, wanted);
                    places.extend(place.into_iter().flat_map(|(host, name)| {
                        ports.iter().map(move |port| Place {
                            host,
                            name: name.clone(),
                            port: *port,
                        })
                    }));
                }
            }
        }
        places
    }
}

impl Wanted {
    /// Whether the Service itself is asked for, and neither a port nor an endpoint of it.
    fn is_service(&self) -> bool {
        self.endpoint.is_none() && self.port.is_empty() && self.protocol.is_empty()
    }

    /// What the labels before the Service's name ask for; `None` where that is nothing that exists.
    fn of(labels: &[&str]) -> Option<Self> {
        let bare = |label: &str| label.strip_prefix('_').unwrap_or(label).to_owned();
        match labels {
            [] => Some(Self::default()),
            [endpoint] => Some(Self {
                endpoint: Some((*endpoint).to_owned()),
                ..Self::default()
            }),
            [port, protocol] => Some(Self {
                port: bare(port),
                protocol: bare(protocol),
                endpoint: None,
            }),
            _ => None,
        }
    }

    /// The numbers of the ports that are meant. Where none is declared and none is asked for, there is
    /// one without a number.
    fn ports(&self, ports: &[Value], number: &str, may_be_none: bool) -> Vec<Option<u16>> {
        if ports.is_empty() && may_be_none {
            return if self.port.is_empty() {
                vec![None]
            } else {
                Vec::new()
            };
        }
        let is =
            |asked: &str, declared: &str| asked.is_empty() || asked.eq_ignore_ascii_case(declared);
        let protocol = |port| match json::text(port, "/protocol") {
            "" => "TCP",
            protocol => protocol,
        };
        ports
            .iter()
            .filter(|port| is(&self.port, json::text(port, "/name")))
            .filter(|port| is(&self.protocol, protocol(port)))
            .filter_map(|port| json::integer(port, number))
            .map(|number| u16::try_from(number).ok())
            .collect()
    }
}

/// The address of an endpoint and the name that has it, if it is wanted.
fn place(
    endpoint: &Value,
    address: &Value,
    service: &Name,
    wanted: &Wanted,
) -> Option<(IpAddr, Name)> {
    let text = address.as_str()?;
    let host: IpAddr = text.parse().ok()?;
    let label = match json::text(endpoint, "/hostname") {
        // No label ends in a hyphen.
        "" if text.ends_with(':') => text.replace(':', "-") + "0",
        "" => text.replace(['.', ':'], "-"),
        hostname => hostname.to_owned(),
    };
    let is_wanted = |asked: &String| asked.eq_ignore_ascii_case(&label);
    if !wanted.endpoint.as_ref().is_none_or(is_wanted) {
        return None;
    }
    Some((host, service.prepend_label(label.as_str()).ok()?))
}

/// The virtual IPs of a Service, at each of its own ports.
fn virtual_ips(service: &Value, name: &Name, wanted: &Wanted) -> Vec<Place> {
    let ports = wanted.ports(json::items(service, "/spec/ports"), "/port", false);
    let ips: Vec<IpAddr> = json::items(service, "/spec/clusterIPs")
        .iter()
        .filter_map(|ip| ip.as_str()?.parse().ok())
        .collect();
    let at_port = |port: Option<u16>| {
        ips.iter().map(move |host| Place {
            host: *host,
            name: name.clone(),
            port,
        })
    };
    ports.into_iter().flat_map(at_port).collect()
}

/// The target of an ExternalName. It has no ports, and nothing below it.
fn alias(service: &Value, wanted: &Wanted) -> Option<Service> {
    let target = json::text(service, "/spec/externalName");
    if target.parse::<IpAddr>().is_ok() || !wanted.is_service() {
        return None;
    }
    parse(target).ok().map(Service::Alias)
}

fn records(places: &[Place], kind: RecordType) -> Vec<RData> {
    // Whatever there are of, together they weigh 100.
    let weight = (100 / places.len().max(1)).max(1);
    let weight = u16::try_from(weight).unwrap_or(1);
    let mut seen = HashSet::new();
    let all = places.iter().filter_map(|place| match (kind, place.host) {
        (RecordType::A, IpAddr::V4(_)) | (RecordType::AAAA, IpAddr::V6(_)) => {
            Some(address_data(place.host))
        }
        (RecordType::SRV, _) => {
            let target = place.name.clone();
            Some(RData::SRV(SRV::new(0, weight, place.port?, target)))
        }
        _ => None,
    });
    all.filter(|record| seen.insert(record.clone())).collect()
}
