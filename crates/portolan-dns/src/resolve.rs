//! Putting together what DNS knows of a Service: one question, as many queries as it needs.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU16,
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use hickory_resolver::proto::rr::{Name, RecordType};
use portolan_core::{Endpoint, PortRef, ServiceRef, SourceError, SourceErrorKind, Weight};

use crate::{
    IpFamilies,
    endpoints::{Identity, Site, endpoints},
    lookup::{Addresses, Found, addresses, least, lookup},
    names::{self, invalid, port_for_people},
    refusal::Rejected,
    targets::{Glue, Target, by_priority, srv, weigher},
    upstream::Ask,
};

/// How many targets of SRV records are looked up at once, where the answer does not say where they
/// are. Enough to get through 1,000 in a second, few enough to be no flood.
const AT_ONCE: usize = 32;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// A Service, and its port as it was written.
    Service { service: ServiceRef, name: Name },
    /// Some host, at this port.
    Host { name: Name, port: NonZeroU16 },
}

/// How answers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) families: IpFamilies,
    pub(crate) allow_loopback: bool,
    pub(crate) max_records: usize,
}

/// What was found out, all of it.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// `None` where there is no such name.
    pub(crate) endpoints: Option<Vec<Endpoint>>,
    /// For how long it holds, in seconds, where DNS said so.
    pub(crate) ttl: Option<u32>,
    pub(crate) rejected: Rejected,
}

impl Resolved {
    /// The same, unless there were records and nothing is left of them: that is a mistake, or a lie,
    /// and not the end of all endpoints.
    pub(crate) fn unless_all_rejected(self, question: &Question) -> Result<Self, SourceError> {
        let nothing_left = self.endpoints.as_ref().is_none_or(Vec::is_empty);
        match &self.rejected.example {
            Some(example) if nothing_left => Err(corrupt(format!(
                "nothing that DNS says of {question} can be connected to, such as {example}"
            ))),
            _ => Ok(self),
        }
    }
}

/// Asks what needs to be asked.
pub(crate) struct Resolver<A> {
    pub(crate) asker: Arc<A>,
    pub(crate) reading: Reading,
}

impl<A: Ask> Resolver<A> {
    pub(crate) async fn resolve(&self, question: &Question) -> Result<Resolved, SourceError> {
        match question {
            Question::Host { name, port } => self.by_address(name, *port).await,
            Question::Service { service, name } => match service.port() {
                Some(PortRef::Number(port)) => self.by_address(name, *port).await,
                Some(PortRef::Name(port)) => self.by_port_name(service, name, port).await,
                _ => self.without_port(service, name).await,
            },
        }
    }

    /// A and AAAA records, at a port that is known.
    async fn by_address(&self, name: &Name, port: NonZeroU16) -> Result<Resolved, SourceError> {
        let addresses = self.addresses(name).await?;
        self.check_size(name, addresses.len())?;
        let site = Site {
            identity: Identity::Address,
            addresses: &addresses,
            port,
            weight: Weight::ONE,
        };
        let endpoints = endpoints(&site, self.reading.families);
        Ok(Resolved {
            endpoints: addresses.exists.then_some(endpoints),
            ttl: addresses.ttl,
            rejected: addresses.rejected,
        })
    }

    /// The SRV records of a port.
    async fn by_port_name(
        &self,
        service: &ServiceRef,
        name: &Name,
        port: &str,
    ) -> Result<Resolved, SourceError> {
        let records = names::port(name, port)?;
        let found = lookup(&*self.asker, &records, RecordType::SRV).await?;
        if found.exists {
            return self.by_targets(name, found).await;
        }
        // There is no such port, or no such Service: the Service's own name tells.
        let addresses = self.addresses(name).await?;
        if !addresses.is_empty() {
            return Err(invalid(format!(
                "Service `{}` has no port `{port}` that DNS knows of (no SRV records at `{records}`); \
                 write another name, or the port's number",
                service.host()
            )));
        }
        Ok(Resolved {
            endpoints: addresses.exists.then(Vec::new),
            ttl: least(found.ttl, addresses.ttl),
            rejected: addresses.rejected,
        })
    }

    /// The SRV records of all ports, of which there must be one only.
    async fn without_port(
        &self,
        service: &ServiceRef,
        name: &Name,
    ) -> Result<Resolved, SourceError> {
        let found = lookup(&*self.asker, name, RecordType::SRV).await?;
        if !found.exists {
            return Ok(Resolved {
                endpoints: None,
                ttl: found.ttl,
                rejected: Rejected::default(),
            });
        }
        let ports: BTreeSet<u16> = found
            .records
            .iter()
            .filter_map(srv)
            .map(|srv| srv.port)
            .collect();
        if ports.len() > 1 {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            return Err(invalid(format!(
                "Service `{}` has several ports; write the one that is meant, by name or number: {}",
                service.host(),
                ports.join(", ")
            )));
        }
        if ports.is_empty() && !self.addresses(name).await?.is_empty() {
            return Err(invalid(format!(
                "DNS knows no port of Service `{0}`; write the number, such as `{0}:8080`",
                service.host()
            )));
        }
        self.by_targets(name, found).await
    }

    /// The endpoints to which SRV records lead: those of the first priority that has any.
    async fn by_targets(&self, service: &Name, found: Found) -> Result<Resolved, SourceError> {
        let mut resolved = Resolved {
            endpoints: Some(Vec::new()),
            ttl: found.ttl,
            rejected: Rejected::default(),
        };
        let mut size = found.records.len();
        self.check_size(service, size)?;
        let glue = Glue::new(&found.additionals, self.reading.allow_loopback);
        for targets in by_priority(&found.records, &mut resolved.rejected).values() {
            let sites = self.locate(targets, &glue).await?;
            for addresses in sites.values() {
                size += addresses.len();
                resolved.ttl = least(resolved.ttl, addresses.ttl);
                resolved.rejected.merge(addresses.rejected.clone());
            }
            self.check_size(service, size)?;
            let weigh = weigher(targets);
            let all: Vec<_> = targets
                .iter()
                .filter_map(|target| Some((target, sites.get(&target.name)?)))
                .flat_map(|(target, addresses)| {
                    let site = Site {
                        identity: Identity::of_target(&target.name, service, addresses),
                        addresses,
                        port: target.port,
                        weight: weigh(target.weight),
                    };
                    endpoints(&site, self.reading.families)
                })
                .collect();
            if !all.is_empty() {
                resolved.endpoints = Some(all);
                break;
            }
        }
        Ok(resolved)
    }

    /// Where the targets are. One that is not there any more is left out: its Pod has just gone. One
    /// that cannot be asked for is a failure of the whole, as a part of a list is none.
    async fn locate<'a>(
        &self,
        targets: &'a [Target],
        glue: &Glue,
    ) -> Result<HashMap<&'a Name, Addresses>, SourceError> {
        let names: BTreeSet<&Name> = targets.iter().map(|target| &target.name).collect();
        let lookups: Vec<_> = names
            .into_iter()
            .map(|name| async move {
                match glue.addresses(name, self.reading.families) {
                    Some(addresses) => Ok((name, addresses)),
                    None => Ok((name, self.addresses(name).await?)),
                }
            })
            .collect();
        stream::iter(lookups)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn addresses(&self, name: &Name) -> Result<Addresses, SourceError> {
        let reading = &self.reading;
        addresses(&*self.asker, name, reading.families, reading.allow_loopback).await
    }

    fn check_size(&self, name: &Name, records: usize) -> Result<(), SourceError> {
        let most = self.reading.max_records;
        if records > most {
            return Err(corrupt(format!(
                "`{name}` has {records} records, and {most} are the limit; it can be raised with \
                 `DnsOptions::max_records`"
            )));
        }
        Ok(())
    }
}

fn corrupt(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::Corrupt, message)
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service { service, name } => {
                write!(f, "`{name}`{}", port_for_people(service.port()))
            }
            Self::Host { name, port } => write!(f, "`{name}`:{port}"),
        }
    }
}

#[cfg(test)]
mod tests;
