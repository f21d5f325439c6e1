//! Portolan's choice: the same objects, read from an API server that has nothing else.

use std::io;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use kube::client::Body;
use portolan_core::{Location, Measurement, Membership, Resolution, Source, categorize, reconcile};
use portolan_kube::{Cluster, IpFamilies};
use serde_json::{Value, json};

use super::{
    Chosen,
    case::{Case, NAMESPACE, PORT, SERVICE},
};
use crate::failure::{Failure, Result};

/// As a client on the Node of the case would choose, in each family.
pub(super) async fn choose(case: &Case) -> Result<Chosen> {
    Ok(Chosen {
        v4: of_family(case, IpFamilies::V4Only).await?,
        v6: of_family(case, IpFamilies::V6Only).await?,
    })
}

async fn of_family(case: &Case, families: IpFamilies) -> Result<Vec<String>> {
    let cluster = Cluster::from(api_server(case)).with_ip_families(families);
    let mut resolutions = cluster.watch(&format!("{SERVICE}:{PORT}").parse()?);
    let set = match resolutions.next().await {
        Some(Resolution::Present(set)) => set,
        other => return Err(Failure::new(format_args!("nothing resolved: {other:?}"))),
    };
    let (membership, _) = reconcile(&Membership::default(), &set, Measurement::default());
    let here = Location::UNKNOWN.with_node(case.node);
    let here = case.zone.map_or(here.clone(), |zone| here.with_zone(zone));
    let chosen = categorize(&membership, &here);
    let mut addresses: Vec<_> = chosen
        .iter()
        .map(|one| one.endpoint.address().to_string())
        .collect();
    addresses.sort();
    // Two Pods at one address are one place to send to.
    addresses.dedup();
    Ok(addresses)
}

fn api_server(case: &Case) -> kube::Client {
    let services = list(vec![case.service.clone()]);
    let slices = list(case.slices.clone());
    let answer = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri();
        let watched = uri
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let streaming = uri
            .query()
            .is_some_and(|query| query.contains("sendInitialEvents"));
        let answer = match (watched, uri.path().ends_with("/services")) {
            // As an API server without streaming lists says it.
            (true, _) if streaming => (422, whole(refusal())),
            (true, _) => {
                let silence = stream::pending::<io::Result<Frame<Bytes>>>();
                (200, BodyExt::boxed(StreamBody::new(silence)))
            }
            (false, true) => (200, whole(services.clone())),
            (false, false) => (200, whole(slices.clone())),
        };
        async move {
            let (status, body) = answer;
            Response::builder().status(status).body(body)
        }
    });
    kube::Client::new(answer, NAMESPACE)
}

fn whole(text: Vec<u8>) -> BoxBody<Bytes, io::Error> {
    BodyExt::boxed(Full::from(text).map_err(io::Error::other))
}

fn list(items: Vec<Value>) -> Vec<u8> {
    let list = json!({ "metadata": { "resourceVersion": "1" }, "items": items });
    list.to_string().into_bytes()
}

fn refusal() -> Vec<u8> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422,
        "message": "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
    });
    status.to_string().into_bytes()
}
