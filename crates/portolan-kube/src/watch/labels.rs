//! The labels of Pods, joined onto the endpoints that a view comes to.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, stream};
use portolan_core::{Endpoint, EndpointSet, Resolution, SourceError, SourceErrorKind};
use tokio::{runtime::Handle, sync::Notify};

use super::{follow, informer::Update};
use crate::{cluster::Shared, object::Scope, pod::WirePod};

/// More labels than these nobody goes by, and each is a watch.
const MOST_LABELS: usize = 16;

type Resolutions = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

/// The same resolutions, where the endpoints have these labels of their Pods, and come anew whenever one changes.
pub(crate) fn with_labels(
    shared: &Arc<Shared>,
    namespace: String,
    labels: &[Arc<str>],
    resolutions: Resolutions,
) -> Resolutions {
    if let Some(error) = refusal(labels) {
        let failed = stream::iter([Resolution::Failed(error)]);
        return Box::pin(futures::StreamExt::chain(failed, stream::pending()));
    }
    let suspicion = Arc::new(Notify::new());
    let followed = labels.iter().map(|label| {
        let scope = Scope::Labelled {
            namespace: namespace.clone(),
            label: label.to_string(),
        };
        Followed {
            label: Arc::clone(label),
            updates: Box::pin(follow::informer::<WirePod>(shared, scope, &suspicion, 1)),
            known: None,
            failure: None,
        }
    });
    Box::pin(Labelled {
        followed: followed.collect(),
        resolutions,
        said: None,
        joined: Vec::new(),
        failure: None,
        changed: false,
        ready: VecDeque::new(),
    })
}

/// What is wrong with the labels asked for. What has no place in a name would select something else.
fn refusal(labels: &[Arc<str>]) -> Option<SourceError> {
    let is_name = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        !label.is_empty() && label.bytes().all(fits)
    };
    let message = match labels.iter().find(|label| !is_name(label)) {
        Some(label) => format!("`{}` is no name of a label", label.escape_debug()),
        None if labels.len() > MOST_LABELS => {
            format!(
                "{} labels of Pods are asked for, and each is a watch: at most {MOST_LABELS}",
                labels.len()
            )
        }
        None => return None,
    };
    Some(SourceError::new(SourceErrorKind::Invalid, message))
}

/// One label, watched.
struct Followed {
    label: Arc<str>,
    updates: Pin<Box<dyn Stream<Item = Update<WirePod>> + Send>>,
    /// By the name of the Pod; nothing until they were listed.
    known: Option<BTreeMap<String, Labels>>,
    failure: Option<SourceError>,
}

/// What is kept of a Pod.
#[derive(PartialEq)]
struct Labels {
    uid: String,
    value: Arc<str>,
}

struct Labelled {
    followed: Vec<Followed>,
    resolutions: Resolutions,
    /// What was said last of the endpoints, without labels.
    said: Option<Resolution>,
    /// What was said last with labels, in order, so that an endpoint that did not change stays the same.
    joined: Vec<Arc<Endpoint>>,
    /// Why nothing is learnt of the endpoints at present.
    failure: Option<SourceError>,
    /// Something is different since it was said.
    changed: bool,
    ready: VecDeque<Resolution>,
}

impl Stream for Labelled {
    type Item = Resolution;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Resolution>> {
        let this = self.get_mut();
        loop {
            if let Some(resolution) = this.ready.pop_front() {
                return Poll::Ready(Some(resolution));
            }
            while let Poll::Ready(said) = this.resolutions.as_mut().poll_next(context) {
                match said {
                    None => return Poll::Ready(None),
                    Some(Resolution::Failed(error)) => this.failure = Some(error),
                    Some(known) => {
                        this.said = Some(known);
                        this.failure = None;
                    }
                }
                this.changed = true;
            }
            // Without a runtime nothing can be watched, as the endpoints' own failure says.
            if Handle::try_current().is_ok() {
                for followed in &mut this.followed {
                    this.changed |= followed.poll(context);
                }
            }
            // Endpoints without the labels that are asked for look like others than they are, so the first ones are
            // waited for; where they cannot be had, that is said.
            let heard = |one: &Followed| one.known.is_some() || one.failure.is_some();
            let complete = this.failure.is_some() || this.followed.iter().all(heard);
            if !this.changed || !complete {
                return Poll::Pending;
            }
            this.changed = false;
            this.say();
        }
    }
}

impl Labelled {
    /// Says what is known, and then why it may be out of date.
    fn say(&mut self) {
        let labelled = self
            .followed
            .iter()
            .all(|one| one.known.is_some() || one.failure.is_some());
        let known = match self.said.clone().filter(|_| labelled) {
            Some(Resolution::Present(endpoints)) => {
                Some(Resolution::Present(self.join(&endpoints)))
            }
            other => other,
        };
        self.ready.extend(known);
        let mut failures = self.followed.iter().filter_map(|one| one.failure.as_ref());
        let failure = self.failure.as_ref().or_else(|| failures.next());
        self.ready.extend(failure.cloned().map(Resolution::Failed));
    }

    fn join(&mut self, endpoints: &EndpointSet) -> EndpointSet {
        let former = std::mem::take(&mut self.joined);
        let mut list = Vec::with_capacity(endpoints.len());
        for plain in endpoints.iter() {
            let labels = self.followed.iter().filter_map(|label| label.of(plain));
            let labelled = (**plain).clone().with_labels(labels);
            let place = |one: &Arc<Endpoint>| {
                one.placement()
                    .cmp(plain.placement())
                    .then_with(|| one.incarnation().cmp(&plain.incarnation()))
            };
            let same = former
                .binary_search_by(place)
                .ok()
                .and_then(|at| former.get(at));
            let same = same.filter(|same| ***same == labelled).cloned();
            list.push(same.unwrap_or_else(|| Arc::new(labelled)));
        }
        self.joined.clone_from(&list);
        EndpointSet::from_ordered(list)
            .with_reach(endpoints.reach())
            .with_internal_traffic(endpoints.internal_traffic())
            .with_session_affinity(endpoints.session_affinity())
    }
}

impl Followed {
    /// Takes up all there is. Whether anything is different.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let mut changed = false;
        while let Poll::Ready(Some(update)) = self.updates.as_mut().poll_next(context) {
            changed |= self.take_up(update);
        }
        changed
    }

    fn take_up(&mut self, update: Update<WirePod>) -> bool {
        let read = |pod: WirePod, label: &str| {
            let value = pod.metadata.labels.get(label)?.as_str().into();
            let uid = pod.metadata.uid;
            Some((pod.metadata.name, Labels { uid, value }))
        };
        let changed = match update {
            Update::Replaced(listed) => {
                let listed = listed.into_iter().filter_map(|pod| read(pod, &self.label));
                let listed = Some(listed.collect::<BTreeMap<_, _>>());
                let changed = self.known != listed;
                self.known = listed;
                changed
            }
            Update::Applied(pod) => match read(pod, &self.label) {
                Some((name, labels)) => {
                    let known = self.known.get_or_insert_default();
                    let changed = known.get(&name) != Some(&labels);
                    known.insert(name, labels);
                    changed
                }
                None => false,
            },
            Update::Deleted(pod) => {
                let known = self.known.get_or_insert_default();
                known.remove(&pod.metadata.name).is_some()
            }
            Update::Failed(error) => {
                self.failure = Some(error);
                return true;
            }
            Update::Recovered => false,
        };
        self.failure.take().is_some() || changed
    }

    /// The value for this Pod, and not for one that had its name before.
    fn of(&self, endpoint: &Endpoint) -> Option<(Arc<str>, Arc<str>)> {
        let labels = self.known.as_ref()?.get(endpoint.pod()?)?;
        let same = endpoint.uid().is_none_or(|uid| *uid == *labels.uid);
        same.then(|| (Arc::clone(&self.label), Arc::clone(&labels.value)))
    }
}
