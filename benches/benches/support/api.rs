//! An API server in a closure: one Service of many endpoints, and slices that change when told.
//!
//! `portolan-test` has a whole cluster; this one costs next to nothing, so that what is measured is
//! the client.

#![allow(dead_code, reason = "not every bench changes what it watches")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{StreamExt, channel::mpsc, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use portolan_benches::endpoint;
use portolan_core::{Endpoint, Uid};
use serde_json::{Value, json};

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Events = mpsc::UnboundedSender<String>;

/// Endpoints in a slice, as the slices' controller has it by default.
pub(crate) const PER_SLICE: u32 = 100;

/// Tells the watch of the slices what happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Api {
    /// Whether the Pods have an address of each family.
    dual_stack: bool,
    watch: Arc<Mutex<Option<Events>>>,
    /// What was said since the slices were listed, for the watch that goes on from there.
    since: Arc<Mutex<Option<mpsc::UnboundedReceiver<String>>>>,
}

impl Api {
    /// A server of one Service with this many endpoints, and a client of it.
    pub(crate) fn start(endpoints: u32) -> (Self, kube::Client) {
        Self::default().serve(endpoints)
    }

    /// The same, of Pods with an address of each family.
    pub(crate) fn start_dual_stack(endpoints: u32) -> (Self, kube::Client) {
        let api = Self {
            dual_stack: true,
            ..Self::default()
        };
        api.serve(endpoints)
    }

    fn serve(self, endpoints: u32) -> (Self, kube::Client) {
        let api = self;
        let server = api.clone();
        let answer = tower::service_fn(move |request: Request<kube::client::Body>| {
            let response = Response::new(server.answer(&request, endpoints));
            async move { Ok::<_, Infallible>(response) }
        });
        (api, kube::Client::new(answer, "shop"))
    }

    /// What the server says when the endpoint of this number has restarted so many times: its slice
    /// has changed.
    pub(crate) fn restarted(number: u32, times: u32) -> String {
        let slice = slice(
            number / PER_SLICE,
            |one| if one == number { times } else { 0 },
        );
        event("MODIFIED", &slice)
    }

    /// What the server says when all endpoints of this slice have restarted so many times.
    pub(crate) fn all_restarted(number: u32, times: u32) -> String {
        event("MODIFIED", &slice(number, |_| times))
    }

    /// Says it.
    pub(crate) fn say(&self, event: String) -> Result<(), &'static str> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watch.as_ref().ok_or("nobody watches")?;
        watch
            .unbounded_send(event)
            .map_err(|_| "the watch was closed")
    }

    fn answer(&self, request: &Request<kube::client::Body>, endpoints: u32) -> Body {
        let query = request.uri().query().unwrap_or_default();
        let of_services = request.uri().path().ends_with("/services");
        let objects: Vec<Value> = if of_services {
            vec![service()]
        } else {
            let slices = 0..endpoints.div_ceil(PER_SLICE);
            let slices = slices.map(|number| slice(number, |_| 0));
            let six = slices.clone().filter(|_| self.dual_stack).map(in_ipv6);
            slices.chain(six).collect()
        };
        if !query.contains("watch=true") {
            if !of_services {
                let (sender, receiver) = mpsc::unbounded();
                *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
                *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
            }
            let list = json!({ "metadata": { "resourceVersion": "1" }, "items": objects });
            return http_body_util::Full::from(list.to_string()).boxed_unsync();
        }
        let mut initial = Vec::new();
        if query.contains("sendInitialEvents=true") {
            initial.extend(objects.iter().map(|object| event("ADDED", object)));
            let end = json!({ "k8s.io/initial-events-end": "true" });
            let metadata = json!({ "resourceVersion": "1", "annotations": end });
            initial.push(event(
                "BOOKMARK",
                &json!({ "apiVersion": "v1", "kind": "Any", "metadata": metadata }),
            ));
        }
        let since = self
            .since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let later = match since {
            _ if of_services => stream::pending().boxed(),
            Some(since) => since.boxed(),
            None => {
                let (sender, receiver) = mpsc::unbounded();
                *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
                receiver.boxed()
            }
        };
        let events = stream::iter(initial).chain(later);
        StreamBody::new(events.map(|event| Ok(Frame::data(Bytes::from(event))))).boxed_unsync()
    }
}

fn event(kind: &str, object: &Value) -> String {
    // In the order in which a real server writes it: what is parsed depends on the type.
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "search", "namespace": "shop", "resourceVersion": "1" },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.7", "ipFamilies": ["IPv4", "IPv6"],
            "ports": [
                { "name": "http", "port": 80, "targetPort": 8080 },
                { "name": "metrics", "port": 9090, "targetPort": 9090 },
            ],
        },
    })
}

fn slice(number: u32, restarts: impl Fn(u32) -> u32) -> Value {
    let endpoints: Vec<Value> = (number * PER_SLICE..(number + 1) * PER_SLICE)
        .map(|one| as_in_slice(&endpoint(one, restarts(one))))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("search-{number:04}"), "namespace": "shop", "resourceVersion": "2",
            "labels": { "kubernetes.io/service-name": "search" },
        },
        "addressType": "IPv4",
        // Not the wanted one first.
        "ports": [
            { "name": "metrics", "port": 9090, "protocol": "TCP" },
            { "name": "http", "port": 8080, "protocol": "TCP" },
        ],
        "endpoints": endpoints,
    })
}

/// The slice with the same Pods' other addresses.
fn in_ipv6(mut slice: Value) -> Value {
    if let Some(name) = slice.pointer_mut("/metadata/name") {
        *name = format!("{}-six", name.as_str().unwrap_or_default()).into();
    }
    if let Some(kind) = slice.pointer_mut("/addressType") {
        *kind = "IPv6".into();
    }
    let endpoints = slice
        .pointer_mut("/endpoints")
        .and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten() {
        if let Some(address) = endpoint.pointer_mut("/addresses/0") {
            let four = address.as_str().unwrap_or_default();
            *address = format!("fd00::{}", four.replace('.', ":")).into();
        }
    }
    slice
}

fn as_in_slice(endpoint: &Endpoint) -> Value {
    json!({
        "addresses": [endpoint.address().ip()],
        "conditions": { "ready": true, "serving": true, "terminating": false },
        "nodeName": endpoint.node(), "zone": endpoint.zone(),
        "targetRef": {
            "kind": "Pod", "namespace": "shop",
            "name": endpoint.placement().as_str(), "uid": endpoint.uid().map(Uid::to_string),
        },
    })
}
