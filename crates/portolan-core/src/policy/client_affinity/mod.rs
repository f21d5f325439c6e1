//! Each client stays with the endpoint that served it last.

mod clients;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use self::clients::{Clients, Request};
use super::{Changes, Explanation, PickContext, Picker, Policy, Verdict, key_hash};
use crate::{Candidates, EndpointState, Index, SessionAffinity};

/// Each client stays with the endpoint that served it last: Kubernetes' own `sessionAffinity: ClientIP`.
///
/// The first request of a client goes by the policy that this is put [over](Self::over), and so does one after that
/// endpoint is gone, may not serve it, or the client has been silent for longer than the timeout. All others go to the same endpoint,
/// whoever else comes or goes: nothing is computed from who is there, as by a hash, so a scale-up moves nobody. As with
/// kube-proxy, it is one *life* of the endpoint that is stayed with: a Pod that has restarted is another one. (For
/// sessions that outlive that, see `portolan::sticky`.)
///
/// By default it does what the Service says, which may be nothing; and [`always`](Self::always) whatever the Service says.
///
/// # Who the client is
/// The request's key: the address of whoever is served by this program, say. A request without one is of this program
/// itself, which has one IP; so without keys all requests go to one endpoint, as kube-proxy has it for this Pod.
///
/// # What it costs
/// 65,536 clients are remembered, or [as many as it is told](Self::with_capacity); of more, those who were silent longest are forgotten. A
/// pick takes one of 64 locks for as long as a look into a table takes, and reads the clock.
///
/// Put it over the policies that divide endpoints, by zone or by role, and not under them: it remembers one endpoint of a
/// client, and not one in each part. Use one for each balancer. A clone goes by the same memory.
///
/// ```
/// use portolan_core::policy::{ClientAffinity, LeastRequest};
///
/// let policy = ClientAffinity::over(LeastRequest::new());
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
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

    /// Sets how many clients are remembered, apart from those of the value it is called on. Default: 65,536, in some 4 MiB at most. At least 64.
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
            client: context.key.map_or(0, key_hash),
            now: context.now,
            timeout: self.timeout,
        }
    }

    /// Where in this snapshot an endpoint is that may serve the request.
    fn place(&self, state: &EndpointState, context: &PickContext<'_>) -> Option<Index> {
        let index = *self.places.get(&std::ptr::from_ref(state).addr())?;
        let may = !context.tried.contains(index) && self.inner.admits(index, context);
        may.then_some(index)
    }
}

impl Picker for AffinityPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let request = self.request(context);
        let place = |state: &EndpointState| self.place(state, context);
        if let Some(index) = self.clients.find(request, place) {
            return Verdict::Use(index);
        }
        let verdict = self.inner.pick(context);
        if let Verdict::Use(index) = verdict
            && let Some(candidate) = self.candidates.get(index)
        {
            let is_there = |state: &EndpointState| {
                let address = std::ptr::from_ref(state).addr();
                self.places.contains_key(&address)
            };
            let stays = self.clients.note(request, &candidate.state, is_there);
            if let Some(index) = stays.and_then(|state| place(&state)) {
                return Verdict::Use(index);
            }
        }
        verdict
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let place = |state: &EndpointState| self.place(state, context);
        match self.clients.peek(self.request(context), place) {
            Some(index) => {
                let said = "the client stays with whom it was served by last";
                let is_it = |one: Index, _: &_| one == index;
                explanation.narrow("ClientAffinity", said, &self.candidates, is_it);
                Verdict::Use(index)
            }
            None => {
                explanation.note(
                    "ClientAffinity",
                    "the client has no endpoint that it stays with",
                );
                self.inner.explain(context, explanation)
            }
        }
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.inner.admits(index, context)
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
