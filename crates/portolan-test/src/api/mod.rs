//! The Kubernetes API over the store.
//!
//! A request passes, in this order: faults on order, routing, the counters, authentication, RBAC,
//! and then the handler of its verb. [`ApiServer::handle`] is the only way in, for the in-process
//! client and for HTTP alike; only the cluster's own controllers and kubelet come in as
//! [`Origin::Internal`], past faults, counters and RBAC.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod defaults;
mod discovery;
mod list;
mod patch;
mod query;
mod refusal;
mod route;
mod scale;
pub(crate) mod services;
pub(crate) mod watch;
mod write;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use serde_json::Value;

use crate::faults::Faults;
use crate::requests::{OpenWatch, Requests, Verb};
use crate::store::Store;

use self::access::{Access, User};
use self::body::ApiBody;
use self::defaults::Defaults;
use self::refusal::Refusal;
use self::route::{ResourceRequest, Route, Subresource};
use self::watch::WatchConfig;
use self::write::Writer;

pub(crate) use self::write::pod_grace;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client under test.
    External,
    /// The cluster itself.
    Internal,
}

/// The API server.
#[derive(Debug)]
pub(crate) struct ApiServer {
    pub(crate) store: Arc<Store>,
    pub(crate) access: Access,
    pub(crate) faults: Faults,
    pub(crate) requests: Requests,
    pub(crate) defaults: Defaults,
    pub(crate) watches: WatchConfig,
}

impl ApiServer {
    /// Answers a request. Fails as a connection does, if faults say so.
    pub(crate) async fn handle<B>(
        &self,
        request: Request<B>,
        origin: Origin,
    ) -> io::Result<Response<ApiBody>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<tower::BoxError>,
    {
        if origin == Origin::External {
            self.faults.admit().await?;
        }
        let answer = match self.answer(request, origin).await {
            Ok(answer) => answer,
            Err(refusal) => {
                tracing::debug!(%refusal, "refused");
                Answer::Whole(refusal.code, refusal.to_json())
            }
        };
        if origin == Origin::External {
            // A fault may have come up while the body of the request was read.
            self.faults.admit().await?;
        }
        Ok(match answer {
            Answer::Stream(response) => response,
            Answer::Whole(code, value) => {
                let mut bytes = value.to_string().into_bytes();
                if origin == Origin::External
                    && let Some(corruption) = self.faults.take_corruption()
                {
                    bytes = corruption.apply(bytes);
                }
                body::whole(code, bytes)
            }
        })
    }

    async fn answer<B>(&self, request: Request<B>, origin: Origin) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<tower::BoxError>,
    {
        let (head, body) = request.into_parts();
        let route = Route::parse(&head.method, &head.uri)?;
        if let (Origin::External, Route::Resource(request)) = (origin, &route) {
            let resource = request.kind.resource().plural;
            self.requests.record(request.verb, resource);
        }
        if origin == Origin::External
            && let Some(status) = self.faults.next_status()
        {
            return Err(Refusal::on_order(status));
        }
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let user = match origin {
            Origin::External => self.access.authenticate(header(header::AUTHORIZATION))?,
            Origin::Internal => Arc::new(User::admin("system:portolan-test")),
        };
        match route {
            Route::Path(path) => self.show_path(&path, &head.method, &user),
            Route::Resource(request) => {
                user.authorize(&request)?;
                let content_type = header(header::CONTENT_TYPE).unwrap_or_default();
                let body = body::collect(body).await?;
                self.serve(&request, &user, origin, content_type, &body)
            }
        }
    }

    fn show_path(&self, path: &str, method: &Method, user: &User) -> Result<Answer, Refusal> {
        if method != Method::GET {
            return Err(Refusal::method_not_allowed());
        }
        if user.name() == "system:anonymous" && !discovery::is_public(path) {
            let why = format!("User \"{}\" cannot get", user.name());
            return Err(Refusal::forbidden_path(path, &why));
        }
        Ok(Answer::Whole(StatusCode::OK, discovery::show(path)?))
    }

    fn serve(
        &self,
        request: &ResourceRequest,
        user: &User,
        origin: Origin,
        content_type: &str,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        let store = &self.store;
        let writer = Writer {
            store,
            defaults: self.defaults,
            request,
        };
        let (code, value) = match request.verb {
            Verb::Get => (StatusCode::OK, self.get(request)?),
            Verb::List => (StatusCode::OK, list::list(store, request)?),
            Verb::Watch => return self.watch(request, user, origin),
            Verb::Create => writer.create(body)?,
            Verb::Update => writer.update(body)?,
            Verb::Patch => writer.patch(content_type, body)?,
            Verb::Delete => writer.delete(body)?,
            Verb::DeleteCollection => writer.delete_collection(body)?,
        };
        Ok(Answer::Whole(code, value))
    }

    fn get(&self, request: &ResourceRequest) -> Result<Value, Refusal> {
        let object = self
            .store
            .get(request.kind, &request.key())
            .ok_or_else(|| Refusal::not_found(&request.kind.resource(), &request.name))?;
        match request.subresource {
            None | Some(Subresource::Status) => Ok(Value::clone(&object)),
            Some(Subresource::Scale) => Ok(scale::show(&object)),
            Some(Subresource::Binding) => Err(Refusal::method_not_allowed()),
        }
    }

    fn watch(
        &self,
        request: &ResourceRequest,
        user: &User,
        origin: Origin,
    ) -> Result<Answer, Refusal> {
        let external = origin == Origin::External;
        let open = external.then(|| {
            self.requests.open(OpenWatch {
                resource: request.kind.resource().plural,
                namespace: request.namespace.clone(),
                label_selector: request.query.label_text.clone(),
                user: user.name().to_owned(),
            })
        });
        let faults = external.then(|| self.faults.clone());
        let events = watch::watch(&self.store, request, self.watches, faults, open)?;
        Ok(Answer::Stream(body::streamed(events)))
    }
}

/// An answer before the last faults.
enum Answer {
    Whole(StatusCode, Value),
    Stream(Response<ApiBody>),
}
