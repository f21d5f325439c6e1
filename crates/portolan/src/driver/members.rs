//! What the driver keeps for each incarnation besides its state: its service, and whether it can be
//! reached.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use portolan_core::{Candidate, Endpoint, EndpointState, Membership};
use tokio::sync::Notify;

use super::probe::Probe;
use crate::{
    MakeEndpoint, Reachability, balance::Reached, counters::Tally, endpoint::is_reachable,
};

pub(super) struct Members<M: MakeEndpoint> {
    make: M,
    changed: Arc<Notify>,
    tally: Arc<Tally>,
    members: HashMap<Key, Member<M::Service>, BuildHasherDefault<AddressHasher>>,
    /// How many were out of reach when it was last looked at: where none is, which is nearly always,
    /// none needs to be asked.
    out_of_reach: usize,
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

impl<S> Member<S> {
    /// Makes the service again where the endpoint, the same life of it, is now to be connected to
    /// otherwise: the Pod's other address is told by another slice, which may come later.
    fn follow<M: MakeEndpoint<Service = S>>(&mut self, make: &M, endpoint: &Arc<Endpoint>) {
        if Arc::ptr_eq(&self.endpoint, endpoint) {
            return;
        }
        if self.endpoint.alternate() != endpoint.alternate()
            || self.endpoint.host() != endpoint.host()
        {
            self.service = make.make(endpoint, self.reachability.clone());
        }
        self.endpoint = Arc::clone(endpoint);
    }
}

impl<M: MakeEndpoint> Members<M> {
    pub(super) fn new(make: M, changed: Arc<Notify>, tally: Arc<Tally>) -> Self {
        Self {
            make,
            changed,
            tally,
            members: HashMap::default(),
            out_of_reach: 0,
        }
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
                let (changed, tally) = (Arc::clone(&self.changed), Arc::clone(&self.tally));
                let reachability = Reachability::new(changed, tally);
                Member {
                    state: Arc::clone(&candidate.state),
                    endpoint: Arc::clone(&candidate.endpoint),
                    service: self.make.make(&candidate.endpoint, reachability.clone()),
                    reachability,
                    seen_changes: 0,
                    since: generation,
                    generation,
                    probe: None,
                }
            });
        member.follow(&self.make, &candidate.endpoint);
        member.generation = generation;
        Reached {
            service: member.service.clone(),
            since: member.since,
        }
    }

    pub(super) fn is_out_of_reach(&self, candidate: &Candidate) -> bool {
        self.out_of_reach > 0
            && self
                .members
                .get(&Key::of(&candidate.state))
                .is_some_and(|member| !is_reachable(member.seen_changes))
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

    /// Whether an endpoint has come into reach or gone out of it since this was last asked: the snapshot
    /// of the `next` generation is to say so.
    pub(super) fn reachability_changed(&mut self, next: u64) -> bool {
        let mut any = false;
        self.out_of_reach = 0;
        for member in self.members.values_mut() {
            let changes = member.reachability.changes();
            let reachable = is_reachable(changes);
            if member.seen_changes != changes {
                let endpoint = member.state.endpoint();
                tracing::info!(
                    endpoint = %endpoint.placement(), address = %endpoint.address(), reachable,
                    "endpoint's reachability changed"
                );
                member.seen_changes = changes;
                if reachable {
                    member.since = next;
                }
                any = true;
            }
            if reachable {
                member.probe = None;
            } else {
                self.out_of_reach += 1;
            }
        }
        any
    }

    /// Lets go of the services of endpoints that get no more requests, and so of their connections
    /// as soon as they are idle. Those out of reach stay, to be looked after.
    pub(super) fn keep_only(&mut self, generation: u64, membership: &Membership) {
        let out_of_reach: Vec<&Candidate> = membership
            .members()
            .iter()
            .filter(|one| self.is_out_of_reach(one) && one.endpoint.conditions().is_ready())
            .collect();
        for one in out_of_reach {
            if let Some(member) = self.members.get_mut(&Key::of(&one.state)) {
                member.follow(&self.make, &one.endpoint);
                member.generation = generation;
            }
        }
        self.members
            .retain(|_, member| member.generation == generation);
    }
}

#[cfg(test)]
mod tests;
