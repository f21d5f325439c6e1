//! What a DNS server says: something, nothing, or that it failed. Three things that must not be
//! confused.

use hickory_resolver::{
    net::{DnsError, NetError},
    proto::{
        op::{DnsResponse, Query, ResponseCode},
        rr::Record,
    },
};
use portolan_core::SourceErrorKind;

/// What a server answered. It may have no records; then `exists` says whether the name is there.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// NOERROR as opposed to NXDOMAIN. With aliases, it speaks of the last name of the chain.
    pub(crate) exists: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// How long to believe that there is nothing, in seconds (RFC 2308).
    pub(crate) negative_ttl: Option<u32>,
}

/// That a server did not answer, or not with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: SourceErrorKind,
    /// What it did, as "the server …" goes on.
    pub(crate) problem: String,
}

impl Failure {
    pub(crate) fn new(kind: SourceErrorKind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            problem: problem.into(),
        }
    }
}

/// Reads what came of asking `query`.
pub(crate) fn read(query: &Query, result: Result<DnsResponse, NetError>) -> Result<Reply, Failure> {
    let response = match result {
        Ok(response) => response,
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            if *nothing.query != *query {
                return Err(other_question());
            }
            // Servers that do not look things up for others send elsewhere. That is no answer, and
            // to take it for an empty one would be the end of all endpoints.
            if nothing.ns.is_some() && nothing.soa.is_none() {
                return Err(Failure::new(
                    SourceErrorKind::Corrupt,
                    "referred to other servers instead of answering; name one that resolves",
                ));
            }
            return Ok(Reply {
                exists: nothing.response_code != ResponseCode::NXDomain,
                answers: Vec::new(),
                additionals: Vec::new(),
                negative_ttl: nothing.negative_ttl,
            });
        }
        Err(error) => return Err(failure(&error)),
    };
    // Over UDP this was seen to already, over TCP it was not.
    if response.queries != [query.clone()] {
        return Err(other_question());
    }
    let exists = match response.response_code {
        ResponseCode::NoError => true,
        ResponseCode::NXDomain => false,
        other => return Err(refused(other)),
    };
    let negative_ttl = response.negative_ttl();
    let message = response.into_message();
    Ok(Reply {
        exists,
        answers: message.answers,
        additionals: message.additionals,
        negative_ttl,
    })
}

fn failure(error: &NetError) -> Failure {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => refused(*code),
        NetError::Timeout => Failure::new(SourceErrorKind::Unavailable, "did not answer in time"),
        NetError::Truncated => Failure::new(
            SourceErrorKind::Invalid,
            "has an answer that is too long for UDP, and for TCP too, or does not serve TCP; ask for \
             less by naming the port by number, open TCP port 53, or use the Kubernetes API",
        ),
        NetError::Proto(error) => Failure::new(
            SourceErrorKind::Corrupt,
            format!("sent what is no DNS message ({error})"),
        ),
        NetError::ForeignClassRecord { .. } | NetError::QueryCaseMismatch => Failure::new(
            SourceErrorKind::Corrupt,
            format!("answered oddly ({error})"),
        ),
        other => Failure::new(
            SourceErrorKind::Unavailable,
            format!("cannot be asked ({other})"),
        ),
    }
}

fn refused(code: ResponseCode) -> Failure {
    match code {
        ResponseCode::Refused => Failure::new(
            SourceErrorKind::Forbidden,
            "refuses to answer (REFUSED); does it serve this client, and this domain?",
        ),
        ResponseCode::ServFail => Failure::new(
            SourceErrorKind::Unavailable,
            "failed to find an answer (SERVFAIL)",
        ),
        other => Failure::new(
            SourceErrorKind::Unavailable,
            format!("answered with an error ({other})"),
        ),
    }
}

fn other_question() -> Failure {
    Failure::new(
        SourceErrorKind::Corrupt,
        "answered a question that was not asked",
    )
}

#[cfg(test)]
mod tests {
    use std::{io, str::FromStr, sync::Arc};

    use hickory_resolver::{
        net::NoRecords,
        proto::{
            op::{Message, MessageType, OpCode},
            rr::{
                Name, RData, RecordType,
                rdata::{A, NS, SOA},
            },
        },
    };

    use super::*;

    fn query() -> Query {
        Query::query(
            Name::from_str("db.shop.svc.cluster.local.").unwrap(),
            RecordType::A,
        )
    }

    /// As hickory hands it on.
    fn response(change: impl FnOnce(&mut Message)) -> Result<DnsResponse, NetError> {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.add_query(query());
        change(&mut message);
        let response = DnsResponse::from_message(message).unwrap();
        DnsError::from_response(response).map_err(NetError::from)
    }

    fn soa(message: &mut Message) {
        let zone = Name::from_str("cluster.local.").unwrap();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 5);
        message.add_authority(Record::from_rdata(zone, 30, RData::SOA(soa)));
    }

    fn kind(result: Result<DnsResponse, NetError>) -> SourceErrorKind {
        read(&query(), result).unwrap_err().kind
    }

    #[test]
    fn records_nothing_and_no_such_name_are_three_things() {
        let ip = RData::A(A::new(10, 0, 0, 1));
        let found = read(
            &query(),
            response(|m| {
                m.add_answer(Record::from_rdata(query().name, 5, ip));
            }),
        );
        assert_eq!(found.unwrap().answers.len(), 1);

        let nothing = read(&query(), response(soa)).unwrap();
        assert!(nothing.exists && nothing.answers.is_empty());
        assert_eq!(
            nothing.negative_ttl,
            Some(5),
            "the lesser of TTL and minimum"
        );

        let absent = read(
            &query(),
            response(|m| {
                m.metadata.response_code = ResponseCode::NXDomain;
                soa(m);
            }),
        );
        let absent = absent.unwrap();
        assert!(!absent.exists && absent.answers.is_empty());
    }

    #[test]
    fn failures_are_kept_apart() {
        let code = |code| response(|m| m.metadata.response_code = code);
        assert_eq!(
            kind(code(ResponseCode::ServFail)),
            SourceErrorKind::Unavailable
        );
        assert_eq!(
            kind(code(ResponseCode::Refused)),
            SourceErrorKind::Forbidden
        );
        assert_eq!(
            kind(code(ResponseCode::Unknown(3000))),
            SourceErrorKind::Unavailable
        );
        assert_eq!(kind(Err(NetError::Timeout)), SourceErrorKind::Unavailable);
        assert_eq!(kind(Err(NetError::Truncated)), SourceErrorKind::Invalid);
        let garbage = Message::from_vec(&[1, 2, 3]).unwrap_err();
        assert_eq!(kind(Err(garbage.into())), SourceErrorKind::Corrupt);
        let broken = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(
            kind(Err(NetError::Io(broken))),
            SourceErrorKind::Unavailable
        );
    }

    #[test]
    fn a_referral_is_no_empty_answer() {
        let referral = response(|m| {
            let zone = Name::from_str("local.").unwrap();
            let ns = Name::from_str("ns.example.").unwrap();
            let ns = NS(ns);
            m.add_authority(Record::from_rdata(zone, 5, RData::NS(ns)));
        });
        assert_eq!(kind(referral), SourceErrorKind::Corrupt);
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let other = Query::query(Name::from_str("evil.example.").unwrap(), RecordType::A);
        let nothing = NoRecords::new(other.clone(), ResponseCode::NXDomain);
        assert_eq!(kind(Err(nothing.into())), SourceErrorKind::Corrupt);
        let something = response(|m| {
            m.queries = vec![other.clone()];
            let ip = RData::A(A::new(10, 0, 0, 1));
            m.add_answer(Record::from_rdata(other.name, 5, ip));
        });
        assert_eq!(kind(something), SourceErrorKind::Corrupt);
    }
}
