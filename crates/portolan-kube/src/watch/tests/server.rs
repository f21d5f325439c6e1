//! An API server whose answers the test gives, one by one.

use std::{collections::HashMap, convert::Infallible, io};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Frame = Result<http_body::Frame<Bytes>, io::Error>;

/// What is asked, by collection.
pub(super) struct Server {
    pub(super) services: Calls,
    pub(super) slices: Calls,
    pub(super) pods: Calls,
    /// ConfigMaps, Leases and StatefulSets.
    pub(super) objects: Calls,
}

/// A server of which the Service looks after itself.
pub(super) struct Stage {
    pub(super) slices: Calls,
    /// Changes what the server says of the Service.
    pub(super) service: mpsc::UnboundedSender<Value>,
}

/// The requests for one collection.
pub(super) struct Calls(mpsc::UnboundedReceiver<Call>);

/// A request that waits for its answer. Dropping it refuses the connection.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    reply: oneshot::Sender<Response<Body>>,
}

/// The server's side of an open watch. Dropping it ends the watch cleanly.
#[derive(Debug)]
pub(super) struct Watch(mpsc::UnboundedSender<Frame>);

impl Server {
    pub(super) fn start() -> (Self, Client) {
        let (services, service_calls) = mpsc::unbounded_channel();
        let (slices, slice_calls) = mpsc::unbounded_channel();
        let (pods, pod_calls) = mpsc::unbounded_channel();
        let (objects, object_calls) = mpsc::unbounded_channel();
        let answer = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (reply, answer) = oneshot::channel();
            let call = Call {
                path: request.uri().path().to_owned(),
                query: parse_query(request.uri().query().unwrap_or_default()),
                reply,
            };
            let calls = match call.path.rsplit('/').next() {
                Some("services") => &services,
                Some("pods") => &pods,
                Some("configmaps" | "leases" | "statefulsets") => &objects,
                _ => &slices,
            };
            // Where nobody looks at calls any more, they are refused.
            drop(calls.send(call));
            async move {
                let refused =
                    |_| io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
                answer.await.map_err(refused)
            }
        });
        let server = Self {
            services: Calls(service_calls),
            slices: Calls(slice_calls),
            pods: Calls(pod_calls),
            objects: Calls(object_calls),
        };
        (server, Client::new(answer, "shop"))
    }

    /// Lets the Service look after itself: it is listed and watched as it should be.
    pub(super) fn with_service(self, service: Value) -> Stage {
        let Self {
            mut services,
            slices,
            ..
        } = self;
        let (change, mut changes) = mpsc::unbounded_channel::<Value>();
        tokio::spawn(async move {
            let mut watch: Option<Watch> = None;
            let mut current = service;
            loop {
                tokio::select! {
                    call = services.0.recv() => match call {
                        Some(call) if call.is_watch() => watch = Some(call.answer_with_watch()),
                        Some(call) if current.is_null() => call.answer_with_list(&[], 1),
                        Some(call) => call.answer_with_list(&[&current], 1),
                        None => return,
                    },
                    Some(changed) = changes.recv() => {
                        if let Some(watch) = &watch {
                            match (current.is_null(), changed.is_null()) {
                                (false, true) => watch.event("DELETED", &current),
                                (true, _) => watch.event("ADDED", &changed),
                                (false, false) => watch.event("MODIFIED", &changed),
                            }
                        }
                        current = changed;
                    }
                }
            }
        });
        Stage {
            slices,
            service: change,
        }
    }
}

impl Calls {
    /// The next request, whenever it comes.
    pub(super) async fn next(&mut self) -> Call {
        self.0.recv().await.expect("the client is gone")
    }

    /// The next request, which must be a list, answered with these objects; and the watch that goes on
    /// from there.
    pub(super) async fn list(&mut self, objects: &[Value], version: u64) -> Watch {
        self.next_list()
            .await
            .answer_with_list(&objects.iter().collect::<Vec<_>>(), version);
        self.resume(version).await
    }

    /// The next request, which must be a plain list.
    pub(super) async fn next_list(&mut self) -> Call {
        let call = self.next().await;
        assert!(!call.is_watch(), "{call:?}");
        call
    }

    /// The next request, which must be a list that streams, answered with these objects.
    pub(super) async fn stream(&mut self, objects: &[Value], version: u64) -> Watch {
        let call = self.next().await;
        assert!(call.is_streaming_list(), "{call:?}");
        let watch = call.answer_with_watch();
        for object in objects {
            watch.event("ADDED", object);
        }
        watch.end_of_initial_events(version);
        watch
    }

    /// The next request, which must resume a watch at this version.
    pub(super) async fn resume(&mut self, version: u64) -> Watch {
        let call = self.next().await;
        assert!(call.is_watch() && !call.is_streaming_list(), "{call:?}");
        assert_eq!(call.query["resourceVersion"], version.to_string());
        call.answer_with_watch()
    }

    /// The requests that wait now.
    pub(super) fn waiting(&mut self) -> Vec<Call> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

impl Call {
    pub(super) fn is_watch(&self) -> bool {
        self.query.get("watch").is_some_and(|watch| watch == "true")
    }

    pub(super) fn is_streaming_list(&self) -> bool {
        self.is_watch()
            && self
                .query
                .get("sendInitialEvents")
                .is_some_and(|send| send == "true")
    }

    /// With a body that comes in parts.
    pub(super) fn answer_with_watch(self) -> Watch {
        let (sender, receiver) = mpsc::unbounded_channel::<Frame>();
        let frames = stream::unfold(receiver, |mut receiver| async {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        self.respond(200, StreamBody::new(frames).boxed_unsync());
        Watch(sender)
    }

    pub(super) fn answer_with_list(self, objects: &[&Value], version: u64) {
        self.answer_with(200, &list(objects, version).to_string());
    }

    pub(super) fn answer_with(self, code: u16, body: &str) {
        let frame = Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(body.to_owned())));
        let body = StreamBody::new(stream::iter([frame])).map_err(|never| match never {});
        self.respond(code, body.boxed_unsync());
    }

    pub(super) fn refuse(self, code: u16, message: &str) {
        self.answer_with(code, &status(code, message).to_string());
    }

    fn respond(self, code: u16, body: Body) {
        let response = Response::builder().status(code).body(body).unwrap();
        // A client that went away meanwhile is what some tests are about.
        drop(self.reply.send(response));
    }
}

impl Watch {
    pub(super) fn event(&self, kind: &str, object: &Value) {
        self.raw(&format!("{}\n", json!({ "type": kind, "object": object })));
    }

    pub(super) fn bookmark(&self, version: u64) {
        let metadata = json!({ "resourceVersion": version.to_string() });
        self.event(
            "BOOKMARK",
            &json!({ "kind": "X", "apiVersion": "v1", "metadata": metadata }),
        );
    }

    pub(super) fn end_of_initial_events(&self, version: u64) {
        let annotations = json!({ "k8s.io/initial-events-end": "true" });
        let metadata =
            json!({ "resourceVersion": version.to_string(), "annotations": annotations });
        self.event(
            "BOOKMARK",
            &json!({ "kind": "X", "apiVersion": "v1", "metadata": metadata }),
        );
    }

    pub(super) fn error(&self, code: u16, message: &str) {
        self.event("ERROR", &status(code, message));
    }

    pub(super) fn raw(&self, text: &str) {
        drop(
            self.0
                .send(Ok(http_body::Frame::data(Bytes::from(text.to_owned())))),
        );
    }

    /// The connection breaks.
    pub(super) fn break_off(self) {
        drop(self.0.send(Err(io::ErrorKind::ConnectionReset.into())));
    }

    /// Waits until the client let go of the watch.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

/// A list, as the API server writes it.
pub(super) fn list(objects: &[&Value], version: u64) -> Value {
    json!({ "metadata": { "resourceVersion": version.to_string() }, "items": objects })
}

pub(super) fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "Because" })
}

fn parse_query(query: &str) -> HashMap<String, String> {
    let decoded = |text: &str| text.replace("%2F", "/").replace("%3D", "=");
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect()
}
