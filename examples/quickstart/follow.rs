//! How long after each change the client goes by it.
//!
//! A change counts from the moment at which the API server has announced it, as seen by a watch of
//! this module's own beside the client's. A crash, which nobody announces, counts from the kill.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api,
    runtime::watcher::{self, Event, watcher},
};
use portolan::{Observer, ServiceRef, View};
use tokio::task::JoinSet;

use crate::Result;

type Addresses = BTreeSet<std::net::IpAddr>;

/// Compares what the API server says with what the client goes by.
#[derive(Debug)]
pub(crate) struct Follower {
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What the client goes by.
    followed: Addresses,
    /// What has been announced and not been followed yet.
    announced: Vec<(Instant, Addresses)>,
    /// An address that is about to be gone without an announcement.
    crashed: Option<(Instant, SocketAddr)>,
    report: Report,
}

/// How long it took the client to follow each change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) announced: Vec<Duration>,
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
        lock(&self.shared).report.clone()
    }
}

/// Follows the slices as any client could.
async fn announcements(slices: Api<EndpointSlice>, selector: String, shared: Arc<Mutex<Shared>>) {
    let mut known: Vec<(String, Addresses)> = Vec::new();
    let mut events = watcher(slices, watcher::Config::default().labels(&selector)).boxed();
    while let Some(event) = events.next().await {
        let (slice, is_there) = match event {
            Ok(Event::Apply(slice) | Event::InitApply(slice)) => (slice, true),
            Ok(Event::Delete(slice)) => (slice, false),
            _ => continue,
        };
        let name = slice.metadata.name.clone().unwrap_or_default();
        known.retain(|(other, _)| *other != name);
        if is_there {
            known.push((name, ready_addresses(&slice)));
        }
        let all: Addresses = known.iter().flat_map(|(_, ready)| ready).copied().collect();
        lock(&shared).announce(all);
    }
}

/// Follows the client.
async fn views(mut observer: Observer, shared: Arc<Mutex<Shared>>) {
    while let Some(view) = observer.changed().await {
        lock(&shared).follow(&view);
    }
}

impl Shared {
    fn announce(&mut self, addresses: Addresses) {
        let before = self
            .announced
            .last()
            .map_or(&self.followed, |(_, last)| last);
        // With nobody ready the client goes by those that still serve: that is another matter.
        if addresses == *before || addresses.is_empty() {
            return;
        }
        if addresses == self.followed {
            // The client's own watch was told first.
            self.announced.clear();
            self.report.announced.push(Duration::ZERO);
            return;
        }
        self.announced.push((Instant::now(), addresses));
    }

    fn follow(&mut self, view: &View) {
        let now = Instant::now();
        let endpoints = view.endpoints().iter();
        self.followed = endpoints.map(|one| one.endpoint.address().ip()).collect();
        if let Some(nth) = self
            .announced
            .iter()
            .position(|(_, set)| *set == self.followed)
        {
            // What came before and was passed over has been followed with it.
            let followed = self.announced.drain(..=nth).map(|(since, _)| now - since);
            self.report.announced.extend(followed);
        }
        if let Some((since, address)) = self.crashed
            && !self.followed.contains(&address.ip())
        {
            self.crashed = None;
            self.report.crashes.push(now - since);
        }
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
