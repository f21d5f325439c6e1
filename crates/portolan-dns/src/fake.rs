//! DNS without a network: what it answers is written by the test.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hickory_resolver::proto::{
    op::Query,
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, SRV},
    },
};
use portolan_core::{SourceError, SourceErrorKind};

use crate::{names::host, reply::Reply, upstream::Ask};

/// Knows what it was told, and that nothing else exists. Keeps count of what it is asked.
#[derive(Debug, Default)]
pub(crate) struct FakeDns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    replies: HashMap<Query, Result<Reply, SourceErrorKind>>,
    asked: Vec<String>,
    delay: Duration,
    at_once: usize,
    most_at_once: usize,
}

impl FakeDns {
    pub(crate) fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        self.with(|state| state.replies.insert(query(name, kind), Ok(reply)));
    }

    /// Sets the addresses of a name: it has those of one family, and none of the other.
    pub(crate) fn set_addresses(&self, name: &str, ips: &[&str]) {
        for (kind, v4) in [(RecordType::A, true), (RecordType::AAAA, false)] {
            let ips = ips.iter().map(|ip| ip.parse::<IpAddr>().unwrap());
            let of_kind = ips.filter(|ip| ip.is_ipv4() == v4);
            let records = of_kind.map(|ip| record(name, 5, address(ip))).collect();
            self.set(name, kind, reply(records));
        }
    }

    pub(crate) fn fail(&self, name: &str, kind: RecordType, why: SourceErrorKind) {
        self.with(|state| state.replies.insert(query(name, kind), Err(why)));
    }

    /// Forgets a name: from now on it does not exist.
    pub(crate) fn forget(&self, name: &str) {
        let name = host(name).unwrap();
        self.with(|state| state.replies.retain(|query, _| query.name != name));
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.with(|state| state.delay = delay);
    }

    /// What was asked since this was called last: `A db.shop.svc.cluster.local.`
    pub(crate) fn take_asked(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.asked))
    }

    /// How many questions there were at the same time, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.with(|state| state.most_at_once)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ask for FakeDns {
    async fn ask(&self, query: &Query) -> Result<Reply, SourceError> {
        let delay = self.with(|state| {
            let asked = format!("{} {}", query.query_type(), query.name());
            state.asked.push(asked);
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
            state.delay
        });
        tokio::time::sleep(delay).await;
        self.with(|state| {
            state.at_once -= 1;
            match state.replies.get(query) {
                Some(Ok(reply)) => Ok(reply.clone()),
                Some(Err(kind)) => Err(SourceError::new(*kind, "as the test says")),
                None => Ok(nothing(false)),
            }
        })
    }
}

fn query(name: &str, kind: RecordType) -> Query {
    Query::query(host(name).unwrap(), kind)
}

pub(crate) fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(host(name).unwrap(), ttl, data)
}

pub(crate) fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    }
}

pub(crate) fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(host(target).unwrap()))
}

pub(crate) fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    let target = match target {
        "." => Name::root(),
        target => host(target).unwrap(),
    };
    RData::SRV(SRV::new(priority, weight, port, target))
}

pub(crate) fn reply(answers: Vec<Record>) -> Reply {
    Reply {
        answers,
        ..nothing(true)
    }
}

pub(crate) fn nothing(exists: bool) -> Reply {
    Reply {
        exists,
        answers: Vec::new(),
        additionals: Vec::new(),
        negative_ttl: Some(5),
    }
}
