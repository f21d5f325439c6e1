//! What is asked of the API server: a list, a watch.

use futures::AsyncBufRead;
use kube::{
    api::{ListParams, WatchParams},
    core::Request,
};
use tokio::time::timeout;

use super::{
    body::{Lines, read_all},
    fault::{Errand, Fault},
};
use crate::{
    cluster::{Access, WatchOptions},
    object::{Object, ObjectList},
};

/// Objects in a page of a list, as many as client-go asks for.
const PAGE: u32 = 500;
/// A page may be empty and not the last, but not for ever.
const PAGES_LIMIT: usize = 1_000;

/// The body of a watch.
pub(super) type Body = Lines<std::pin::Pin<Box<dyn AsyncBufRead + Send>>>;

/// One collection of the API, as far as its errand is concerned. Each request is answered, refused
/// or given up within [`WatchOptions::request_timeout`].
pub(super) struct Collection {
    pub(super) access: Access,
    pub(super) errand: Errand,
    pub(super) options: WatchOptions,
}

impl Collection {
    /// Opens a watch from `version` on, or, without one, from the beginning with all there is.
    pub(super) async fn watch<K: Object>(&self, version: Option<&str>) -> Result<Body, Fault> {
        let params = WatchParams {
            send_initial_events: version.is_none(),
            timeout: Some(self.options.watch_seconds()),
            ..WatchParams::default()
        };
        let selector = K::selector(&self.errand.scope);
        let params = WatchParams {
            label_selector: selector.labels(),
            field_selector: selector.fields(),
            ..params
        };
        // Without a version the server answers with what is true now, and not with what some cache
        // still believes.
        let request = self
            .request::<K>()
            .watch(&params, version.unwrap_or_default());
        let answer = self.send(request).await?;
        Ok(Lines::new(Box::pin(answer)))
    }

    /// All objects, page by page, and the version of the whole.
    pub(super) async fn list<K: Object>(&self) -> Result<(Vec<K>, String), Fault> {
        let selector = K::selector(&self.errand.scope);
        let mut params = ListParams {
            label_selector: selector.labels(),
            field_selector: selector.fields(),
            ..ListParams::default().limit(PAGE)
        };
        let mut all = Vec::new();
        for _ in 0..PAGES_LIMIT {
            let page: ObjectList<K> = self.page(&params).await?;
            let wanted = page
                .items
                .into_iter()
                .filter(|object| self.is_wanted(object));
            all.extend(wanted);
            self.limit(all.len())?;
            if page.metadata.next_page.is_empty() {
                let version = page.metadata.resource_version;
                if version.is_empty() {
                    return Err(self.errand.corrupt("a list without a version", None));
                }
                return Ok((all, version));
            }
            params.continue_token = Some(page.metadata.next_page);
        }
        Err(self.errand.corrupt("a list without an end", None))
    }

    async fn page<K: Object>(&self, params: &ListParams) -> Result<ObjectList<K>, Fault> {
        let answer = self.send(self.request::<K>().list(params)).await?;
        let patience = self.options.request_timeout;
        let body = match timeout(patience, read_all(Box::pin(answer))).await {
            Ok(body) => body.map_err(|error| self.errand.unread(error))?,
            Err(_) => return Err(self.errand.timed_out(patience)),
        };
        let unparsable = |error| {
            self.errand
                .corrupt("a list that cannot be parsed", Some(error))
        };
        serde_json::from_slice(&body).map_err(unparsable)
    }

    /// Sends a request and waits for the head of the answer.
    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<impl AsyncBufRead + Send + use<>, Fault> {
        let mut request =
            request.map_err(|error| self.errand.refused(kube::Error::BuildRequest(error)))?;
        // A compressed watch holds events back until a block is full.
        let identity = http::HeaderValue::from_static("identity");
        request
            .headers_mut()
            .insert(http::header::ACCEPT_ENCODING, identity);
        let patience = self.options.request_timeout;
        let used = self.access.current();
        match timeout(patience, used.client.request_stream(request)).await {
            Ok(answer) => answer.map_err(|error| {
                if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                    self.access.refused(&used);
                }
                self.errand.refused(error)
            }),
            Err(_) => Err(self.errand.timed_out(patience)),
        }
    }

    fn request<K: Object>(&self) -> Request {
        Request::new(K::RESOURCE.path(&self.errand.scope))
    }

    /// Whether the object is one that was asked for.
    pub(super) fn is_wanted<K: Object>(&self, object: &K) -> bool {
        let name = &object.meta().name;
        let wanted = !name.is_empty() && K::selector(&self.errand.scope).matches(object.meta());
        if !wanted {
            tracing::debug!(object = ?name, asked = %self.errand, "an object that was not asked for");
        }
        wanted
    }

    /// That so many objects are still believable.
    pub(super) fn limit(&self, objects: usize) -> Result<(), Fault> {
        if objects <= self.errand.resource.most {
            return Ok(());
        }
        Err(self.errand.corrupt("more objects than there can be", None))
    }
}
