//! What there is to know of a request once it does not go straight.

use std::sync::Arc;

use portolan_core::{Candidate, Endpoint, EndpointState, Index, Pin, Snapshot, Tried};
use tokio::time::Instant;

use super::published::Reached;
use crate::{Attempt, Kept, Sent};

/// Where a request has been, whom it waits for, and where it was sent on to. Nearly no request has any of it.
pub(super) struct Detours<Req> {
    pub(super) attempts: Vec<Attempt>,
    /// Who is not to be asked again, until something has changed.
    pub(super) asked: Vec<Asked>,
    /// How often it was sent to an endpoint that may have processed it.
    pub(super) times_sent: usize,
    /// Since when the request has been waiting for an endpoint, without having been with one.
    pub(super) waiting: Option<Instant>,
    /// All others have been asked.
    pub(super) nobody_else: bool,
    /// As many were asked as may be, and the last could not be reached: nobody is asked until something has changed.
    pub(super) found_nobody: bool,
    /// How often something had.
    pub(super) more: usize,
    /// How often the endpoint that it waited for was not the right one any more when it was ready.
    pub(super) turned_away: usize,
    /// How often an answer has sent the request elsewhere.
    pub(super) hops: usize,
    /// Where the last one sent it.
    pub(super) sent_on: Option<Pin>,
    /// Why it does not go to the endpoint that holds its session, and the policy chooses.
    pub(super) left_session: Option<Left>,
    /// To send it once more, should an answer send it elsewhere.
    pub(super) kept: Option<Kept<Req>>,
}

impl<Req> Default for Detours<Req> {
    fn default() -> Self {
        Self {
            attempts: Vec::new(),
            asked: Vec::new(),
            times_sent: 0,
            waiting: None,
            nobody_else: false,
            found_nobody: false,
            more: 0,
            turned_away: 0,
            hops: 0,
            sent_on: None,
            left_session: None,
            kept: None,
        }
    }
}

impl<Req> Detours<Req> {
    /// Where those that are not to be asked again stand in this snapshot.
    #[cold]
    pub(super) fn tried_in<S>(&self, snapshot: &Snapshot<Reached<S>>) -> Tried {
        if self.asked.is_empty() {
            return Tried::new();
        }
        let was_asked = |index: &Index| {
            let found = snapshot.get(*index);
            found.is_some_and(|(candidate, reached)| self.rules_out(candidate, reached.since))
        };
        (0u32..)
            .map(Index::new)
            .take(snapshot.candidates().len())
            .filter(was_asked)
            .collect()
    }

    /// Whether an endpoint, there since that generation, is not to be asked.
    ///
    /// One that was asked is, when it has been away since and is back. But where the request may have
    /// arrived, it may be what made the endpoint break: then it goes there once more at most, and only
    /// when nobody else is left.
    fn rules_out(&self, candidate: &Candidate, since: u64) -> bool {
        let mut may_have_arrived = 0;
        for asked in self.asked.iter().filter(|asked| asked.is(candidate)) {
            may_have_arrived += usize::from(asked.sent == Sent::Maybe);
            let again = asked.sent != Sent::Maybe || self.nobody_else;
            if !again || since <= asked.since {
                return true;
            }
        }
        may_have_arrived > 1
    }
}

/// Why a request does not go to the endpoint that holds its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Such a request is not for that endpoint: a write, say, and that is a replica. The session stays.
    Refused,
    /// It is gone for good: the session moves.
    Gone,
}

/// One who was asked, and did not serve the request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) state: Arc<EndpointState>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) sent: Sent,
    /// It answered that it cannot.
    pub(super) answered: bool,
    pub(super) since: u64,
}

impl Asked {
    fn is(&self, candidate: &Candidate) -> bool {
        Arc::ptr_eq(&self.state, &candidate.state) || is_same(&self.endpoint, &candidate.endpoint)
    }
}

/// Whether both are the same life of an endpoint. A UID that only one source knows makes no other.
fn is_same(a: &Endpoint, b: &Endpoint) -> bool {
    a.address() == b.address()
        && match (a.uid(), b.uid()) {
            (None, None) => true,
            (Some(a), Some(b)) => a == b,
            _ => a.placement() == b.placement(),
        }
}
