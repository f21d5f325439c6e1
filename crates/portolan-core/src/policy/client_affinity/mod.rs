//! Each client stays with the endpoint that served it last.

mod clients;
mod stays;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use self::{
    clients::{Clients, Request},
    stays::Stand,
};
use super::{Changes, Explanation, PickContext, Picker, Policy, Verdict, key_hash};
use crate::{Candidates, Index, SessionAffinity};

/// Each client stays with the endpoint that served it last: Kubernetes' own `sessionAffinity: ClientIP`.
///
/// The first request of a client goes by the policy that this is put [over](Self::over), and so does one after that
/// endpoint is gone, may not serve it, or the client has been silent for longer than the timeout. All others go to the same endpoint,
/// whoever else comes or goes: nothing is computed from who is there, as by a hash, so a scale-up moves nobody. (Only where
/// one that the client was with before has been away and is back, it takes the place of the one that is gone.) As with
/// kube-proxy, it is one *life* of the endpoint that is stayed with: a Pod that has restarted is another one. (For
/// sessions that outlive that, see `portolan::sticky`.)
///
/// By default it does what the Service says, which may be nothing; and [`always`](Self::always) whatever the Service says.
///
/// # Who the client is
/// The request's [client](PickContext::client): the address of whoever is served by this program, say. Where none is said it is
/// the request's key; and a request with neither is of this program itself, which has one IP, so that without both all
/// requests go to one endpoint, as kube-proxy has it for this Pod.
///
/// # In a nesting
/// It may be anywhere. Over a policy that divides endpoints, as [`Shard`](super::Shard) does by key and
/// [`PrimaryReplica`](super::PrimaryReplica) by what a request does, or under it, a client stays with one endpoint in each
/// part, up to 32 of them: the key decides the shard, and the client who of that shard it is. A client that has written to
/// the primary reads from a replica, where reads go there, and always from the same. Whom a client was with before never
/// goes before what the policy inside [says](Picker::may_pick): a key that has moved is looked for where it is now.
///
/// ```
/// use portolan_core::policy::{ClientAffinity, LeastRequest, Shard, Shards};
///
/// let policy = ClientAffinity::over(LeastRequest::new());
/// let in_shards = Shard::by_label("example.com/shard", Shards::fixed(8)).over(policy);
/// # let _: &dyn portolan_core::Policy = &in_shards;
/// ```
///
/// # What it costs
/// 65,536 clients are remembered, or [as many as it is told](Self::with_capacity), one with endpoints in several parts as often. They
/// are in 64 lots by a hash, and of each lot those are forgotten that have been silent for longer than the half that stays: a
/// client may be, in a full lot, though one of another lot has been silent for longer. A pick reads the clock, and takes the
/// lock of one lot for as long as it takes to look into a table, and to ask the policy inside whether it still may be that one.
///
/// Use one for each balancer. A clone goes by the same memory.
#[derive(Clone)]
pub struct ClientAffinity {
    inner: Arc<dyn Policy>,
    clients: Arc<Clients>,
    always: Option<Duration>,
}

/// How many clients are remembered.
const CAPACITY: usize = 65_536;

impl ClientAffinity {
    /// The affinity that the Service asks for, if it does; and where a client has no endpoint yet, `policy` chooses.
    #[must_use]
    pub fn over(policy: impl Policy + 'static) -> Self {
        Self {
            inner: Arc::new(policy),
            clients: Arc::new(Clients::new(CAPACITY)),
            always: None,
        }
    }

    /// Whatever the Service says, a client stays until it has been silent for `timeout`.
    #[must_use]
    pub fn always(mut self, timeout: Duration) -> Self {
        self.always = Some(timeout);
        self
    }

    /// Sets how many clients are remembered, apart from those of the value it is called on; each counts as often as there are
    /// endpoints that it stays with. Default: 65,536, in some 10 MiB at most. At least 64.
    #[must_use]
    pub fn with_capacity(mut self, clients: usize) -> Self {
        self.clients = Arc::new(Clients::new(clients));
        self
    }
}

impl Policy for ClientAffinity {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let inner = self.inner.build(candidates);
        let timeout = match (self.always, candidates.session_affinity()) {
            (Some(timeout), _) | (None, SessionAffinity::ClientIp { timeout }) => timeout,
            (None, SessionAffinity::None) => return inner,
        };
        let all = (0u32..).map(Index::new).zip(candidates);
        Arc::new(AffinityPicker {
            clients: Arc::clone(&self.clients),
            timeout,
            places: all
                .map(|(index, one)| (Arc::as_ptr(&one.state), index))
                .map(|(state, index)| (state.addr(), index))
                .collect(),
            candidates: candidates.clone(),
            inner,
        })
    }

    fn is_by_identity(&self) -> bool {
        self.inner.is_by_identity()
    }

    fn changes(&self) -> Option<Changes> {
        self.inner.changes()
    }
}

#[derive(Debug)]
struct AffinityPicker {
    clients: Arc<Clients>,
    timeout: Duration,
    /// By the address of the state, which is the endpoint's own for as long as this picker has the candidates.
    places: HashMap<usize, Index>,
    candidates: Candidates,
    inner: Arc<dyn Picker>,
}

impl AffinityPicker {
    /// Whose request it is, and when.
    fn request(&self, context: &PickContext<'_>) -> Request {
        Request {
            client: context.client.or(context.key).map_or(0, key_hash),
            now: context.now,
            timeout: self.timeout,
        }
    }

    /// Where the endpoint whose state is at this address stands with such a request, tried or not.
    fn stand(&self, address: usize, context: &PickContext<'_>) -> Stand {
        match self.places.get(&address) {
            None => Stand::Elsewhere,
            Some(index) if self.inner.may_pick(*index, context) => Stand::Fit(*index),
            Some(_) => Stand::Unfit,
        }
    }
}

impl Picker for AffinityPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let request = self.request(context);
        let stand = |address| self.stand(address, context);
        let untried = |index: &Index| !context.tried.contains(*index);
        if let Some(index) = self.clients.find(request, stand).filter(untried) {
            return Verdict::Use(index);
        }
        let verdict = self.inner.pick(context);
        if let Verdict::Use(index) = verdict
            && let Some(candidate) = self.candidates.get(index)
        {
            let stays = self.clients.note(request, &candidate.state, stand);
            if let Some(index) = stays.filter(untried) {
                return Verdict::Use(index);
            }
        }
        verdict
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let stand = |address| self.stand(address, context);
        let untried = |index: &Index| !context.tried.contains(*index);
        let stays = self.clients.peek(self.request(context), stand);
        match stays.filter(untried) {
            Some(index) => {
                let said = "the client stays with whom it was served by last";
                let is_it = |one: Index, _: &_| one == index;
                explanation.narrow("ClientAffinity", said, &self.candidates, is_it);
                Verdict::Use(index)
            }
            None => {
                explanation.note(
                    "ClientAffinity",
                    "the client has no endpoint that it stays with for such a request",
                );
                self.inner.explain(context, explanation)
            }
        }
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.inner.admits(index, context)
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.inner.may_pick(index, context)
    }

    fn never_panics(&self) -> bool {
        self.inner.never_panics()
    }
}

impl fmt::Debug for ClientAffinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAffinity")
            .field("inner", &self.inner)
            .field("always", &self.always)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
