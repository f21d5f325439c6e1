//! How soon a balancer follows the Pods, and whether it keeps to what it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
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

/// Notes when each Pod of a namespace comes to take requests or ceases to, and when the balancer
/// does as much.
#[derive(Debug)]
pub struct Following {
    notes: Arc<Mutex<Notes>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Debug, Default)]
struct Notes {
    /// Of the Pods, as a watch of theirs tells.
    pods: Vec<Note>,
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

/// How long after each change of a Pod the balancer followed.
#[derive(Clone, Debug)]
pub struct Followed {
    lags: Vec<Duration>,
    balancer: Vec<Note>,
}

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
        let pods = Api::namespaced(arena.client(), arena.namespace());
        let (listed, all_listed) = oneshot::channel();
        tasks.spawn(note_pods(pods, Arc::clone(&notes), listed));
        all_listed.await?;
        Ok(Self { notes, _tasks: tasks })
    }

    /// Evaluates the notes. Call it when the balancer has caught up.
    ///
    /// # Errors
    /// If a change was never followed, though nothing took it back.
    pub fn finish(self) -> Result<Followed> {
        let Notes { pods, balancer } = lock(&self.notes).clone();
        let mut lags = Vec::new();
        for (place, change) in pods.iter().enumerate() {
            let later = pods.get(place + 1..).unwrap_or_default();
            let taken_back = later.iter().any(|other| other.uid == change.uid);
            // Before the Pod's former change, the balancer cannot have meant this one.
            let former = pods.get(..place).unwrap_or_default();
            let former = former.iter().rfind(|other| other.uid == change.uid);
            let followed = balancer.iter().find(|note| {
                note.uid == change.uid
                    && note.takes == change.takes
                    && former.is_none_or(|former| note.at >= former.at)
            });
            match followed {
                // The balancer may hear of it first.
                Some(note) => lags.push(note.at.saturating_duration_since(change.at)),
                None if taken_back => {}
                None => {
                    let message = format_args!("the balancer never followed {change:?}");
                    return Err(Failure::new(message));
                }
            }
        }
        lags.sort();
        Ok(Followed { lags, balancer })
    }
}

impl Followed {
    /// The time within which so many of a hundred changes were followed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.lags.len().saturating_sub(1);
        self.lags.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
    }

    /// Says how it was, in one line of the test's output.
    ///
    /// # Errors
    /// If fewer than `least` changes were seen, or the slowest took more than 5 s: what a busy
    /// machine needs, and far from what is promised.
    pub fn report(&self, arena: &Arena, least: usize) -> Result {
        // Not by the macro, whose output a test that passes swallows.
        writeln!(std::io::stdout(), "    {}: followed {self}", arena.namespace())?;
        if self.lags.len() < least {
            return Err(Failure::new(format_args!("expected {least} changes: {self}")));
        }
        if self.percentile(100) > Duration::from_secs(5) {
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
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        let (p50, p99) = (ms(50), ms(99));
        write!(f, "{} changes of Pods, p50 {p50:.1} ms, p99 {p99:.1} ms", self.lags.len())
    }
}

async fn note_balancer(mut observer: Observer, notes: Arc<Mutex<Notes>>) {
    let mut before = BTreeSet::new();
    while let Some(view) = observer.changed().await {
        let at = Instant::now();
        let uids = view.endpoints().iter().filter_map(|one| one.endpoint.uid());
        let now: BTreeSet<String> = uids.map(str::to_owned).collect();
        let note = |uid: &String, takes| Note { at, uid: uid.clone(), takes };
        let gone = before.difference(&now).map(|uid| note(uid, false));
        let new = now.difference(&before).map(|uid| note(uid, true));
        lock(&notes).balancer.extend(gone.chain(new));
        before = now;
    }
}

async fn note_pods(pods: Api<Pod>, notes: Arc<Mutex<Notes>>, listed: oneshot::Sender<()>) {
    let mut events = watcher::watcher(pods, watcher::Config::default()).default_backoff().boxed();
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
                // Nobody listens the second time, nor has to.
                listing.take().map(|listed| listed.send(()));
                continue;
            }
            _ => continue,
        };
        let uid = pod.uid().unwrap_or_default();
        let before = known.insert(uid.clone(), takes).unwrap_or(false);
        if before != takes && listing.is_none() {
            lock(&notes).pods.push(Note { at: Instant::now(), uid, takes });
        }
    }
}

/// What the controller makes of a Pod, for a Service that does not publish unready addresses.
fn takes_requests(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
