//! What is asked of the API server: a list, a watch.

use std::{pin::Pin, sync::Arc};

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use kube::{
    api::{ListParams, WatchParams},
    core::Request,
};
use tokio::time::timeout;

use super::{
    body::{Counted, Lines, PAGE_LIMIT, ReadError},
    fault::{Errand, Fault},
    listing::Listing,
    stats::Counters,
};
use crate::{
    cluster::{Access, WatchOptions},
    object::{ListMeta, Object},
};

/// Objects in a page of a list of who knows how many, as many as client-go asks for.
const PAGE: u32 = 500;
/// A page may be empty and not the last, but not for ever.
const PAGES_LIMIT: usize = 1_000;

/// The body of a watch.
pub(super) type Body = Lines<Answer>;

type Answer = Counted<Pin<Box<dyn AsyncBufRead + Send>>>;

/// One collection of the API, as far as its errand is concerned. Each request is answered, refused
/// or given up within [`WatchOptions::request_timeout`].
pub(super) struct Collection {
    pub(super) access: Access,
    pub(super) errand: Errand,
    pub(super) options: WatchOptions,
    pub(super) counters: Arc<Counters>,
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
        Ok(Lines::new(answer))
    }

    /// All objects, as of now, and the version of the whole.
    ///
    /// Where they are few, one answer has them all: a server that keeps to a limit may have to ask etcd.
    /// One that sends them by pages all the same is followed.
    pub(super) async fn list<K: Object>(&self) -> Result<(Vec<K>, String), Fault> {
        let selector = K::selector(&self.errand.scope);
        let mut params = ListParams {
            label_selector: selector.labels(),
            field_selector: selector.fields(),
            limit: (!self.is_narrow::<K>()).then_some(PAGE),
            ..ListParams::default()
        };
        let mut all = Vec::new();
        for _ in 0..PAGES_LIMIT {
            let page = self.page(&params, &mut all).await?;
            if page.next_page.is_empty() {
                let version = page.resource_version;
                if version.is_empty() {
                    return Err(self.errand.corrupt("a list without a version", None));
                }
                return Ok((all, version));
            }
            params.continue_token = Some(page.next_page);
        }
        Err(self.errand.corrupt("a list without an end", None))
    }

    /// Adds the objects of one answer, each of which is decoded while the next ones are under way.
    async fn page<K: Object>(
        &self,
        params: &ListParams,
        all: &mut Vec<K>,
    ) -> Result<ListMeta, Fault> {
        let mut answer = self.send(self.request::<K>().list(params)).await?;
        let patience = self.options.request_timeout;
        let unparsable = |error| {
            self.errand
                .corrupt("a list that cannot be parsed", Some(error))
        };
        let mut add = |objects: Vec<K>| {
            all.extend(objects.into_iter().filter(|object| self.is_wanted(object)));
            self.limit(all.len())
        };
        let mut listing = Listing::default();
        let mut left = PAGE_LIMIT;
        loop {
            let read = match timeout(patience, answer.fill_buf()).await {
                Ok(read) => read.map_err(|error| self.errand.unread(ReadError::Broken(error)))?,
                Err(_) => return Err(self.errand.timed_out(patience)),
            };
            if read.is_empty() {
                let (last, metadata) = listing.finish().map_err(unparsable)?;
                add(last)?;
                return Ok(metadata);
            }
            let used = read.len();
            left = left
                .checked_sub(used)
                .ok_or_else(|| self.errand.unread(ReadError::TooLong(PAGE_LIMIT)))?;
            add(listing.push(read).map_err(unparsable)?)?;
            answer.consume_unpin(used);
        }
    }

    /// Sends a request and waits for the head of the answer.
    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Answer, Fault> {
        let mut request =
            request.map_err(|error| self.errand.refused(kube::Error::BuildRequest(error)))?;
        // A compressed watch holds events back until a block is full.
        let identity = http::HeaderValue::from_static("identity");
        request
            .headers_mut()
            .insert(http::header::ACCEPT_ENCODING, identity);
        let patience = self.options.request_timeout;
        let used = self.access.current();
        self.counters.requests.add(1);
        let answer = match timeout(patience, used.client.request_stream(request)).await {
            Ok(answer) => answer.map_err(|error| {
                if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                    self.access.refused(&used);
                }
                self.errand.refused(error)
            })?,
            Err(_) => return Err(self.errand.timed_out(patience)),
        };
        let reader: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(answer);
        Ok(Counted::new(reader, Arc::clone(&self.counters)))
    }

    fn request<K: Object>(&self) -> Request {
        Request::new(K::RESOURCE.path(&self.errand.scope))
    }

    /// Whether there are few objects at most.
    pub(super) fn is_narrow<K: Object>(&self) -> bool {
        K::selector(&self.errand.scope).is_narrow()
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
