//! Who says that it is the primary, and what is to be made of that.

use std::{collections::BTreeMap, time::Duration};

use portolan_core::{
    Placement,
    policy::{Epoch, Leadership, Role},
};
use tokio::time::Instant;

/// What each endpoint said last of its role.
#[derive(Debug)]
pub(super) struct Claims {
    said: BTreeMap<Placement, Said>,
    /// For how long a word counts against another one's: until whoever said it has been asked again, for certain.
    fresh: Duration,
}

#[derive(Debug)]
struct Said {
    role: Role,
    epoch: Option<Epoch>,
    at: Instant,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            said: BTreeMap::new(),
            fresh: Duration::ZERO,
        }
    }

    /// A word counts for so long from now on.
    pub(super) fn count_for(&mut self, fresh: Duration) {
        self.fresh = fresh;
    }

    /// An endpoint has said which role it has.
    pub(super) fn hear(
        &mut self,
        placement: &Placement,
        role: Role,
        epoch: Option<Epoch>,
        at: Instant,
    ) {
        let said = Said { role, epoch, at };
        self.said.insert(placement.clone(), said);
    }

    /// An endpoint is not there any more, and has no say.
    pub(super) fn gone(&mut self, placement: &Placement) {
        self.said.remove(placement);
    }

    /// Tells the leadership what it all comes to.
    pub(super) fn tell(&self, leadership: &Leadership, now: Instant) {
        let primaries = || {
            let is_primary = |(_, said): &(_, &Said)| said.role == Role::Primary;
            self.said.iter().filter(is_primary)
        };
        // Epochs settle it by themselves.
        for (placement, said) in primaries() {
            if let Some(epoch) = said.epoch {
                leadership.announce(placement.clone(), epoch);
            }
        }
        let mut counted =
            primaries().filter(|(_, said)| said.epoch.is_none() && self.is_fresh(said, now));
        let (one, other) = (counted.next(), counted.next());
        let known = leadership.primary();
        match (one, other, known) {
            (Some((only, _)), None, Some((known, _))) if known == *only => {}
            (Some((only, _)), None, _) => {
                // Each new primary is one epoch further than anything that was known.
                let last = leadership.epoch().map_or(0, Epoch::number);
                leadership.announce(only.clone(), Epoch::new(last.saturating_add(1)));
            }
            (Some(_), Some(_), Some((_, epoch))) => {
                leadership.vacate(epoch);
            }
            // Nobody says so. Whoever does not answer may still be it; whoever says that it is not is not.
            (None, _, Some((known, epoch))) if self.resigned(&known, epoch) => {
                leadership.vacate(epoch);
            }
            _ => {}
        }
    }

    fn is_fresh(&self, said: &Said, now: Instant) -> bool {
        now.saturating_duration_since(said.at) <= self.fresh
    }

    /// Whether it has said, of this epoch or of a later one, that it is a replica.
    fn resigned(&self, placement: &Placement, epoch: Epoch) -> bool {
        self.said.get(placement).is_some_and(|said| {
            said.role == Role::Replica && said.epoch.is_none_or(|said| said >= epoch)
        })
    }
}
