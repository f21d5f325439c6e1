//! What the driver keeps for each incarnation besides its state: its service, and whether it can be
//! reached.

use std::{collections::HashMap, sync::Arc};

use portolan_core::{Candidate, Candidates, EndpointState, Membership};
use tokio::sync::Notify;

use super::probe::Probe;
use crate::{MakeEndpoint, Reachability};

pub(super) struct Members<M: MakeEndpoint> {
    make: M,
    changed: Arc<Notify>,
    members: HashMap<Key, Member<M::Service>>,
}

/// An incarnation, told by its state: there is one for each, and it is kept here, so its address is
/// its own for as long as the key is in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(usize);

struct Member<S> {
    state: Arc<EndpointState>,
    service: S,
    reachability: Reachability,
    /// What was made of the reachability when a snapshot was last published.
    published_as_reachable: bool,
    probe: Option<Probe>,
}

impl Key {
    fn of(state: &Arc<EndpointState>) -> Self {
        Self(Arc::as_ptr(state).addr())
    }
}

impl<M: MakeEndpoint> Members<M> {
    pub(super) fn new(make: M, changed: Arc<Notify>) -> Self {
        Self {
            make,
            changed,
            members: HashMap::new(),
        }
    }

    /// The service of a candidate, made now if it is new.
    pub(super) fn service(&mut self, candidate: &Candidate) -> M::Service {
        let member = self
            .members
            .entry(Key::of(&candidate.state))
            .or_insert_with(|| {
                let reachability = Reachability::new(Arc::clone(&self.changed));
                Member {
                    state: Arc::clone(&candidate.state),
                    service: self.make.make(&candidate.endpoint, reachability.clone()),
                    reachability,
                    published_as_reachable: true,
                    probe: None,
                }
            });
        member.service.clone()
    }

    pub(super) fn is_out_of_reach(&self, candidate: &Candidate) -> bool {
        self.members
            .get(&Key::of(&candidate.state))
            .is_some_and(|member| !member.reachability.is_reachable())
    }

    /// Takes up reports of endpoints that could not be reached.
    pub(super) fn look_after(&mut self, unreachable: Vec<Arc<EndpointState>>) {
        // Services that heal know better themselves, by now.
        if self.make.heals() {
            return;
        }
        for state in unreachable {
            if let Some(member) = self.members.get_mut(&Key::of(&state)) {
                member.reachability.not_reached();
                let address = state.endpoint().address();
                member
                    .probe
                    .get_or_insert_with(|| Probe::start(address, member.reachability.clone()));
            }
        }
    }

    /// Whether an endpoint has come into reach or gone out of it since this was last asked.
    pub(super) fn reachability_changed(&mut self) -> bool {
        let mut any = false;
        for member in self.members.values_mut() {
            let reachable = member.reachability.is_reachable();
            if member.published_as_reachable != reachable {
                let endpoint = member.state.endpoint();
                tracing::info!(
                    endpoint = %endpoint.placement(), address = %endpoint.address(), reachable,
                    "endpoint's reachability changed"
                );
                member.published_as_reachable = reachable;
                any = true;
            }
            if reachable {
                member.probe = None;
            }
        }
        any
    }

    /// Lets go of the services of endpoints that get no more requests, and so of their connections
    /// as soon as they are idle. Those out of reach stay, to be looked after.
    pub(super) fn keep_only(&mut self, candidates: &Candidates, membership: &Membership) {
        let wanted = |endpoint: &portolan_core::Endpoint| endpoint.conditions().is_ready();
        if self.members.len() == candidates.len() {
            // Every candidate has a member, so these are all.
            return;
        }
        let mut kept = HashMap::with_capacity(candidates.len());
        let out_of_reach = membership
            .members()
            .iter()
            .filter(|one| wanted(&one.endpoint) && self.is_out_of_reach(one));
        let keys: Vec<Key> = candidates
            .iter()
            .chain(out_of_reach)
            .map(|one| Key::of(&one.state))
            .collect();
        for key in keys {
            if let Some(member) = self.members.remove(&key) {
                kept.insert(key, member);
            }
        }
        self.members = kept;
    }
}
