//! What a name leads to: its records, or its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::{
    op::Query,
    rr::{Name, RData, Record, RecordType},
};
use portolan_core::{SourceError, SourceErrorKind};

use crate::{
    IpFamilies,
    alias::{MAX_ALIASES, chase},
    refusal::{Refusal, Rejected, check},
    upstream::Ask,
};

/// What was found at the end of all aliases of a name.
#[derive(Debug)]
pub(crate) struct Found {
    /// Whether the name is there at all. It may be, and have no records of the type asked for.
    pub(crate) exists: bool,
    /// What the answer says of the name, of any type.
    pub(crate) records: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// For how long this holds, in seconds, where that was said.
    pub(crate) ttl: Option<u32>,
}

/// The addresses of a name, fit to be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) exists: bool,
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
    pub(crate) ttl: Option<u32>,
    pub(crate) rejected: Rejected,
}

/// The lesser of two TTLs, where they are known.
pub(crate) fn least(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Looks up one type of record, through aliases.
pub(crate) async fn lookup(
    asker: &impl Ask,
    name: &Name,
    kind: RecordType,
) -> Result<Found, SourceError> {
    let endless = || {
        SourceError::new(
            SourceErrorKind::Corrupt,
            format!(
                "the aliases (CNAME) of `{name}` lead in a circle, or through more than {MAX_ALIASES} names"
            ),
        )
    };
    let mut current = name.clone();
    let mut aliases = 0;
    let mut ttl = None;
    loop {
        let reply = asker.ask(&Query::query(current.clone(), kind)).await?;
        let chased = chase(&reply.answers, &current).map_err(|_| endless())?;
        ttl = least(ttl, chased.ttl);
        let mut here = chased
            .records
            .iter()
            .filter(|one| one.record_type() == kind);
        let last = here.next().is_some() || chased.aliases == 0 || !reply.exists;
        // With an SOA the server says that it looked, and that there is nothing; without one the rest
        // of the way is left to us (RFC 2308 section 2.2).
        if last || reply.negative_ttl.is_some() {
            let records: Vec<_> = chased.records.into_iter().cloned().collect();
            for record in &records {
                ttl = least(ttl, Some(record.ttl));
            }
            return Ok(Found {
                exists: reply.exists,
                records,
                additionals: reply.additionals,
                ttl: least(ttl, reply.negative_ttl),
            });
        }
        aliases += chased.aliases;
        current = chased.name;
        if aliases > MAX_ALIASES {
            return Err(endless());
        }
    }
}

/// Looks up the addresses of a name, of the families that are wanted.
pub(crate) async fn addresses(
    asker: &impl Ask,
    name: &Name,
    families: IpFamilies,
    allow_loopback: bool,
) -> Result<Addresses, SourceError> {
    let (v4, v6) = futures::try_join!(
        lookup_if(families.wants_v4(), asker, name, RecordType::A),
        lookup_if(families.wants_v6(), asker, name, RecordType::AAAA)
    )?;
    let mut addresses = Addresses::default();
    for (found, kind) in [(v4, RecordType::A), (v6, RecordType::AAAA)] {
        let Some(found) = found else { continue };
        addresses.exists |= found.exists;
        addresses.ttl = least(addresses.ttl, found.ttl);
        for record in &found.records {
            match ip(record) {
                Some(ip) if record.record_type() == kind => addresses.admit(ip, allow_loopback),
                Some(ip) => addresses.rejected.note(ip, Refusal::WrongFamily),
                None => {}
            }
        }
    }
    Ok(addresses)
}

async fn lookup_if(
    wanted: bool,
    asker: &impl Ask,
    name: &Name,
    kind: RecordType,
) -> Result<Option<Found>, SourceError> {
    match wanted {
        true => lookup(asker, name, kind).await.map(Some),
        false => Ok(None),
    }
}

/// The address in a record, where it is one.
pub(crate) fn ip(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(ip) => Some(ip.0.into()),
        RData::AAAA(ip) => Some(ip.0.into()),
        _ => None,
    }
}

impl Addresses {
    /// Takes the address in, if it can be one.
    pub(crate) fn admit(&mut self, ip: IpAddr, allow_loopback: bool) {
        match (check(ip, allow_loopback), ip) {
            (Ok(()), IpAddr::V4(ip)) => self.v4.push(ip),
            (Ok(()), IpAddr::V6(ip)) => self.v6.push(ip),
            (Err(refusal), ip) => self.rejected.note(ip, refusal),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
