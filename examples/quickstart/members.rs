//! Who gets requests, and how many it has got, as the balancer itself sees it.
//!
//! The balancer measures incarnations; what is shown is of placements, so that a Pod that was restarted
//! goes on in its row. No server has to say who it is.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use portolan::{Candidate, View};

/// The endpoints of a Service by their stable names, those that are gone included.
#[derive(Debug, Default)]
pub(crate) struct Members(BTreeMap<String, Member>);

/// All incarnations of one placement.
#[derive(Debug, Default)]
pub(crate) struct Member {
    now: Option<Candidate>,
    /// Gone, the last one last: what is in flight is counted yet, and one that was out of reach comes back
    /// with what it had.
    gone: VecDeque<Candidate>,
    /// What those before them got.
    earlier: Counts,
}

/// What was sent to a placement. A request that was tried on two is counted by both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
}

/// An incarnation gets requests from now on, or does not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) came: bool,
}

/// So many incarnations of a placement that are gone can come back.
const MAX_GONE: usize = 8;

impl Members {
    /// Takes up what the balancer goes by now, and tells what is new in it.
    pub(crate) fn update(&mut self, view: &View) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut change = |one: &Candidate, came| {
            changes.push(Change {
                name: one.endpoint.placement().as_str().to_owned(),
                address: one.endpoint.address(),
                came,
            });
        };
        for member in self.0.values_mut() {
            let stays = |one: &mut Candidate| view.endpoints().iter().any(|new| is_same(one, new));
            if let Some(gone) = member.now.take_if(|one| !stays(one)) {
                change(&gone, false);
                member.gone.push_back(gone);
                member.forget();
            }
        }
        for one in view.endpoints() {
            let name = one.endpoint.placement().as_str().to_owned();
            let member = self.0.entry(name).or_default();
            if member.now.is_none() {
                change(one, true);
                member.gone.retain(|former| !is_same(former, one));
                member.now = Some(one.clone());
            }
        }
        changes
    }

    /// All that got requests, in order of their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.0.iter().map(|(name, member)| (name.as_str(), member))
    }

    /// Those that get requests now.
    pub(crate) fn present(&self) -> impl Iterator<Item = (&str, &Member, &Candidate)> {
        self.all()
            .filter_map(|(name, member)| Some((name, member, member.now.as_ref()?)))
    }
}

impl Member {
    pub(crate) fn counts(&self) -> Counts {
        let states = self.gone.iter().chain(&self.now);
        states.fold(self.earlier, |sum, one| sum.and(one))
    }

    /// Keeps the numbers of one that is gone for long, and not itself.
    fn forget(&mut self) {
        if self.gone.len() > MAX_GONE
            && let Some(oldest) = self.gone.pop_front()
        {
            self.earlier = self.earlier.and(&oldest);
        }
    }
}

impl Counts {
    fn and(self, one: &Candidate) -> Self {
        Self {
            requests: self.requests + one.state.requests(),
            failures: self.failures + one.state.failures(),
        }
    }
}

/// The same measurements, and so the same incarnation.
fn is_same(one: &Candidate, other: &Candidate) -> bool {
    Arc::ptr_eq(&one.state, &other.state)
}
