//! Records that a test writes.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hickory_proto::rr::{
    Name, RData, RecordType,
    rdata::{CNAME, SRV},
};

use crate::error::Error;

/// Records that a test writes. Clones share them.
///
/// Names are complete, with or without the final dot.
#[derive(Clone, Debug, Default)]
pub struct Zone(Arc<Mutex<BTreeMap<Name, Vec<RData>>>>);

/// What is known of a name, for one type of record.
#[derive(Debug)]
pub(super) enum Found {
    Records(Vec<RData>),
    Alias(Name),
    /// The name is there, and has no such record.
    Empty,
    /// The name is not there.
    Missing,
}

impl Zone {
    /// Adds an A or AAAA record.
    ///
    /// # Errors
    /// [`Error::BadName`] where the name is none.
    pub fn add_address(&self, name: &str, address: IpAddr) -> Result<(), Error> {
        self.add(name, address_data(address))
    }

    /// Adds an SRV record, of priority 0 and weight 100.
    ///
    /// # Errors
    /// [`Error::BadName`] where a name is none.
    pub fn add_srv(&self, name: &str, target: &str, port: u16) -> Result<(), Error> {
        self.add_srv_with(name, target, port, 0, 100)
    }

    /// Adds an SRV record of any priority and weight.
    ///
    /// # Errors
    /// [`Error::BadName`] where a name is none.
    pub fn add_srv_with(
        &self,
        name: &str,
        target: &str,
        port: u16,
        priority: u16,
        weight: u16,
    ) -> Result<(), Error> {
        let srv = SRV::new(priority, weight, port, parse(target)?);
        self.add(name, RData::SRV(srv))
    }

    /// Adds an alias (CNAME).
    ///
    /// # Errors
    /// [`Error::BadName`] where a name is none.
    pub fn add_alias(&self, name: &str, target: &str) -> Result<(), Error> {
        self.add(name, RData::CNAME(CNAME(parse(target)?)))
    }

    /// Adds a name that has no records, as a Service without Pods is in some clusters.
    ///
    /// # Errors
    /// [`Error::BadName`] where the name is none.
    pub fn add_empty(&self, name: &str) -> Result<(), Error> {
        let name = parse(name)?;
        self.lock().entry(name).or_default();
        Ok(())
    }

    /// Removes all records of a name, and the name.
    ///
    /// # Errors
    /// [`Error::BadName`] where the name is none.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let name = parse(name)?;
        self.lock().remove(&name);
        Ok(())
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn add(&self, name: &str, data: RData) -> Result<(), Error> {
        let name = parse(name)?;
        self.lock().entry(name).or_default().push(data);
        Ok(())
    }

    /// What the test wrote of this name; `None` where it wrote nothing.
    pub(super) fn find(&self, name: &Name, kind: RecordType) -> Option<Found> {
        let records = self.lock();
        let Some(here) = records.get(name) else {
            // Whatever has something below it exists (RFC 8020).
            let above = records.keys().any(|other| name.zone_of(other));
            return above.then_some(Found::Empty);
        };
        let of_kind: Vec<_> = here
            .iter()
            .filter(|data| data.record_type() == kind)
            .cloned()
            .collect();
        let alias = here.iter().find_map(|data| match data {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        });
        Some(match (of_kind.is_empty(), alias) {
            (false, _) => Found::Records(of_kind),
            (true, Some(target)) => Found::Alias(target),
            (true, None) => Found::Empty,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Vec<RData>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    }
}

/// A complete name.
pub(super) fn parse(text: &str) -> Result<Name, Error> {
    let mut name = Name::from_str_relaxed(text).map_err(|error| Error::BadName {
        name: text.to_owned(),
        problem: error.to_string(),
    })?;
    name.set_fqdn(true);
    Ok(name)
}
