//! From a query to an answer, right or wrong as it is ordered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use hickory_proto::{
    op::{Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, SOA},
    },
};

use super::{
    cluster::ClusterZone,
    faults::{Fault, Faults},
    queries::Queries,
    wire::encode,
    zone::{Found, Zone},
};

/// How many aliases are followed for a client, as CoreDNS does.
const ALIASES: usize = 8;
/// What a client takes over UDP if it does not say (RFC 1035 section 4.2.1).
const PLAIN_UDP: u16 = 512;

/// Everything that answers depend on.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) zone: Zone,
    pub(super) cluster: Option<ClusterZone>,
    pub(super) faults: Faults,
    pub(super) queries: Queries,
    pub(super) ttl: AtomicU32,
    pub(super) glue: AtomicBool,
    /// Counts answers, to give each another order.
    pub(super) turn: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What to do with a query.
#[derive(Debug)]
pub(super) enum Reaction {
    Say(Vec<u8>),
    Ignore,
    HangUp,
    Stall,
}

impl Answers {
    /// Reacts to one message, in time.
    pub(super) async fn react(&self, message: &[u8], transport: Transport) -> Reaction {
        let Ok(request) = Message::from_vec(message) else {
            return Reaction::Ignore;
        };
        let Some(query) = request.queries.first().cloned() else {
            return Reaction::Ignore;
        };
        let kind = query.query_type().to_string();
        let tcp = transport == Transport::Tcp;
        self.queries.record(&query.name().to_ascii(), &kind, tcp);
        let fault = self.faults.take(query.name());
        if let Some(Fault::Slow(delay)) = fault {
            tokio::time::sleep(delay).await;
        }
        let limit = match transport {
            Transport::Udp => request
                .edns
                .as_ref()
                .map_or(PLAIN_UDP, |edns| edns.max_payload().max(PLAIN_UDP)),
            Transport::Tcp => u16::MAX,
        };
        let mut response = Message::new(request.id, MessageType::Response, OpCode::Query);
        response.metadata = Metadata::response_from_request(&request.metadata);
        response.metadata.recursion_available = true;
        response.edns.clone_from(&request.edns);
        response.add_query(query.clone());
        match fault {
            Some(Fault::Silence) => return Reaction::Ignore,
            Some(Fault::TruncatedWithoutTcp) if tcp => return Reaction::HangUp,
            Some(Fault::StalledTcp) if tcp => return Reaction::Stall,
            Some(Fault::TruncatedWithoutTcp) => response.metadata.truncation = true,
            Some(Fault::ServFail) => response.metadata.response_code = ResponseCode::ServFail,
            Some(Fault::Refused) => response.metadata.response_code = ResponseCode::Refused,
            Some(Fault::NxDomain) => self.deny(&mut response, &query, ResponseCode::NXDomain),
            Some(Fault::Garbage) => {
                let mut bytes = request.id.to_be_bytes().to_vec();
                bytes.extend([0xff; 40]);
                return Reaction::Say(bytes);
            }
            Some(Fault::WrongId) => {
                response.metadata.id = request.id.wrapping_add(1);
                self.answer(&mut response, &query);
            }
            Some(Fault::WrongQuestion) => {
                self.answer(&mut response, &query);
                let mut other = query;
                other.set_name(Name::root());
                response.queries = vec![other];
            }
            Some(Fault::Slow(_) | Fault::StalledTcp) | None => self.answer(&mut response, &query),
        }
        match encode(&response, limit) {
            Ok(bytes) => Reaction::Say(bytes),
            Err(error) => {
                tracing::warn!(%error, "a DNS answer cannot be written");
                Reaction::Ignore
            }
        }
    }

    /// Writes the truth into the response.
    fn answer(&self, response: &mut Message, query: &Query) {
        let ttl = self.ttl.load(Ordering::Relaxed);
        let mut name = query.name().clone();
        for _ in 0..=ALIASES {
            match self.find(&name, query.query_type()) {
                Found::Alias(target) => {
                    let alias = RData::CNAME(CNAME(target.clone()));
                    response.add_answer(Record::from_rdata(name, ttl, alias));
                    name = target;
                }
                Found::Records(mut records) => {
                    let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                    let by = usize::try_from(turn).unwrap_or_default() % records.len().max(1);
                    records.rotate_left(by);
                    if self.glue.load(Ordering::Relaxed) {
                        response.add_additionals(self.along(&name, &records, ttl));
                    }
                    let record = |data| Record::from_rdata(name.clone(), ttl, data);
                    response.add_answers(records.into_iter().map(record));
                    return;
                }
                Found::Empty => return self.deny(response, query, ResponseCode::NoError),
                Found::Missing => return self.deny(response, query, ResponseCode::NXDomain),
            }
        }
    }

    /// Says that there is nothing, and for how long to believe it (RFC 2308).
    fn deny(&self, response: &mut Message, query: &Query, code: ResponseCode) {
        let ttl = self.ttl.load(Ordering::Relaxed);
        response.metadata.response_code = code;
        let zone = query.name().base_name();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 7200, 1800, 86_400, ttl);
        response.add_authority(Record::from_rdata(zone, ttl, RData::SOA(soa)));
    }

    /// The addresses of SRV targets.
    fn along(&self, name: &Name, records: &[RData], ttl: u32) -> Vec<Record> {
        let targets: BTreeSet<&Name> = records
            .iter()
            .filter_map(|data| match data {
                RData::SRV(srv) => Some(&srv.target),
                _ => None,
            })
            .collect();
        // The cluster tells all of its own at once: to look each up would take a thousand Pods a thousand
        // times as long.
        let cluster = self.cluster.iter();
        let mut of_cluster: BTreeMap<Name, Vec<RData>> = BTreeMap::new();
        for (target, address) in cluster.flat_map(|cluster| cluster.targets(name)) {
            of_cluster.entry(target).or_default().push(address);
        }
        let mut along = Vec::new();
        for target in targets {
            if let Some(addresses) = of_cluster.remove(target) {
                let record = |data| Record::from_rdata(target.clone(), ttl, data);
                along.extend(addresses.into_iter().map(record));
                continue;
            }
            for kind in [RecordType::A, RecordType::AAAA] {
                if let Found::Records(addresses) = self.find(target, kind) {
                    let record = |data| Record::from_rdata(target.clone(), ttl, data);
                    along.extend(addresses.into_iter().map(record));
                }
            }
        }
        along
    }

    fn find(&self, name: &Name, kind: RecordType) -> Found {
        let written = self.zone.find(name, kind);
        let cluster = || {
            self.cluster
                .as_ref()
                .map(|cluster| cluster.find(name, kind))
        };
        written.or_else(cluster).unwrap_or(Found::Missing)
    }
}
