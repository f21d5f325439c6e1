//! What is written in the file.

use std::collections::{HashMap, HashSet};

use portolan_core::{EndpointSet, ServiceRef};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::super::record::EndpointRecord;

/// A file that has been read, and makes sense.
#[derive(Debug)]
pub(super) enum Document {
    /// One list, for any Service.
    Any(EndpointSet),
    /// A list for each of these.
    Services(Vec<(ServiceRef, EndpointSet)>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    endpoints: Option<List>,
    #[serde(default)]
    services: Option<HashMap<Spanned<String>, List>>,
}

type List = Vec<Spanned<EndpointRecord>>;

impl Document {
    /// Reads a file's text. The error says where it is wrong: line, column, field.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("it is empty, at line 1 (`endpoints: []`, if there are none)".to_owned());
        }
        let mut field = String::new();
        let written: Written = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                // Not a field of the file, but of what tells where in the file an endpoint is.
                field = error.path().to_string().replace("].value", "]");
                error.into_inner()
            })
        })
        .map_err(|error| match field.trim_end_matches(['.', '?']) {
            "" => error.without_snippet().to_string(),
            field => format!("{field}: {}", error.without_snippet()),
        })?;
        match (written.endpoints, written.services) {
            (Some(endpoints), None) => Ok(Self::Any(set("endpoints", endpoints)?)),
            (None, Some(services)) => Self::of_services(services),
            (None, None) => Err("expected `endpoints` or `services`, at line 1".to_owned()),
            (Some(_), Some(_)) => {
                Err("expected either `endpoints` or `services`, not both".to_owned())
            }
        }
    }

    fn of_services(services: HashMap<Spanned<String>, List>) -> Result<Self, String> {
        let mut services: Vec<_> = services.into_iter().collect();
        // In the order of the file, so that the first of two errors is the one that is told.
        services.sort_by_key(|(name, _)| (name.referenced.line(), name.referenced.column()));
        let mut read: Vec<(ServiceRef, EndpointSet)> = Vec::new();
        for (name, endpoints) in services {
            let place = at(name.referenced);
            let service: ServiceRef = name
                .value
                .parse()
                .map_err(|error| format!("services: {error} {place}"))?;
            let is_same = |(other, _): &(ServiceRef, _)| stated(other) == stated(&service);
            if let Some((other, _)) = read.iter().find(|one| is_same(one)) {
                return Err(format!(
                    "services: {service} is the same as {other} {place}"
                ));
            }
            let field = format!("services.{}", name.value);
            read.push((service, set(&field, endpoints)?));
        }
        Ok(Self::Services(read))
    }

    /// The endpoints of a Service; `None` where the file does not name it.
    pub(super) fn endpoints_of(&self, service: &ServiceRef) -> Option<EndpointSet> {
        let services = match self {
            Self::Any(endpoints) => return Some(endpoints.clone()),
            Self::Services(services) => services,
        };
        let fits = |written: &ServiceRef| {
            let any_namespace = written.namespace().is_none();
            let any_port = written.port().is_none();
            written.name() == service.name()
                && (any_namespace || written.namespace() == service.namespace())
                && (any_port || written.port() == service.port())
        };
        services
            .iter()
            .filter(|(written, _)| fits(written))
            .max_by_key(|(written, _)| (written.namespace().is_some(), written.port().is_some()))
            .map(|(_, endpoints)| endpoints.clone())
    }
}

/// What two names must differ in to be two Services. The domain is the same for all of a cluster.
fn stated(service: &ServiceRef) -> (&str, Option<&str>, Option<&portolan_core::PortRef>) {
    (service.name(), service.namespace(), service.port())
}

fn set(field: &str, list: List) -> Result<EndpointSet, String> {
    let mut endpoints = Vec::with_capacity(list.len());
    let mut seen = HashSet::new();
    for (nth, record) in list.into_iter().enumerate() {
        let place = record.referenced;
        let endpoint = record.value.into_endpoint();
        let identity = (
            endpoint.placement().clone(),
            endpoint.uid().cloned(),
            endpoint.address(),
        );
        if !seen.insert(identity) {
            let name = endpoint.placement();
            return Err(format!(
                "{field}[{nth}]: {name} is there already {}",
                at(place)
            ));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints.into_iter().collect())
}

fn at(location: Location) -> String {
    format!("at line {}, column {}", location.line(), location.column())
}
