//! Whom one client stays with: one endpoint, or one in each part of the endpoints that its requests are for.

use std::sync::{Arc, Weak};

use super::clients::Request;
use crate::{EndpointState, Index, Time};

/// Whom one client stays with. The first that may serve a request is it.
#[derive(Default)]
pub(super) struct Stays(Vec<Served>);

/// One for each shard that a client has to do with, and one for its writes. More than that would be long to look through.
const MOST: usize = 32;

struct Served {
    /// Weak, so that an endpoint that is gone is not kept; its place in memory is no other one's meanwhile.
    by: Weak<EndpointState>,
    at: Time,
}

/// Where an endpoint stands with a picker and a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stand {
    /// The picker knows nothing of it: it is gone, or of another part.
    Elsewhere,
    /// It is one of the picker's, and such a request is not for it.
    Unfit,
    /// It is there, and may serve such a request.
    Fit(Index),
}

impl Stays {
    /// Whom it stays with for such a request, which has been served once more then.
    pub(super) fn find(
        &mut self,
        request: Request,
        stand: impl Fn(usize) -> Stand,
    ) -> Option<Index> {
        let mut fit = self.0.iter_mut().filter_map(|served| {
            let index = served.fits(request, &stand)?;
            served.at = served.at.max(request.now);
            Some(index)
        });
        fit.next()
    }

    /// The same without having served it.
    pub(super) fn peek(&self, request: Request, stand: impl Fn(usize) -> Stand) -> Option<Index> {
        let served = self.0.iter();
        let mut fit = served.filter_map(|served| served.fits(request, &stand));
        fit.next()
    }

    /// Whom it stays with, other than this one, to which it is given now; nobody where it stays with this one from now on.
    pub(super) fn note(
        &mut self,
        request: Request,
        by: &Arc<EndpointState>,
        stand: impl Fn(usize) -> Stand,
    ) -> Option<Index> {
        if let Some(index) = self.find(request, &stand) {
            return Some(index);
        }
        let by = Arc::downgrade(by);
        self.0
            .retain(|served| served.counts(request) && !served.by.ptr_eq(&by));
        if self.0.len() >= MOST
            && let Some((silent, _)) = self.0.iter().enumerate().min_by_key(|(_, one)| one.at)
        {
            self.0.remove(silent);
        }
        // Should somebody who is away be back, this one has taken its place.
        let is_away = |served: &Served| matches!(stand(served.address()), Stand::Elsewhere);
        self.0.sort_by_key(is_away);
        let place = self.0.partition_point(|served| !is_away(served));
        let at = request.now;
        self.0.insert(place, Served { by, at });
        None
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Served {
    /// Where it is, if the client stays with it for such a request.
    fn fits(&self, request: Request, stand: impl Fn(usize) -> Stand) -> Option<Index> {
        if !self.counts(request) {
            return None;
        }
        match stand(self.address()) {
            Stand::Fit(index) => Some(index),
            Stand::Elsewhere | Stand::Unfit => None,
        }
    }

    /// Unless it is gone, or the client was silent for too long before the request.
    fn counts(&self, request: Request) -> bool {
        self.by.strong_count() > 0 && request.now.since(self.at) <= request.timeout
    }

    fn address(&self) -> usize {
        self.by.as_ptr().addr()
    }
}
