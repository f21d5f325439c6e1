//! How long after each change the client goes by it.
//!
//! A change counts from the moment at which the API server has announced it, as seen by a watch of this
//! module's own beside the client's; a kill, which nobody announces, from the kill.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use portolan::{Observer, ServiceRef, View};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    Result,
    lags::{Change, Kind, Note, lags},
    story::Step,
};

/// Compares what the API server says with what the client goes by.
#[derive(Debug)]
pub(crate) struct Follower {
    notes: Arc<Mutex<Notes>>,
    since: Since,
    _tasks: JoinSet<()>,
}

/// What the client is measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// The Pod itself: what the control plane takes is in it.
    Pod,
    /// The Service's EndpointSlices, which are all that a client may watch in most clusters.
    Slice,
}

#[derive(Debug, Default)]
struct Notes {
    step: Option<Step>,
    changes: Vec<Change>,
    client: Vec<Note>,
}

/// How long it took the client to follow each change.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) since: Since,
    pub(crate) lags: Vec<(Kind, Option<Duration>)>,
}

/// Those that take requests.
type Ready = BTreeSet<String>;

/// So many changes are compared; a long run's first ones are.
const MAX_NOTES: usize = 10_000;

impl Follower {
    /// Goes by the Pods of a namespace, all of which are of the Service.
    pub(crate) fn of_pods(kube: kube::Client, namespace: &str, observer: Observer) -> Self {
        let pods: Api<Pod> = Api::namespaced(kube, namespace);
        Self::start(pods, "", ready_pod, Since::Pod, observer)
    }

    /// Goes by the EndpointSlices of a Service.
    pub(crate) fn of_slices(
        kube: kube::Client,
        service: &ServiceRef,
        observer: Observer,
    ) -> Result<Self> {
        let namespace = service.namespace().ok_or("the Service has no namespace")?;
        let slices: Api<EndpointSlice> = Api::namespaced(kube, namespace);
        let labels = format!("kubernetes.io/service-name={}", service.name());
        let since = Since::Slice;
        Ok(Self::start(
            slices,
            &labels,
            ready_in_slice,
            since,
            observer,
        ))
    }

    fn start<K>(
        api: Api<K>,
        labels: &str,
        ready: fn(&K) -> Ready,
        since: Since,
        observer: Observer,
    ) -> Self
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let mut tasks = JoinSet::new();
        let config = watcher::Config::default().labels(labels);
        tasks.spawn(announcements(api, config, ready, Arc::clone(&notes)));
        tasks.spawn(views(observer, Arc::clone(&notes)));
        Self {
            notes,
            since,
            _tasks: tasks,
        }
    }

    /// What changes from now on belongs to this step.
    pub(crate) fn step(&self, step: Step) {
        lock(&self.notes).step = Some(step);
    }

    /// The Pod of this UID is killed now.
    pub(crate) fn killed(&self, pod: &str) {
        lock(&self.notes).change(Note {
            at: Instant::now(),
            pod: pod.to_owned(),
            takes: false,
        });
    }

    pub(crate) fn finish(self) -> Report {
        let notes = lock(&self.notes);
        Report {
            since: self.since,
            lags: lags(&notes.changes, &notes.client),
        }
    }
}

/// Follows the objects as any client could.
async fn announcements<K>(
    api: Api<K>,
    config: watcher::Config,
    ready: fn(&K) -> Ready,
    notes: Arc<Mutex<Notes>>,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let mut known: BTreeMap<String, Ready> = BTreeMap::new();
    let mut before: Option<Ready> = None;
    let mut events = watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        // A list counts as a whole. An error is the client's to tell of.
        match event {
            Ok(Event::Init) => {
                known.clear();
                continue;
            }
            Ok(Event::InitApply(one)) => {
                known.insert(one.name_any(), ready(&one));
                continue;
            }
            Ok(Event::Apply(one)) => drop(known.insert(one.name_any(), ready(&one))),
            Ok(Event::Delete(one)) => drop(known.remove(&one.name_any())),
            Ok(Event::InitDone) => {}
            Err(_) => continue,
        }
        let now: Ready = known.values().flatten().cloned().collect();
        // With nobody ready the client goes by those that still serve: that is another matter.
        if now.is_empty() {
            continue;
        }
        // Where it starts from is no change.
        if let Some(before) = &before {
            let mut notes = lock(&notes);
            differences(before, &now).for_each(|note| notes.change(note));
        }
        before = Some(now);
    }
}

/// Follows the client.
async fn views(mut observer: Observer, notes: Arc<Mutex<Notes>>) {
    let mut before = Ready::new();
    while let Some(view) = observer.changed().await {
        let now = followed(&view);
        let mut notes = lock(&notes);
        let room = MAX_NOTES.saturating_sub(notes.client.len());
        notes.client.extend(differences(&before, &now).take(room));
        before = now;
    }
}

impl Notes {
    /// Unless it is known already: a Pod that was killed is not ready later, too.
    fn change(&mut self, note: Note) {
        let former = self.changes.iter().rfind(|it| it.note.pod == note.pod);
        let is_known = former.is_some_and(|former| former.note.takes == note.takes);
        if !is_known && self.changes.len() < MAX_NOTES {
            let step = self.step;
            self.changes.push(Change { note, step });
        }
    }
}

/// Who takes requests now and did not before, and the other way round.
fn differences<'a>(before: &'a Ready, now: &'a Ready) -> impl Iterator<Item = Note> + 'a {
    let at = Instant::now();
    let note = move |pod: &String, takes| Note {
        at,
        pod: pod.clone(),
        takes,
    };
    let gone = before.difference(now).map(move |pod| note(pod, false));
    gone.chain(now.difference(before).map(move |pod| note(pod, true)))
}

fn followed(view: &View) -> Ready {
    let endpoints = view.endpoints().iter().map(|one| &one.endpoint);
    endpoints
        .map(|one| match one.uid() {
            Some(uid) => uid.to_string(),
            None => one.address().ip().to_string(),
        })
        .collect()
}

/// What the control plane makes of a Pod, for a Service that does not publish unready addresses.
fn ready_pod(pod: &Pod) -> Ready {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.any(|it| it.type_ == "Ready" && it.status == "True");
    let takes = is_ready && pod.metadata.deletion_timestamp.is_none();
    pod.uid().filter(|_| takes).into_iter().collect()
}

fn ready_in_slice(slice: &EndpointSlice) -> Ready {
    let endpoints = slice.endpoints.iter().flatten().filter(|one| {
        let conditions = one.conditions.as_ref();
        conditions.and_then(|it| it.ready).unwrap_or(true)
    });
    endpoints
        .filter_map(|one| {
            let uid = one.target_ref.as_ref().and_then(|pod| pod.uid.clone());
            uid.or_else(|| one.addresses.first().cloned())
        })
        .collect()
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
