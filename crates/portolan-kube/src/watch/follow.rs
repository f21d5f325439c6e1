//! The task behind a watched Service: two informers in, and what else the views need; one resolution per
//! view out.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures::StreamExt as _;
use portolan_core::{Resolution, SourceError, SourceErrorKind};
use tokio::sync::{Notify, watch};

use super::{
    api::Collection,
    fault::Errand,
    hosts::{self, Hosts},
    informer::{Informer, Update},
    nodes::NodeShare,
    pace::Pace,
    registry::{Join, Key, Registration},
    stats::Counters,
    subscription::Latest,
};
use crate::{
    cluster::{Shared, WatchOptions},
    object::{Object, Scope},
    resolve::{Host, Needs, Nodes, ServiceState, Touched, View, World},
    service::{Service, WireService},
    slice::{Names, Rejected, Slice, WireSlice},
};

/// The Service object changes seldom, and while one of the two watches lives, so does the server:
/// this one is checked so many times less often. So are the Nodes.
pub(super) const SELDOM_CHANGES: u32 = 4;

/// Follows a Service for as long as somebody wants to know.
pub(super) async fn follow(shared: Arc<Shared>, key: Key, registration: Registration) {
    let suspicion = Arc::new(Notify::new());
    let scope = || Scope::Service {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
    };
    let slices = informer::<WireSlice>(&shared, scope(), &suspicion, 1);
    let service = informer::<WireService>(&shared, scope(), &suspicion, SELDOM_CHANGES);
    let (mut slices, mut service) = (pin!(slices), pin!(service));
    // What is not needed is not asked for. Slices that were needed once stay watched, for a Service that
    // changes its type may change it back.
    let mut follows_slices = false;
    let mut nodes: Option<NodeShare> = None;
    let mut hosts = Hosts::new(shared.hosts.clone());
    let mut following = Following::new(&key, Arc::clone(&shared.counters));
    tracing::debug!(service = following.world.name, "watching");
    loop {
        following.join(registration.take_joins());
        if following.views.is_empty() && registration.leave() {
            tracing::debug!(service = following.world.name, "nobody watches any more");
            return;
        }
        let needs = following.needs();
        follows_slices |= needs.slices;
        if needs.nodes != nodes.is_some() {
            nodes = needs.nodes.then(|| NodeShare::join(&shared));
        }
        hosts.follow(&needs.hosts);
        if registration.take_suspicion() {
            hosts.suspect();
        }
        following.forget_all_but(&needs);
        // Whoever came or went is heard first, so that a task that nobody needs ends at once even
        // while events pour in.
        tokio::select! {
            biased;
            () = registration.woken() => following.forget_those_who_left(),
            Some(update) = service.next() => following.on_service(update),
            Some(update) = slices.next(), if follows_slices => following.on_slices(update),
            (host, answer) = hosts.next() => following.on_host(host, answer),
            known = changed(&mut nodes) => following.on_nodes(known),
        }
    }
}

async fn changed(nodes: &mut Option<NodeShare>) -> Nodes {
    match nodes {
        Some(share) => share.changed().await,
        None => std::future::pending().await,
    }
}

pub(super) fn informer<K: Object>(
    shared: &Shared,
    scope: Scope,
    suspicion: &Arc<Notify>,
    patience: u32,
) -> impl futures::Stream<Item = Update<K>> + Send + use<K> {
    let WatchOptions {
        idle_timeout,
        backoff_initial,
        backoff_max,
        rewatch_interval,
        ..
    } = shared.options;
    let informer = Informer {
        collection: Collection {
            access: shared.access.clone(),
            errand: Errand {
                resource: K::RESOURCE,
                scope,
            },
            options: shared
                .options
                .clone()
                .idle_timeout(idle_timeout.saturating_mul(patience)),
            counters: Arc::clone(&shared.counters),
        },
        pace: Pace::new(
            backoff_initial,
            backoff_max,
            rewatch_interval,
            fastrand::Rng::new(),
        ),
        lists: Arc::clone(&shared.lists),
        streaming: Arc::clone(&shared.streaming),
        suspicion: Arc::clone(suspicion),
    };
    informer.follow()
}

struct Following {
    /// The Service's own name, without its namespace.
    name: Arc<str>,
    world: World,
    names: Names,
    views: Vec<Shown>,
    /// Why the slices, and the Service, are not heard of at present.
    slices_failure: Option<SourceError>,
    service_failure: Option<SourceError>,
    /// What was left out of each slice, so that it is said once and not with each event.
    rejected: BTreeMap<Arc<str>, Rejected>,
    counters: Arc<Counters>,
}

/// A view, and those who look at it.
struct Shown {
    view: View,
    /// What was published last, to be seen by whoever comes later.
    latest: Latest,
    /// What of it was known, and why nothing more is learnt at present.
    known: Option<Resolution>,
    failure: Option<SourceError>,
    told_of_families: bool,
    audience: Vec<watch::Sender<Latest>>,
}

impl Following {
    fn new(key: &Key, counters: Arc<Counters>) -> Self {
        Self {
            name: Arc::clone(&key.name),
            world: World::new(format!("{}.{}", key.name, key.namespace)),
            names: Names::default(),
            views: Vec::new(),
            slices_failure: None,
            service_failure: None,
            rejected: BTreeMap::new(),
            counters,
        }
    }

    fn join(&mut self, joins: Vec<Join>) {
        // Who came and left again before this task saw either may have woken it only once, and nothing
        // else would tell that they are gone.
        let present = |join: &Join| join.latest.receiver_count() > 0;
        for Join { want, latest } in joins.into_iter().filter(present) {
            let mut views = self.views.iter_mut();
            if let Some(shown) = views.find(|shown| shown.view.is(&want)) {
                shown.admit(latest);
                continue;
            }
            let mut shown = Shown {
                view: View::new(want),
                latest: Latest::default(),
                known: None,
                failure: None,
                told_of_families: false,
                audience: Vec::new(),
            };
            let failures = [&self.slices_failure, &self.service_failure];
            shown.resolve(&self.world, failures, &[]);
            shown.admit(latest);
            self.views.push(shown);
            self.note_families(true);
        }
    }

    fn forget_those_who_left(&mut self) {
        self.views.retain_mut(|shown| {
            shown.audience.retain(|sender| sender.receiver_count() > 0);
            !shown.audience.is_empty()
        });
    }

    fn on_slices(&mut self, update: Update<WireSlice>) {
        let whole = matches!(update, Update::Replaced(_));
        let touched = match update {
            Update::Replaced(listed) => self.replace_slices(listed),
            Update::Applied(slice) => {
                let before = self
                    .world
                    .slices
                    .get_or_insert_default()
                    .remove(slice.metadata.name.as_str());
                vec![self.put_slice(before, slice)]
            }
            Update::Deleted(slice) => {
                let name = slice.metadata.name;
                self.rejected.remove(name.as_str());
                let before = self
                    .world
                    .slices
                    .get_or_insert_default()
                    .remove(name.as_str());
                before
                    .map(|slice| Touched {
                        before: Some(slice),
                        after: None,
                    })
                    .into_iter()
                    .collect()
            }
            Update::Failed(error) => {
                self.slices_failure = Some(error);
                self.resolve(&[]);
                return;
            }
            Update::Recovered => Vec::new(),
        };
        self.slices_failure = None;
        self.resolve(&touched);
        self.note_families(whole);
    }

    /// Takes a full list for the truth. A slice that did not change stays the same object.
    fn replace_slices(&mut self, listed: Vec<WireSlice>) -> Vec<Touched> {
        let mut former = self
            .world
            .slices
            .replace(BTreeMap::new())
            .unwrap_or_default();
        let mut touched = Vec::new();
        self.rejected
            .retain(|name, _| listed.iter().any(|slice| slice.metadata.name == **name));
        for slice in listed {
            let before = former.remove(slice.metadata.name.as_str());
            match before {
                Some(known)
                    if known.version != 0 && slice.metadata.version() == Some(known.version) =>
                {
                    let slices = self.world.slices.get_or_insert_default();
                    slices.insert(Arc::clone(&known.name), known);
                }
                before => touched.push(self.put_slice(before, slice)),
            }
        }
        touched.extend(former.into_values().map(|slice| Touched {
            before: Some(slice),
            after: None,
        }));
        touched
    }

    /// Puts a slice in the place of its former self.
    fn put_slice(&mut self, before: Option<Arc<Slice>>, slice: WireSlice) -> Touched {
        let views = || self.views.iter().map(|shown| &shown.view);
        let world = &self.world;
        let (mut slice, rejected) = Slice::from_wire(slice, &mut self.names, |ports| {
            views().find_map(|view| view.likely_port(world, ports))
        });
        slice.share_with(before.as_deref(), |endpoint| {
            views().find_map(|view| view.known(endpoint))
        });
        self.note_rejected(&slice.name, rejected);
        let slice = Arc::new(slice);
        let slices = self.world.slices.get_or_insert_default();
        slices.insert(Arc::clone(&slice.name), Arc::clone(&slice));
        Touched {
            before,
            after: Some(slice),
        }
    }

    fn note_rejected(&mut self, slice: &Arc<str>, rejected: Rejected) {
        if rejected.is_empty() {
            self.rejected.remove(slice);
        } else if self.rejected.get(slice) != Some(&rejected) {
            let Rejected {
                names,
                addresses,
                ports,
                example,
            } = &rejected;
            self.counters.rejected.add(names + addresses + ports);
            tracing::warn!(
                service = self.world.name,
                slice = &**slice,
                names,
                addresses,
                ports,
                example,
                total = self.counters.rejected.read(),
                "left out what cannot be connected to"
            );
            self.rejected.insert(Arc::clone(slice), rejected);
        }
    }

    fn on_service(&mut self, update: Update<WireService>) {
        self.world.service = match update {
            Update::Replaced(listed) => match listed.into_iter().next() {
                Some(service) => known(service),
                None => ServiceState::Absent,
            },
            Update::Applied(service) => known(service),
            Update::Deleted(service) if service.meta().name != *self.name => return,
            Update::Deleted(_) => ServiceState::Absent,
            Update::Failed(error) => {
                let unseen = matches!(
                    self.world.service,
                    ServiceState::Unknown | ServiceState::Hidden(_)
                );
                if unseen && error.kind() == SourceErrorKind::Forbidden {
                    // The slices may be enough. What is published is what they come to. What was
                    // read before holds all the same: a watch that goes on later lists nothing.
                    self.hide_service(error);
                } else {
                    self.service_failure = Some(error);
                    self.resolve(&[]);
                }
                return;
            }
            Update::Recovered => self.world.service.clone(),
        };
        self.service_failure = None;
        self.resolve(&[]);
        self.note_families(true);
    }

    /// Says which views leave endpoints out for their family, once for each. Where the slices were
    /// not listed as a `whole`, the one with a Pod's other address may be still to come: then only
    /// a view that has nothing at all is worth a word.
    fn note_families(&mut self, whole: bool) {
        for shown in &mut self.views {
            let empty = matches!(&shown.known, Some(Resolution::Present(set)) if set.is_empty());
            if shown.told_of_families || !(whole || empty) {
                continue;
            }
            let endpoints = shown.view.without_address(&self.world);
            if endpoints > 0 {
                shown.told_of_families = true;
                self.counters.wrong_family.add(endpoints);
                tracing::warn!(
                    service = self.world.name,
                    families = ?shown.view.families(),
                    endpoints,
                    "left out endpoints that have no address of the only family in use; allow the \
                     other one with `Cluster::with_ip_families`"
                );
            }
        }
    }

    fn hide_service(&mut self, error: SourceError) {
        tracing::warn!(
            service = self.world.name,
            "the Service may not be read, so its slices alone are followed: a Service that does not \
             exist looks like one without endpoints, and its ports are known by name only"
        );
        self.world.service = ServiceState::Hidden(error);
        self.service_failure = None;
        self.resolve(&[]);
    }

    fn on_nodes(&mut self, nodes: Nodes) {
        self.world.nodes = nodes;
        self.resolve(&[]);
    }

    fn on_host(&mut self, host: Host, answer: Resolution) {
        let known = self.world.hosts.entry(host.clone()).or_default();
        hosts::note(known, &host, answer);
        self.resolve(&[]);
    }

    /// What all views need together.
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for shown in &self.views {
            needs.add(shown.view.needs());
        }
        needs
    }

    /// Forgets what is not followed any more, as it grows old.
    fn forget_all_but(&mut self, needs: &Needs) {
        if !needs.nodes {
            self.world.nodes = Nodes::default();
        }
        self.world
            .hosts
            .retain(|host, _| needs.hosts.contains(host));
    }

    fn resolve(&mut self, touched: &[Touched]) {
        let failures = [&self.slices_failure, &self.service_failure];
        for shown in &mut self.views {
            shown.resolve(&self.world, failures, touched);
        }
    }
}

impl Shown {
    fn admit(&mut self, sender: watch::Sender<Latest>) {
        sender.send_replace(self.latest.clone());
        self.audience.push(sender);
    }

    fn resolve(
        &mut self,
        world: &World,
        [of_slices, of_service]: [&Option<SourceError>; 2],
        touched: &[Touched],
    ) {
        let resolved = self.view.resolve(world, touched);
        let of_slices = of_slices.as_ref().filter(|_| self.view.needs().slices);
        let failure = of_slices.or(of_service.as_ref());
        let failure = failure.or_else(|| self.view.failure(world));
        let (known, refused) = match resolved {
            Some(Resolution::Failed(error)) => (None, Some(error)),
            known => (known, None),
        };
        self.publish(known, failure.cloned().or(refused));
    }

    /// Says what is new of this. What is known is said first, for it still holds.
    fn publish(&mut self, known: Option<Resolution>, failure: Option<SourceError>) {
        let mut said = false;
        if let Some(known) = known {
            let before = self.known.as_ref();
            let new = !before.is_some_and(|before| is_same(before, &known));
            let mended = self.failure.is_some() && failure.is_none();
            if new || mended {
                self.latest.publish(known.clone());
                (self.known, self.failure) = (Some(known), None);
                said = true;
            }
        }
        if let Some(failure) = failure {
            let before = self.failure.as_ref();
            if !before.is_some_and(|before| is_same_failure(before, &failure)) {
                self.latest.publish(Resolution::Failed(failure.clone()));
                self.failure = Some(failure);
                said = true;
            }
        }
        if said {
            for sender in &self.audience {
                sender.send_replace(self.latest.clone());
            }
        }
    }
}

fn is_same(before: &Resolution, now: &Resolution) -> bool {
    match (before, now) {
        (Resolution::Present(before), Resolution::Present(now)) => before.is_same(now),
        (Resolution::Absent, Resolution::Absent) => true,
        _ => false,
    }
}

fn is_same_failure(before: &SourceError, now: &SourceError) -> bool {
    before.kind() == now.kind() && before.to_string() == now.to_string()
}

fn known(service: WireService) -> ServiceState {
    ServiceState::Known(Arc::new(Service::from(service)))
}
