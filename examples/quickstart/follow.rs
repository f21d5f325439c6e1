//! How long after each change the client goes by it.
//!
//! A change counts from the moment at which the API server has announced it, as seen by a watch of
//! this module's own beside the client's. A crash, which nobody announces, counts from the kill.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, ResourceExt,
    runtime::watcher::{self, Event, watcher},
};
use portolan::{Observer, ServiceRef, View};
use tokio::task::JoinSet;

use crate::{
    Result,
    pairing::{Addresses, Pairing},
};

/// Compares what the API server says with what the client goes by.
#[derive(Debug)]
pub(crate) struct Follower {
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: Pairing,
    /// An address that is about to be gone without an announcement.
    crashed: Option<(Instant, SocketAddr)>,
    crashes: Vec<Duration>,
}

/// How long it took the client to follow each change.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) announced: Vec<Duration>,
    pub(crate) unfollowed: usize,
    pub(crate) crashes: Vec<Duration>,
}

impl Follower {
    pub(crate) fn start(
        kube: kube::Client,
        service: ServiceRef,
        observer: Observer,
    ) -> Result<Self> {
        let namespace = service.namespace().ok_or("the Service has no namespace")?;
        let slices: Api<EndpointSlice> = Api::namespaced(kube, namespace);
        let selector = format!("kubernetes.io/service-name={}", service.name());
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(announcements(slices, selector, Arc::clone(&shared)));
        tasks.spawn(views(observer, Arc::clone(&shared)));
        Ok(Self {
            shared,
            _tasks: tasks,
        })
    }

    /// The Pod at `address` is about to be killed.
    pub(crate) fn expect_gone(&self, address: SocketAddr) {
        lock(&self.shared).crashed = Some((Instant::now(), address));
    }

    pub(crate) fn finish(self) -> Report {
        let shared = lock(&self.shared);
        Report {
            announced: shared.changes.delays().to_vec(),
            unfollowed: shared.changes.unfollowed(),
            crashes: shared.crashes.clone(),
        }
    }
}

/// Follows the slices as any client could.
async fn announcements(slices: Api<EndpointSlice>, selector: String, shared: Arc<Mutex<Shared>>) {
    let mut known: BTreeMap<String, Addresses> = BTreeMap::new();
    let mut events = watcher(slices, watcher::Config::default().labels(&selector)).boxed();
    while let Some(event) = events.next().await {
        // A list counts as a whole.
        match event {
            Ok(Event::Init) => {
                known.clear();
                continue;
            }
            Ok(Event::InitApply(slice)) => {
                known.insert(slice.name_any(), ready_addresses(&slice));
                continue;
            }
            Ok(Event::InitDone) => {}
            Ok(Event::Apply(slice)) => {
                known.insert(slice.name_any(), ready_addresses(&slice));
            }
            Ok(Event::Delete(slice)) => {
                known.remove(&slice.name_any());
            }
            Err(_) => continue,
        }
        let all = known.values().flatten().copied().collect();
        lock(&shared).changes.announce(Instant::now(), all);
    }
}

/// Follows the client.
async fn views(mut observer: Observer, shared: Arc<Mutex<Shared>>) {
    while let Some(view) = observer.changed().await {
        lock(&shared).follow(&view);
    }
}

impl Shared {
    fn follow(&mut self, view: &View) {
        let now = Instant::now();
        let endpoints = view.endpoints().iter();
        let followed: Addresses = endpoints.map(|one| one.endpoint.address().ip()).collect();
        if let Some((since, address)) = self.crashed
            && !followed.contains(&address.ip())
        {
            self.crashed = None;
            self.crashes.push(now - since);
        }
        self.changes.follow(now, followed);
    }
}

fn ready_addresses(slice: &EndpointSlice) -> Addresses {
    let endpoints = slice.endpoints.iter().flatten();
    endpoints
        .filter(|one| {
            one.conditions
                .as_ref()
                .and_then(|it| it.ready)
                .unwrap_or(true)
        })
        .flat_map(|one| one.addresses.first())
        .filter_map(|address| address.parse().ok())
        .collect()
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
