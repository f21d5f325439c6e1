//! What the driver makes of how the endpoints do: who is ejected, who starts slowly, how many retries there may be.
//!
//! It is decided in core ([`portolan_core::health`]); here is when to look, and what to do about it. Nothing of it is
//! there where nobody asked for it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use portolan_core::{
    Candidate, Candidates, EndpointState, Membership, Picker, ServiceRef, Time,
    health::{Decision, OutlierEjection, Outliers, SlowStart, ramped},
};
use tokio::sync::Notify;

use crate::{balance::Published, counters, settings::Settings};

pub(super) struct Resilience {
    outliers: Option<Outliers>,
    slow: Option<Slow>,
    refill: Refill,
    /// Too few endpoints are left for ejections to be gone by.
    panics: AtomicBool,
    /// Rung by an endpoint at which requests fail in a row.
    bell: Arc<Notify>,
    waker: Waker,
}

/// How often retries are paid for.
const REFILL: Duration = Duration::from_secs(1);
/// How often it is found anew how long most requests take.
const TURN: Duration = Duration::from_secs(5);

impl Resilience {
    pub(super) fn new(settings: &Settings, by_identity: bool, now: Time) -> Self {
        let bell = Arc::new(Notify::new());
        let outliers = settings.outlier_ejection.clone();
        let outliers = outliers.map(|ejection: OutlierEjection| Outliers::new(ejection, now));
        // A key has one place, new or not.
        let slow = settings.slow_start.filter(|_| !by_identity);
        Self {
            outliers,
            slow: slow.map(Slow::new),
            panics: AtomicBool::new(false),
            refill: Refill {
                due: (settings.retry.is_some() || settings.hedge.is_some()).then(|| now + REFILL),
                turn: now + TURN,
                counted: Vec::new(),
            },
            waker: Waker::from(Arc::new(Bell(Arc::clone(&bell)))),
            bell,
        }
    }

    /// Waits until an endpoint rings.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// When to look, even if nobody rings.
    pub(super) fn next_look(&self) -> Option<Time> {
        let outliers = self.outliers.as_ref().map(Outliers::next_look);
        let slow = self.slow.as_ref().and_then(|slow| slow.due);
        [outliers, slow, self.refill.due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether it is time to look.
    pub(super) fn is_due<S>(&self, published: &Published<S>) -> bool {
        let due = self.next_look();
        due.is_some_and(|due| published.clock.now() >= due)
    }

    /// Looks at the endpoints. Whether another snapshot is to be published for what is seen.
    pub(super) fn look<S>(&mut self, published: &Published<S>, membership: &Membership) -> bool {
        let now = published.clock.now();
        self.refill.refill(published, membership, now);
        let faster = self.slow.as_mut().is_some_and(|slow| slow.grow(now));
        let Some(outliers) = &mut self.outliers else {
            return faster;
        };
        for one in membership.members() {
            one.state.alarm().connect(&self.waker);
        }
        let decisions = outliers.look(membership.members(), now, fastrand::u64(..));
        for decision in &decisions {
            count(&published.tally, decision);
            tell(&published.service, decision);
            if let (Some(slow), Decision::Returned { state, .. }) = (&mut self.slow, decision) {
                slow.begin_anew(state);
            }
        }
        faster || !decisions.is_empty()
    }

    /// Those who say who is ejected; nothing where nobody is, or where so few are left that it is not gone by.
    pub(super) fn outliers(
        &self,
        membership: &Membership,
        is_passed_over: impl Fn(&Candidate) -> bool,
    ) -> Option<&Outliers> {
        let outliers = self.outliers.as_ref().filter(|one| one.ejected() > 0)?;
        let members = membership.members().iter();
        let ready = members.filter(|one| one.endpoint.conditions().is_ready());
        let stays = |one: &&Candidate| !is_passed_over(one) && !outliers.is_ejected(one);
        let (all, left) = (ready.clone().count(), ready.filter(stays).count());
        let panics = outliers.panics(all, left);
        // Said once, not with each snapshot.
        if self.panics.swap(panics, Ordering::Relaxed) != panics {
            tracing::warn!(
                ready = all,
                left,
                ejections_are_gone_by = !panics,
                "so few endpoints are left that ejections are not gone by, or enough again"
            );
        }
        (!panics).then_some(outliers)
    }

    /// Lets those who have just come start slowly.
    pub(super) fn ramped(
        &mut self,
        picker: Arc<dyn Picker>,
        candidates: &Candidates,
        membership: &Membership,
        now: Time,
    ) -> Arc<dyn Picker> {
        match &mut self.slow {
            Some(slow) => {
                slow.take_up(candidates, membership, now);
                ramped(picker, candidates)
            }
            None => picker,
        }
    }
}

fn count(counts: &counters::Tally, decision: &Decision) {
    match decision {
        Decision::Ejected { .. } => counters::Tally::count(&counts.ejections),
        Decision::Returned { .. } => counters::Tally::count(&counts.returns),
        _ => {}
    }
}

fn tell(service: &ServiceRef, decision: &Decision) {
    match decision {
        Decision::Ejected {
            state,
            because,
            lasts,
            ..
        } => tracing::warn!(
            %service, endpoint = %state.endpoint().placement(), address = %state.endpoint().address(),
            %because, ?lasts, "endpoint ejected"
        ),
        Decision::Returned { state, .. } => tracing::info!(
            %service, endpoint = %state.endpoint().placement(), address = %state.endpoint().address(),
            "endpoint back, on trial"
        ),
        _ => {}
    }
}

/// Wakes the driver.
struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

/// Those who start slowly.
struct Slow {
    settings: SlowStart,
    /// By the address of their state: those of the members among whom requests have chosen. Whoever is out of reach for
    /// a moment is as warm as before.
    known: HashSet<usize>,
    growing: HashMap<usize, (Arc<EndpointState>, Time)>,
    due: Option<Time>,
}

impl Slow {
    fn new(settings: SlowStart) -> Self {
        Self {
            settings,
            known: HashSet::new(),
            growing: HashMap::new(),
            due: None,
        }
    }

    /// Those who were not there before start from the least. Where nobody was, all are alike.
    fn take_up(&mut self, candidates: &Candidates, membership: &Membership, now: Time) {
        let key = |one: &Candidate| Arc::as_ptr(&one.state).addr();
        let members: HashSet<_> = membership.members().iter().map(key).collect();
        self.known.retain(|key| members.contains(key));
        if !self.known.is_empty() {
            for one in candidates {
                if !self.known.contains(&key(one)) {
                    one.state.set_share(self.settings.share_at(Duration::ZERO));
                    let growing = (Arc::clone(&one.state), now);
                    self.growing.insert(key(one), growing);
                }
            }
        }
        self.known.extend(candidates.iter().map(key));
        self.growing.retain(|key, (state, _)| {
            let stays = self.known.contains(key);
            // Whoever is back when nobody else is there has its whole part, like all.
            if !stays {
                state.set_share(1.0);
            }
            stays
        });
        self.due = self.next(now);
    }

    /// It has been ejected, and is back.
    fn begin_anew(&mut self, state: &Arc<EndpointState>) {
        self.known.remove(&Arc::as_ptr(state).addr());
    }

    /// Gives them what is due. Whether the last one has its whole part now.
    fn grow(&mut self, now: Time) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        self.growing.retain(|_, (state, since)| {
            let share = self.settings.share_at(now.since(*since));
            state.set_share(share);
            share < 1.0
        });
        self.due = self.next(now);
        self.growing.is_empty()
    }

    fn next(&self, now: Time) -> Option<Time> {
        (!self.growing.is_empty()).then(|| now + self.settings.step())
    }
}

/// How many requests there were, for the budget of the retries.
struct Refill {
    due: Option<Time>,
    turn: Time,
    /// Up to which request of each endpoint it is counted.
    counted: Vec<(Arc<EndpointState>, u64)>,
}

impl Refill {
    fn refill<S>(&mut self, published: &Published<S>, membership: &Membership, now: Time) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        if let Some(hedging) = &published.hedging
            && now >= self.turn
        {
            hedging.turn();
            self.turn = now + TURN;
        }
        // Those who are gone by now are counted a last time.
        let since = |(state, counted): &(Arc<EndpointState>, u64)| state.requests() - counted;
        let mut requests: u64 = self.counted.iter().map(since).sum();
        let before: HashSet<_> = self
            .counted
            .iter()
            .map(|(state, _)| Arc::as_ptr(state))
            .collect();
        self.counted.clear();
        for one in membership.members() {
            let count = one.state.requests();
            if !before.contains(&Arc::as_ptr(&one.state)) {
                requests += count;
            }
            self.counted.push((Arc::clone(&one.state), count));
        }
        published.tokens.refill(requests, now);
        self.due = Some(now + REFILL);
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{Endpoint, EndpointSet, Measurement, Placement, reconcile};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn members(before: &Membership, names: &[&str]) -> Membership {
        let endpoint =
            |name: &&str| Endpoint::new(Placement::new(*name), ([10, 0, 0, 1], 80).into());
        let set: EndpointSet = names.iter().map(endpoint).collect();
        reconcile(before, &set, Measurement::default()).0
    }

    /// Two members, of whom the second has just come, and is a candidate for two seconds.
    fn started() -> (Slow, Membership, Candidates, Time) {
        let mut slow = Slow::new(SlowStart::over(10 * SECOND));
        let one = members(&Membership::default(), &["db-0"]);
        slow.take_up(&Candidates::new(one.members(), 0), &one, Time::ORIGIN);
        let two = members(&one, &["db-0", "db-1"]);
        let both = Candidates::new(two.members(), 0);
        slow.take_up(&both, &two, Time::ORIGIN);
        assert_eq!(shares(&two), [1.0, 0.1]);
        let now = Time::ORIGIN + 2 * SECOND;
        slow.grow(now);
        assert_eq!(shares(&two), [1.0, 0.2]);
        (slow, two, both, now)
    }

    fn shares(membership: &Membership) -> Vec<f64> {
        let members = membership.members().iter();
        let percent = members.map(|one| (100.0 * one.state.share()).round() / 100.0);
        percent.collect()
    }

    #[test]
    fn whoever_is_away_for_a_moment_goes_on_where_it_was() {
        let (mut slow, two, both, now) = started();
        // All are, as with a source that has failed for too long; then only the new one.
        slow.take_up(&Candidates::new([], 0), &two, now);
        slow.take_up(&Candidates::new(&two.members()[..1], 0), &two, now);
        slow.take_up(&both, &two, now);
        assert_eq!(shares(&two), [1.0, 0.2]);
        assert!(slow.grow(now + 8 * SECOND));
        assert_eq!(shares(&two), [1.0, 1.0]);
    }

    #[test]
    fn whoever_is_gone_while_it_starts_is_not_kept_small() {
        let (mut slow, two, _, now) = started();
        let gone = two.members()[1].clone();
        let one = members(&two, &["db-0"]);
        slow.take_up(&Candidates::new(one.members(), 0), &one, now);
        assert!(gone.state.share() > 0.99 && slow.growing.is_empty() && slow.due.is_none());
    }

    #[test]
    fn whoever_was_ejected_begins_anew() {
        let (mut slow, two, both, now) = started();
        slow.grow(now + 20 * SECOND);
        slow.begin_anew(&two.members()[0].state);
        slow.take_up(&both, &two, now + 20 * SECOND);
        assert_eq!(shares(&two), [0.1, 1.0]);
    }
}
