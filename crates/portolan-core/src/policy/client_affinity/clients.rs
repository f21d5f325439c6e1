//! Which endpoints each client was served by last.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::stays::{Stand, Stays};
use crate::{EndpointState, Index, Time};

/// Which endpoints each client was served by last: of as many clients as there is room for, those of late before others.
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
/// than anything of the half of this part that stays, without a list to be kept in order.
#[derive(Default)]
struct Part {
    young: HashMap<u64, Stays>,
    old: HashMap<u64, Stays>,
    /// How many endpoints the young ones stay with, all together, and how many that may be.
    held: usize,
    most: usize,
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

    /// Whom the client stays with for such a request. It has been served once more then.
    pub(super) fn find(&self, request: Request, stand: impl Fn(usize) -> Stand) -> Option<Index> {
        self.with(request.client, |part| {
            part.stays(request.client)?.find(request, stand)
        })
    }

    /// The same without having served it.
    pub(super) fn peek(&self, request: Request, stand: impl Fn(usize) -> Stand) -> Option<Index> {
        let client = request.client;
        self.with(client, |part| {
            let stays = part.young.get(&client).or_else(|| part.old.get(&client));
            stays?.peek(request, stand)
        })
    }

    /// The client is served by this one, and stays with it, unless it stays with another one for such requests: that one is
    /// returned. It did not take this request, or another request of the client has been given to it just now.
    pub(super) fn note(
        &self,
        request: Request,
        by: &Arc<EndpointState>,
        stand: impl Fn(usize) -> Stand,
    ) -> Option<Index> {
        self.with(request.client, |part| part.note(request, by, stand))
    }

    /// How many are remembered, each as often as it has endpoints.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let part = |part: &Mutex<Part>| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let young: usize = part.young.values().map(Stays::len).sum();
            assert_eq!(young, part.held);
            young + part.old.values().map(Stays::len).sum::<usize>()
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
    /// Whom a client stays with, if it is known; it is a young one from now on.
    fn stays(&mut self, client: u64) -> Option<&mut Stays> {
        if let Some(stays) = self.old.remove(&client) {
            self.make_room();
            self.held += stays.len();
            self.young.insert(client, stays);
        }
        self.young.get_mut(&client)
    }

    fn note(
        &mut self,
        request: Request,
        by: &Arc<EndpointState>,
        stand: impl Fn(usize) -> Stand,
    ) -> Option<Index> {
        if self.stays(request.client).is_none() {
            self.make_room();
        }
        let stays = self.young.entry(request.client).or_default();
        let before = stays.len();
        let stayed = stays.note(request, by, stand);
        self.held = self.held - before + stays.len();
        stayed
    }

    fn make_room(&mut self) {
        if self.held >= self.most {
            self.old = std::mem::take(&mut self.young);
            self.held = 0;
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients(…)")
    }
}
