//! Which endpoint each client was served by last.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use crate::{EndpointState, Index, Time};

/// Which endpoint each client was served by last: as many as there is room for, those of late before others.
///
/// It is in parts, each under a lock of its own, so that requests of different clients seldom meet.
pub(super) struct Clients {
    parts: Box<[Mutex<Part>]>,
}

const PARTS: usize = 64;

/// A request: whose it is, when it comes, and how long the client may have been silent before.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) client: u64,
    pub(super) now: Time,
    pub(super) timeout: Duration,
}

/// A part of the clients, in two generations: when the young ones are as many as may be, they are the old ones, and those
/// who were old are forgotten. Whoever is looked for is young again. So what is forgotten has not been used for longer
/// than anything of the half that stays, without a list to be kept in order.
#[derive(Default)]
struct Part {
    young: HashMap<u64, Served>,
    old: HashMap<u64, Served>,
    most: usize,
}

#[derive(Clone)]
struct Served {
    /// Weak, so that an endpoint that is gone is not kept; its place in memory is no other one's meanwhile.
    by: Weak<EndpointState>,
    at: Time,
}

impl Clients {
    pub(super) fn new(most: usize) -> Self {
        let part = || Part {
            most: most.div_ceil(2 * PARTS).max(1),
            ..Part::default()
        };
        Self {
            parts: (0..PARTS).map(|_| Mutex::new(part())).collect(),
        }
    }

    /// Whom the client stays with, if `place` knows that endpoint. It has been served once more then.
    pub(super) fn find(
        &self,
        request: Request,
        place: impl Fn(&EndpointState) -> Option<Index>,
    ) -> Option<Index> {
        self.with(request.client, |part| {
            let served = part.served(request.client)?;
            let index = served.before(request).and_then(|state| place(&state))?;
            served.at = served.at.max(request.now);
            Some(index)
        })
    }

    /// The same without having served it.
    pub(super) fn peek(
        &self,
        request: Request,
        place: impl Fn(&EndpointState) -> Option<Index>,
    ) -> Option<Index> {
        let client = request.client;
        self.with(client, |part| {
            let served = part.young.get(&client).or_else(|| part.old.get(&client))?;
            served.before(request).and_then(|state| place(&state))
        })
    }

    /// The client is served by this one, and stays with it, unless it stays with another one that `is_there`: that one is
    /// returned. It did not take this request, or another request of the client has been given to it just now.
    pub(super) fn note(
        &self,
        request: Request,
        by: &Arc<EndpointState>,
        is_there: impl Fn(&EndpointState) -> bool,
    ) -> Option<Arc<EndpointState>> {
        let Request { client, now, .. } = request;
        self.with(client, |part| {
            if let Some(served) = part.served(client)
                && let Some(state) = served.before(request)
                && is_there(&state)
            {
                served.at = served.at.max(now);
                return Some(state);
            }
            let by = Arc::downgrade(by);
            part.insert(client, Served { by, at: now });
            None
        })
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let part = |part: &Mutex<Part>| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.young.len() + part.old.len()
        };
        self.parts.iter().map(part).sum()
    }

    fn with<T>(&self, client: u64, what: impl FnOnce(&mut Part) -> Option<T>) -> Option<T> {
        // The upper bits: the table inside of a part goes by all of them, hashed once more.
        let part = self.parts.get((client >> 58) as usize)?;
        what(&mut part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Part {
    fn served(&mut self, client: u64) -> Option<&mut Served> {
        if let Some(served) = self.old.remove(&client) {
            self.insert(client, served);
        }
        self.young.get_mut(&client)
    }

    fn insert(&mut self, client: u64, served: Served) {
        if self.young.len() >= self.most && !self.young.contains_key(&client) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(client, served);
    }
}

impl Served {
    /// The endpoint, unless it is gone, or the client was silent for too long before the request.
    fn before(&self, request: Request) -> Option<Arc<EndpointState>> {
        if request.now.since(self.at) > request.timeout {
            return None;
        }
        self.by.upgrade()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients(…)")
    }
}
