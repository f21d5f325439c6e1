//! What is asked, and what is made of the answers.

mod addresses;
mod srv;

use hickory_resolver::proto::rr::{RData, rdata::SRV};
use portolan_core::EndpointSet;

use super::*;
use crate::fake::{FakeDns, address, alias, nothing, record, reply, srv};

const DB: &str = "db.shop.svc.cluster.local";
const PORT: &str = "_http._tcp.db.shop.svc.cluster.local";

fn below(label: &str) -> String {
    format!("{label}.{DB}")
}

struct Asked {
    result: Result<Resolved, SourceError>,
    queries: Vec<String>,
}

impl Asked {
    fn resolved(self) -> Resolved {
        self.result.unwrap()
    }

    /// `db-0 10.0.0.1:80` of each endpoint, in order.
    fn endpoints(self) -> Vec<String> {
        let endpoints = self.resolved().endpoints.expect("the Service is there");
        let set: EndpointSet = endpoints.into_iter().collect();
        set.iter()
            .map(|one| format!("{} {}", one.placement(), one.address()))
            .collect()
    }

    fn error(self) -> SourceError {
        self.result.unwrap_err()
    }
}

async fn ask_with(dns: &Arc<FakeDns>, text: &str, reading: Reading) -> Asked {
    dns.take_asked();
    let service: ServiceRef = text.parse().unwrap();
    let name = names::service(&service, None, &names::domain("cluster.local").unwrap()).unwrap();
    let question = Question::Service { service, name };
    let resolver = Resolver {
        asker: Arc::clone(dns),
        reading,
    };
    let resolved = resolver.resolve(&question).await;
    let mut queries = dns.take_asked();
    queries.sort();
    Asked {
        result: resolved.and_then(|resolved| resolved.unless_all_rejected(&question)),
        queries,
    }
}

fn reading() -> Reading {
    Reading {
        families: IpFamilies::PreferV4,
        allow_loopback: false,
        max_records: 100,
    }
}

async fn ask(dns: &Arc<FakeDns>, text: &str) -> Asked {
    ask_with(dns, text, reading()).await
}

/// Pods of a StatefulSet, whose addresses come along or do not.
fn stateful_set(dns: &FakeDns, pods: u8, glue: bool) {
    let mut answer = reply(Vec::new());
    for n in 0..pods {
        let pod = below(&format!("db-{n}"));
        let ip = format!("10.0.0.{n}");
        answer
            .answers
            .push(record(PORT, 5, srv(0, 100, 8080, &pod)));
        if glue {
            let along = record(&pod, 5, address(ip.parse().unwrap()));
            answer.additionals.push(along);
        } else {
            dns.set_addresses(&pod, &[&ip]);
        }
    }
    dns.set(PORT, RecordType::SRV, answer);
}
