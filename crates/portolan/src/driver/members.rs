//! What the driver keeps for each incarnation besides its state: its service, whether it can be
//! reached, and whether it is well.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Weak},
};

use portolan_core::{Candidate, Endpoint, EndpointState, Membership};
use tokio::sync::Notify;

use super::{
    attendance::{Attendance, Attended},
    probe::Probe,
};
use crate::{
    MakeEndpoint, Reachability,
    balance::Reached,
    counters::Tally,
    health_check::Health,
    level::{NEVER_GOOD, is_good},
};

pub(super) struct Members<M: MakeEndpoint> {
    make: M,
    changed: Arc<Notify>,
    attendance: Attendance<M::Service>,
    tally: Arc<Tally>,
    members: HashMap<Key, Member<M::Service>, BuildHasherDefault<AddressHasher>>,
    /// How many were out of reach when it was last looked at.
    out_of_reach: usize,
    /// How many were out of reach or not well: where none is, which is nearly always, none needs to be
    /// asked.
    passed_over: usize,
}

/// An incarnation, told by its state: there is one for each, and it is kept here, so its address is
/// its own for as long as the key is in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(usize);

/// Addresses differ already, and nobody chooses them to collide: SipHash would be a good part of what
/// a change costs among 10,000.
#[derive(Default)]
struct AddressHasher(u64);

struct Member<S> {
    state: Arc<EndpointState>,
    /// As it was told last, and as the service has it.
    endpoint: Arc<Endpoint>,
    service: S,
    reachability: Reachability,
    /// The changes of reachability when it was last looked at. Snapshots go by this, not by how it is
    /// meanwhile: or a change between look and snapshot, and back, would leave an endpoint out for ever.
    seen_changes: u32,
    /// Nothing where nothing goes along with it, as mostly.
    attended: Option<Box<Attended>>,
    /// The snapshot with which it came, or came back into reach.
    since: u64,
    /// The last snapshot that it was wanted for.
    generation: u64,
    probe: Option<Probe>,
}

impl Key {
    fn of(state: &Arc<EndpointState>) -> Self {
        Self(Arc::as_ptr(state).addr())
    }
}

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, number: usize) {
        // Multiplied by the golden ratio (Knuth), and the good bits of the product put in both places
        // that the table looks at.
        let product = (self.0 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

impl<S: Clone + Send + Sync + 'static> Member<S> {
    fn new<M: MakeEndpoint<Service = S>>(
        candidate: &Candidate,
        make: &M,
        attendance: &Attendance<S>,
        (changed, tally): (&Arc<Notify>, &Arc<Tally>),
        generation: u64,
        trusted: bool,
    ) -> Self {
        let endpoint = &candidate.endpoint;
        let changed = || Arc::clone(changed);
        let reachability = match trusted || !make.connects_first() {
            true => Reachability::new(changed(), Arc::clone(tally)),
            false => Reachability::not_yet(changed(), Arc::clone(tally)),
        };
        let service = make.make(endpoint, reachability.clone());
        Self {
            state: Arc::clone(&candidate.state),
            endpoint: Arc::clone(endpoint),
            attended: attendance.begin(candidate, &service, changed(), trusted),
            service,
            seen_changes: reachability.changes(),
            reachability,
            since: generation,
            generation,
            probe: None,
        }
    }

    /// Whether it is left out while another one is not.
    fn is_passed_over(&self) -> bool {
        !is_good(self.seen_changes)
            || (self.attended.as_ref()).is_some_and(|attended| !attended.is_well())
    }

    /// Whether it is new, and it has not turned out yet whether it can be reached, or is well.
    fn is_on_trial(&self) -> bool {
        self.seen_changes == NEVER_GOOD
            || (self.attended.as_ref()).is_some_and(|attended| attended.is_on_trial())
    }

    /// Makes the service again where the endpoint, the same life of it, is now to be connected to
    /// otherwise: the Pod's other address is told by another slice, which may come later.
    fn follow<M: MakeEndpoint<Service = S>>(
        &mut self,
        make: &M,
        attendance: &Attendance<S>,
        endpoint: &Arc<Endpoint>,
    ) {
        if Arc::ptr_eq(&self.endpoint, endpoint) {
            return;
        }
        if self.endpoint.alternate() != endpoint.alternate()
            || self.endpoint.host() != endpoint.host()
        {
            self.service = make.make(endpoint, self.reachability.clone());
            if let Some(attended) = &mut self.attended {
                let candidate = Candidate {
                    endpoint: Arc::clone(endpoint),
                    state: Arc::clone(&self.state),
                };
                attendance.go_on(attended, &candidate, &self.service);
            }
        }
        self.endpoint = Arc::clone(endpoint);
    }
}

impl<M: MakeEndpoint> Members<M> {
    pub(super) fn new(
        make: M,
        changed: Arc<Notify>,
        attendance: Attendance<M::Service>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            make,
            changed,
            attendance,
            tally,
            members: HashMap::default(),
            out_of_reach: 0,
            passed_over: 0,
        }
    }

    /// Those of these candidates that get requests. Where new ones have to prove themselves first, they are taken up, and
    /// left out for as long as there is another one that has.
    pub(super) fn proven(
        &mut self,
        candidates: &Arc<[Candidate]>,
        generation: u64,
    ) -> Arc<[Candidate]> {
        let trusts_new = self.attendance.trusts_new() && !self.make.connects_first();
        let members = &self.members;
        let is_proven = |one: &Candidate| {
            let member = members.get(&Key::of(&one.state));
            member.is_some_and(|member| !member.is_on_trial())
        };
        if trusts_new || !candidates.iter().any(is_proven) {
            return Arc::clone(candidates);
        }
        let list = candidates.iter().filter(|one| is_proven(one)).cloned();
        let list: Arc<[Candidate]> = list.collect();
        for one in candidates.iter() {
            let (make, attendance) = (&self.make, &self.attendance);
            let told = (&self.changed, &self.tally);
            let member = self.members.entry(Key::of(&one.state)).or_insert_with(|| {
                self.passed_over += 1;
                Member::new(one, make, attendance, told, generation, false)
            });
            member.generation = generation;
        }
        list
    }

    /// The service of a candidate of this snapshot, made now if it is new, or told to be elsewhere.
    pub(super) fn service(
        &mut self,
        candidate: &Candidate,
        generation: u64,
    ) -> Reached<M::Service> {
        let member = self
            .members
            .entry(Key::of(&candidate.state))
            .or_insert_with(|| {
                let attendance = &self.attendance;
                Member::new(
                    candidate,
                    &self.make,
                    attendance,
                    (&self.changed, &self.tally),
                    generation,
                    true,
                )
            });
        member.follow(&self.make, &self.attendance, &candidate.endpoint);
        member.generation = generation;
        Reached {
            service: member.service.clone(),
            since: member.since,
        }
    }

    /// Whether it was out of reach, or not well, when it was last looked at. Those that are new are [another
    /// matter](Self::proven).
    pub(super) fn is_passed_over(&self, candidate: &Candidate) -> bool {
        self.passed_over > 0
            && self
                .members
                .get(&Key::of(&candidate.state))
                .is_some_and(|member| member.is_passed_over() && !member.is_on_trial())
    }

    /// How those do that are checked; `None` where none is.
    pub(super) fn health(&self) -> Option<Arc<[Health]>> {
        if !self.attendance.knows_health() {
            return None;
        }
        let checked = |member: &Member<M::Service>| {
            let record = Arc::clone(member.attended.as_ref()?.record()?);
            Some(Health::new(Arc::clone(&member.endpoint), record))
        };
        let mut health: Vec<Health> = self.members.values().filter_map(checked).collect();
        health.sort_unstable_by(|one, other| {
            let placement = other.endpoint().placement();
            one.endpoint().placement().cmp(placement)
        });
        Some(health.into())
    }

    /// Whether any endpoint was out of reach when it was last looked at.
    pub(super) fn any_out_of_reach(&self) -> bool {
        self.out_of_reach > 0
    }

    /// Takes up reports of endpoints that could not be reached.
    pub(super) fn look_after(&mut self, unreachable: Vec<Arc<EndpointState>>) {
        // Services that heal know better themselves, by now.
        if self.make.heals() {
            return;
        }
        for state in unreachable {
            if let Some(member) = self.members.get_mut(&Key::of(&state)) {
                // Where it was in reach, a probe that is still here has done its work: it reached the
                // endpoint, and nobody has looked since.
                let was_reachable = member.reachability.set(false);
                if was_reachable || member.probe.is_none() {
                    let address = state.endpoint().address();
                    let probe = Probe::start(address, member.reachability.clone());
                    member.probe = Some(probe);
                }
            }
        }
    }

    /// Whether an endpoint has come into reach or gone out of it, or is well or ill otherwise than before, since this
    /// was last asked: the snapshot of the `next` generation is to say so.
    pub(super) fn changed(&mut self, next: u64) -> bool {
        let mut any = false;
        (self.out_of_reach, self.passed_over) = (0, 0);
        for member in self.members.values_mut() {
            let changes = member.reachability.changes();
            let reachable = is_good(changes);
            let mut is_back = false;
            if member.seen_changes != changes {
                let endpoint = member.state.endpoint();
                tracing::info!(
                    endpoint = %endpoint.placement(), address = %endpoint.address(), reachable,
                    "endpoint's reachability changed"
                );
                member.seen_changes = changes;
                is_back |= reachable;
                any = true;
                if let Some(attended) = member.attended.as_ref().filter(|_| reachable) {
                    attended.is_reached();
                }
            }
            let attended = member.attended.as_mut();
            if let Some(healthy) = attended.and_then(|one| one.look(&member.endpoint)) {
                is_back |= healthy;
                any = true;
            }
            if is_back {
                member.since = next;
            }
            if reachable {
                member.probe = None;
            } else if changes != NEVER_GOOD {
                // One that is being connected to for the first time is no reason to suspect anything.
                self.out_of_reach += 1;
            }
            self.passed_over += usize::from(member.is_passed_over());
        }
        any
    }

    /// Lets go of the services of endpoints that get no more requests, and so of their connections
    /// as soon as they are idle. Those that are passed over stay, to be looked after.
    ///
    /// Gives back the states of those that it lets go of.
    pub(super) fn keep_only(
        &mut self,
        generation: u64,
        membership: &Membership,
    ) -> Vec<Weak<EndpointState>> {
        let passed_over: Vec<&Candidate> = membership
            .members()
            .iter()
            .filter(|one| self.is_passed_over(one) && one.endpoint.conditions().is_ready())
            .collect();
        for one in passed_over {
            if let Some(member) = self.members.get_mut(&Key::of(&one.state)) {
                member.follow(&self.make, &self.attendance, &one.endpoint);
                member.generation = generation;
            }
        }
        let mut gone = Vec::new();
        self.members.retain(|_, member| {
            let stays = member.generation == generation;
            if !stays {
                gone.push(Arc::downgrade(&member.state));
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests;
