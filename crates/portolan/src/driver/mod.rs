//! The task that follows one Service: the only writer of its snapshots.
//!
//! It takes up what the source says and what requests report, and publishes a new snapshot for each
//! change. It is driven by a task of its own, so that connecting, healing and removal never wait for
//! traffic.

mod attendance;
mod guarded;
mod members;
mod pace;
mod part;
mod probe;
mod report;
mod resilience;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::BoxStream};
use portolan_core::{
    Candidate, Candidates, Change, EndpointSet, Freshness, InternalTraffic, Location, Membership,
    Policy, Resolution, Snapshot, Source, SourceError, SourceErrorKind, eligible, reconcile,
};
use tokio::{
    sync::Notify,
    task::{AbortHandle, yield_now},
    time::{Instant, sleep},
};

use crate::{
    MakeEndpoint, TrafficRules,
    balance::{Published, Reached},
    latest::Latest,
};
pub(crate) use attendance::Attendance;
#[cfg(feature = "http")]
pub(crate) use attendance::Companion;
use members::Members;
use pace::Pace;
use part::Part;
use report::Report;
use resilience::Resilience;

/// Follows the Service for one balancer.
pub(crate) struct Driver<M: MakeEndpoint> {
    published: Arc<Published<M::Service>>,
    policy: Arc<dyn Policy>,
    source: Arc<dyn Source>,
    resolutions: BoxStream<'static, Resolution>,
    membership: Membership,
    members: Members<M>,
    freshness: Freshness,
    /// The endpoints are older than they may be.
    expired: bool,
    generation: u64,
    /// The policy [goes by identity](Policy::is_by_identity).
    by_identity: bool,
    part: Part,
    /// An endpoint was reached, or could not be; or it is well, or not.
    reachability: Arc<Notify>,
    report: Report,
    resilience: Resilience,
}

/// Stops the driver when it is dropped, with the last handle on the balancer.
#[derive(Debug)]
pub(crate) struct DriverGuard(AbortHandle);

impl Drop for DriverGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<M: MakeEndpoint> Driver<M> {
    pub(crate) fn new(
        published: Arc<Published<M::Service>>,
        make: M,
        policy: Arc<dyn Policy>,
        source: Arc<dyn Source>,
        attendance: Attendance<M::Service>,
    ) -> Self {
        let resolutions = source.watch(&published.service);
        let reachability = Arc::new(Notify::new());
        let report = Report::of(&published.service, published.clock.now());
        let by_identity = guarded::is_by_identity(&*policy);
        published.by_identity.store(by_identity, Ordering::Relaxed);
        let now = published.clock.now();
        let subset = published.settings.subset.clone();
        if by_identity && subset.is_some() {
            tracing::warn!(
                service = %published.service,
                "the policy goes by identity, so that each key has one place: the subset is passed over"
            );
        }
        Self {
            members: Members::new(
                make,
                Arc::clone(&reachability),
                attendance,
                Arc::clone(&published.tally),
            ),
            resilience: Resilience::new(&published.settings, by_identity, now),
            published,
            part: Part::of(subset.filter(|_| !by_identity)),
            by_identity,
            policy,
            source,
            resolutions,
            membership: Membership::default(),
            freshness: Freshness::Pending,
            expired: false,
            generation: 0,
            reachability,
            report,
        }
    }

    /// Starts the task.
    pub(crate) fn spawn(self, runtime: &tokio::runtime::Handle) -> DriverGuard {
        DriverGuard(runtime.spawn(self.run()).abort_handle())
    }

    async fn run(mut self) {
        // Requests that wait are told when this ends, however it does: by the last handle's drop
        // nobody waits any more, but a runtime may be shut down at any time.
        let _closing = Closing(Arc::clone(&self.published));
        let mut pace = Pace::new();
        let mut follows = true;
        let (mut news, mut seen) = (Latest::default(), 0);
        let mut changes = guarded::changes(&*self.policy);
        loop {
            let (mut reachability, mut rebuild, mut rung) = (false, false, false);
            let left = self.next_look();
            tokio::select! {
                said = self.resolutions.next(), if follows => news.put(self.heard(said, &mut follows)),
                () = self.reachability.notified() => reachability = true,
                () = self.published.reported.notified() => {}
                () = self.published.shutdown.is_over() => {
                    self.end();
                    return;
                }
                Some(()) = changes.next() => rebuild = true,
                () = self.resilience.rung() => rung = true,
                () = self.part.changed() => rebuild = true,
                () = sleep(left.unwrap_or_default()), if left.is_some() => {}
            }
            // The first change is published at once. While more come than can be published, only
            // the newest counts: a resolution is whole, so nothing is lost with those between.
            while let Some(rest) = pace.rest() {
                tokio::select! {
                    () = rest => break,
                    said = self.resolutions.next(), if follows => news.put(self.heard(said, &mut follows)),
                    // One that always has changed is as good as one that has.
                    Some(()) = changes.next(), if !rebuild => rebuild = true,
                }
            }
            let former = pace.work(|since| {
                let mut learnt = false;
                while let Some(resolution) = news.next(&mut seen) {
                    learnt |= self.learn(resolution);
                }
                learnt |= self.expire();
                let unreachable = self.published.take_unreachable();
                let mut suspicious = !unreachable.is_empty();
                self.members.look_after(unreachable);
                // Only where there was word of it: looking at each of 10,000 takes its time.
                reachability |= self.reachability.notified().now_or_never().is_some();
                let moved = reachability && self.members.changed(self.generation + 1);
                suspicious |= moved && self.members.any_out_of_reach();
                if suspicious {
                    self.source.suspect(&self.published.service);
                }
                let looks = rung || learnt || moved || self.resilience.is_due(&self.published);
                let health = looks && self.resilience.look(&self.published, &self.membership);
                self.report.counted(&self.published.counters());
                // Before the first word of the source there is nothing to publish.
                let told = !matches!(self.freshness, Freshness::Pending) && !self.part.is_pending();
                let publish = told && (moved || learnt || rebuild || health);
                publish.then(|| self.publish(since))
            });
            if let Some(former) = former {
                // Whoever waited for the change goes first.
                yield_now().await;
                drop(former);
            }
        }
    }

    /// Lets go of all endpoints: their connections close as soon as they are idle.
    fn end(&mut self) {
        let gone = self.members.keep_only(u64::MAX, &Membership::default());
        self.published.shutdown.depart(gone);
        drop(self.published.store(Snapshot::pending()));
    }

    /// A source that ends has given up. What it said last stands.
    fn heard(&self, said: Option<Resolution>, follows: &mut bool) -> Resolution {
        if said.is_none() {
            *follows = false;
            tracing::error!(service = %self.published.service, "the source has ended");
        }
        said.unwrap_or_else(|| {
            Resolution::Failed(SourceError::new(
                SourceErrorKind::Unavailable,
                "the source has ended, and nothing more will be learnt of the Service",
            ))
        })
    }

    /// Takes up what the source says. Whether anything is different now.
    fn learn(&mut self, resolution: Resolution) -> bool {
        let service = &self.published.service;
        match resolution {
            Resolution::Present(endpoints) => {
                let was_live = matches!(self.freshness, Freshness::Live);
                self.freshness = Freshness::Live;
                self.reconcile(&endpoints) || !was_live
            }
            Resolution::Absent => {
                let was_absent = matches!(self.freshness, Freshness::Absent);
                if !was_absent {
                    tracing::warn!(%service, "there is no such Service");
                }
                self.freshness = Freshness::Absent;
                self.reconcile(&EndpointSet::default()) || !was_absent
            }
            Resolution::Failed(error) => {
                tracing::warn!(%service, %error, "discovery is failing: the last good endpoints stay");
                self.report.source_failed(&error);
                let told = self.published.clock.now() - error.age();
                let since = match self.freshness {
                    Freshness::Stale { since, .. } => since.min(told),
                    _ => told,
                };
                self.freshness = Freshness::Stale { since, error };
                true
            }
            // A later kind of resolution teaches this version nothing.
            _ => false,
        }
    }

    /// How long until there is something to do, even if nothing happens.
    fn next_look(&self) -> Option<Duration> {
        let again = self.report.age(&self.freshness, self.published.clock.now());
        let health = self.resilience.next_look();
        let health = health.map(|due| due.since(self.published.clock.now()));
        [again, self.time_left(), health]
            .into_iter()
            .flatten()
            .min()
    }

    /// How long until the endpoints are too old to be used; `None` where they never are, or are already.
    fn time_left(&self) -> Option<Duration> {
        let age = self.freshness.age(self.published.clock.now())?;
        let limit = self.published.settings.max_staleness?;
        (!self.expired).then(|| limit.saturating_sub(age))
    }

    /// Looks whether the endpoints are too old to be used. Whether that is different now.
    fn expire(&mut self) -> bool {
        let expired = self.published.is_expired(&self.freshness);
        if expired && !self.expired {
            tracing::warn!(
                service = %self.published.service,
                "discovery has been failing for too long: the last good endpoints are not used any more"
            );
        }
        std::mem::replace(&mut self.expired, expired) != expired
    }

    fn reconcile(&mut self, endpoints: &EndpointSet) -> bool {
        let measurement = self.published.settings.measurement;
        let (membership, changes) = match self.published.settings.traffic_rules {
            TrafficRules::AsService => reconcile(&self.membership, endpoints, measurement),
            TrafficRules::Ignored => reconcile(&self.membership, &free(endpoints), measurement),
        };
        let before = std::mem::replace(&mut self.membership, membership);
        let rules = |of: &Membership| (of.reach(), of.internal_traffic(), of.session_affinity());
        let other_rules = rules(&before) != rules(&self.membership);
        if other_rules {
            self.note_rules();
        }
        for change in &changes {
            let service = &self.published.service;
            match change {
                Change::Added(one) => tracing::info!(
                    %service, endpoint = %one.placement(), address = %one.address(),
                    conditions = ?one.conditions(), "endpoint added"
                ),
                Change::Removed(one) => tracing::info!(
                    %service, endpoint = %one.placement(), address = %one.address(),
                    "endpoint removed"
                ),
                Change::Updated(one) => tracing::info!(
                    %service, endpoint = %one.placement(), address = %one.address(),
                    conditions = ?one.conditions(), "endpoint updated"
                ),
                _ => {}
            }
        }
        other_rules || !changes.is_empty()
    }

    fn note_rules(&self) {
        let (service, location) = (&self.published.service, &self.published.settings.location);
        let local = self.membership.internal_traffic() == InternalTraffic::Local;
        if local && location.node().is_none() {
            tracing::error!(
                %service,
                "the Service is for clients on the same Node (internalTrafficPolicy: Local), and the Node of \
                 this one is not known: set `Cluster::with_location`, or `TrafficRules::Ignored`"
            );
        }
        tracing::info!(
            %service, reach = ?self.membership.reach(), local,
            affinity = ?self.membership.session_affinity(), "what the Service wants of its clients"
        );
    }

    /// Those that may get requests from there.
    fn eligible(&self, from: &Location) -> Arc<[Candidate]> {
        let is_passed_over = |one: &Candidate| self.members.is_passed_over(one);
        let outliers = self.resilience.outliers(&self.membership, is_passed_over);
        let is_ejected = |one: &_| outliers.is_some_and(|outliers| outliers.is_ejected(one));
        eligible(&self.membership, from, |one| {
            is_passed_over(one) || is_ejected(one)
        })
    }

    /// Makes a snapshot of what is known now, and publishes it. Gives back the former one.
    fn publish(&mut self, since: Instant) -> Arc<Snapshot<Reached<M::Service>>> {
        let published = Arc::clone(&self.published);
        let settings = &published.settings;
        let local = self.membership.internal_traffic() == InternalTraffic::Local;
        let from = match settings.traffic_rules {
            TrafficRules::AsService if local || !self.by_identity => settings.location.clone(),
            // From nowhere, every endpoint is near enough.
            _ => Location::UNKNOWN,
        };
        // Those that are too old stay members: what is known of them holds when they are back.
        let (list, members_told) = match self.expired {
            true => Default::default(),
            false => (self.eligible(&from), self.membership.clone()),
        };
        let part = self.part.now().map(|subset| (subset, subset.of(&list)));
        let here = part.as_ref().map_or(&list, |(_, part)| part);
        let here = self.members.proven(here, self.generation + 1);
        let candidates = Candidates::new(here, fastrand::u64(..))
            .with_location(settings.location.clone())
            .with_session_affinity(self.membership.session_affinity());
        let picker = guarded::build(&*self.policy, &candidates);
        let now = self.published.clock.now();
        let picker = self
            .resilience
            .ramped(picker, &candidates, &self.membership, now);
        self.generation += 1;
        let members = &mut self.members;
        let generation = self.generation;
        let mut snapshot = Snapshot::new(
            generation,
            candidates.clone(),
            picker,
            self.freshness.clone(),
            |candidate| members.service(candidate, generation),
        )
        .with_reach(self.membership.reach())
        .with_members(members_told, from);
        if let Some((subset, _)) = part {
            snapshot = snapshot.with_subset(list, subset);
        }
        let gone = self.members.keep_only(generation, &self.membership);
        self.published.shutdown.depart(gone);
        tracing::debug!(
            service = %self.published.service, generation = self.generation,
            endpoints = candidates.len(), members = self.membership.members().len(),
            "snapshot published"
        );
        let counts = (candidates.len(), self.membership.members().len());
        if let Some(health) = self.members.health() {
            self.report.health(&health);
            self.published.set_health(health);
        }
        let former = self.published.store(snapshot);
        self.report
            .published(self.generation, counts, since.elapsed());
        former
    }
}

/// The same endpoints, for everybody.
fn free(endpoints: &EndpointSet) -> EndpointSet {
    let everybody = InternalTraffic::Cluster;
    endpoints.clone().with_internal_traffic(everybody)
}

struct Closing<S>(Arc<Published<S>>);

impl<S> Drop for Closing<S> {
    fn drop(&mut self) {
        self.0.close();
    }
}
