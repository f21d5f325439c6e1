//! How soon a balancer follows the Pods, and whether it keeps to what it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use portolan::Observer;
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

use crate::{
    arena::Arena,
    caller::Caller,
    failure::{Failure, Result},
    load::Record,
};

/// Notes when each Pod of a namespace comes to take requests or ceases to, when the slices say so,
/// and when the balancer goes by it.
#[derive(Debug)]
pub struct Following {
    notes: Arc<Mutex<Notes>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Debug, Default)]
struct Notes {
    /// Of the Pods, as a watch of theirs tells.
    pods: Vec<Note>,
    /// Of the slices, likewise.
    slices: Vec<Note>,
    /// Of the balancer.
    balancer: Vec<Note>,
}

/// From `at` on, the Pod of this UID takes requests, or does not.
#[derive(Clone, Debug)]
struct Note {
    at: Instant,
    uid: String,
    takes: bool,
}

/// How long after each change the balancer followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// After the Pod's own change: the control plane takes its time, too.
    of_pods: Lags,
    /// After the slice's: this is Portolan's part.
    of_slices: Lags,
    balancer: Vec<Note>,
}

/// Times, in order.
#[derive(Clone, Debug, Default)]
struct Lags(Vec<Duration>);

impl Following {
    /// Starts to take notes, of a balancer that goes by all Pods of the namespace, and returns when
    /// no change can be missed any more.
    ///
    /// # Errors
    /// If the Pods cannot be watched.
    pub async fn start(arena: &Arena, caller: &Caller) -> Result<Self> {
        let notes = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(note_balancer(caller.observe(), Arc::clone(&notes)));
        let (client, namespace) = (arena.client(), arena.namespace());
        let (listed, pods_listed) = oneshot::channel();
        let pods = Api::namespaced(client.clone(), namespace);
        tasks.spawn(note_pods(pods, Arc::clone(&notes), listed));
        let (listed, slices_listed) = oneshot::channel();
        let slices = Api::namespaced(client, namespace);
        tasks.spawn(note_slices(slices, Arc::clone(&notes), listed));
        pods_listed.await?;
        slices_listed.await?;
        Ok(Self {
            notes,
            _tasks: tasks,
        })
    }

    /// Evaluates the notes. Call it when the balancer has caught up.
    ///
    /// # Errors
    /// If a change was never followed, though nothing took it back.
    pub fn finish(self) -> Result<Followed> {
        let Notes {
            pods,
            slices,
            balancer,
        } = lock(&self.notes).clone();
        Ok(Followed {
            of_pods: lags(&pods, &balancer)?,
            of_slices: lags(&slices, &balancer)?,
            balancer,
        })
    }
}

/// How long after each of `changes` the balancer did the same.
fn lags(changes: &[Note], balancer: &[Note]) -> Result<Lags> {
    let mut lags = Vec::new();
    for (place, change) in changes.iter().enumerate() {
        let mut later = changes.iter().skip(place + 1);
        let taken_back = later.any(|other| other.uid == change.uid);
        // Before the Pod's former change, the balancer cannot have meant this one.
        let former = changes
            .iter()
            .take(place)
            .rfind(|other| other.uid == change.uid);
        let followed = balancer.iter().find(|note| {
            note.uid == change.uid
                && note.takes == change.takes
                && former.is_none_or(|former| note.at >= former.at)
        });
        match followed {
            // The balancer may hear of it first.
            Some(note) => lags.push(note.at.saturating_duration_since(change.at)),
            None if taken_back => {}
            None => return Err(Failure::new(format_args!("nobody followed {change:?}"))),
        }
    }
    lags.sort();
    Ok(Lags(lags))
}

impl Lags {
    /// The time within which so many of a hundred changes were followed.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Lags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(f, "p50 {:.1} ms, p99 {:.1} ms", ms(50), ms(99))
    }
}

impl Followed {
    /// Notes how it was in the test's output.
    ///
    /// # Errors
    /// If fewer than `least` changes of Pods were seen, or if the slowest took longer than a busy
    /// machine explains: 5 s from the Pod, 1 s from the slice.
    pub fn report(&self, arena: &Arena, least: usize) -> Result {
        arena.note(self);
        if self.of_pods.0.len() < least {
            return Err(Failure::new(format_args!(
                "expected {least} changes: {self}"
            )));
        }
        let slowest = [self.of_pods.percentile(100), self.of_slices.percentile(100)];
        if slowest
            .into_iter()
            .zip([5, 1])
            .any(|(took, most)| took > Duration::from_secs(most))
        {
            return Err(Failure::new(format_args!("too slow: {self}")));
        }
        Ok(())
    }

    /// Fails if a Pod answered a request that was asked for after the balancer had let go of it.
    ///
    /// # Errors
    /// Which Pod, and how much later.
    pub fn expect_obeyed(&self, record: &Record) -> Result {
        for sent in record.all() {
            let Ok(answer) = &sent.result else { continue };
            let mut notes = self.balancer.iter().filter(|note| note.uid == answer.uid);
            let last = notes.by_ref().take_while(|note| note.at < sent.at).last();
            // It may have come back between the question and the answer, and been noted after it.
            let until = sent.at + sent.took + Duration::from_secs(1);
            let came_back = self.balancer.iter().any(|note| {
                note.uid == answer.uid && note.takes && note.at >= sent.at && note.at <= until
            });
            if let Some(note) = last.filter(|note| !note.takes && !came_back) {
                let (late, pod) = (sent.at - note.at, &answer.pod);
                let message = format_args!("{pod} answered a request {late:?} after it was let go");
                return Err(Failure::new(message));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of_pods, of_slices, ..
        } = self;
        let changes = of_pods.0.len();
        write!(
            f,
            "{changes} changes followed, from Pods {of_pods}, from slices {of_slices}"
        )
    }
}

async fn note_balancer(mut observer: Observer, notes: Arc<Mutex<Notes>>) {
    let mut before = BTreeSet::new();
    while let Some(view) = observer.changed().await {
        let uids = view.endpoints().iter().filter_map(|one| one.endpoint.uid());
        let now: BTreeSet<String> = uids.map(ToString::to_string).collect();
        lock(&notes).balancer.extend(changes(&before, &now));
        before = now;
    }
}

async fn note_pods(pods: Api<Pod>, notes: Arc<Mutex<Notes>>, listed: oneshot::Sender<()>) {
    let mut events = watcher::watcher(pods, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let mut listing = Some(listed);
    while let Some(event) = events.next().await {
        let (pod, takes) = match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                let takes = takes_requests(&pod);
                (pod, takes)
            }
            Ok(Event::Delete(pod)) => (pod, false),
            Ok(Event::InitDone) => {
                end_of_list(&mut listing);
                continue;
            }
            _ => continue,
        };
        let uid = pod.uid().unwrap_or_default();
        let before = known.insert(uid.clone(), takes).unwrap_or(false);
        if before != takes && listing.is_none() {
            lock(&notes).pods.push(Note {
                at: Instant::now(),
                uid,
                takes,
            });
        }
    }
}

async fn note_slices(
    slices: Api<EndpointSlice>,
    notes: Arc<Mutex<Notes>>,
    listed: oneshot::Sender<()>,
) {
    let mut events = watcher::watcher(slices, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut before = BTreeSet::new();
    let mut listing = Some(listed);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(slice) | Event::InitApply(slice)) => {
                known.insert(slice.name_any(), ready_pods(&slice));
            }
            Ok(Event::Delete(slice)) => drop(known.remove(&slice.name_any())),
            Ok(Event::InitDone) => end_of_list(&mut listing),
            _ => continue,
        }
        let now: BTreeSet<String> = known.values().flatten().cloned().collect();
        if listing.is_none() {
            lock(&notes).slices.extend(changes(&before, &now));
        }
        before = now;
    }
}

/// Tells who waits for the first list that it is there. A second one is waited for by nobody.
fn end_of_list(listing: &mut Option<oneshot::Sender<()>>) {
    if let Some(listed) = listing.take() {
        listed.send(()).ok();
    }
}

/// Who takes requests now and did not before, and the other way round.
fn changes(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<Note> {
    let at = Instant::now();
    let note = |uid: &String, takes| Note {
        at,
        uid: uid.clone(),
        takes,
    };
    let gone = before.difference(now).map(|uid| note(uid, false));
    let new = now.difference(before).map(|uid| note(uid, true));
    gone.chain(new).collect()
}

fn ready_pods(slice: &EndpointSlice) -> BTreeSet<String> {
    let endpoints = slice.endpoints.iter().flatten();
    let ready = endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true)
    });
    ready
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone())
        .collect()
}

/// What the controller makes of a Pod, for a Service that does not publish unready addresses.
fn takes_requests(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
