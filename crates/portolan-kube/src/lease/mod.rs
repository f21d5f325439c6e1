//! Who holds a Lease, by what is seen of it and when.

mod wire;

use std::time::Duration;

use portolan_core::policy::Epoch;
pub(crate) use wire::WireLease;

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) uid: String,
    pub(crate) holder: Option<String>,
    pub(crate) transitions: u64,
    /// Compared with itself only: it is the time of another machine.
    pub(crate) renewed: String,
    pub(crate) duration: Option<Duration>,
}

/// Who is to be told to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Holds(String, Epoch),
    Vacant(Epoch),
}

/// Follows a Lease. Decides without a clock: the time is an argument, since an origin of the caller's.
#[derive(Debug, Default)]
pub(crate) struct Tenure {
    last: Option<Lease>,
    /// When it runs out.
    until: Option<Duration>,
    /// Where the count of a Lease that was made anew starts.
    base: u64,
    epoch: u64,
}

impl Tenure {
    /// The Lease is like this. Whoever renews it changes it; to be seen again is not to be renewed.
    pub(crate) fn see(&mut self, lease: Lease, now: Duration) -> Option<Said> {
        if self.last.as_ref() == Some(&lease) {
            return None;
        }
        let other = self.last.as_ref().is_some_and(|last| last.uid != lease.uid);
        if other {
            self.base = self.epoch.saturating_add(1);
        }
        self.epoch = self.base.saturating_add(lease.transitions);
        let epoch = Epoch::new(self.epoch);
        self.until = lease
            .duration
            .and_then(|duration| now.checked_add(duration));
        let said = match &lease.holder {
            Some(holder) => Said::Holds(holder.clone(), epoch),
            None => Said::Vacant(epoch),
        };
        if lease.holder.is_none() {
            self.until = None;
        }
        self.last = Some(lease);
        Some(said)
    }

    /// There is no such Lease.
    pub(crate) fn gone(&mut self) -> Option<Said> {
        let last = self.last.as_mut()?;
        last.renewed.clear();
        last.holder = None;
        self.until = None;
        Some(Said::Vacant(Epoch::new(self.epoch)))
    }

    /// When it runs out, unless it is renewed.
    pub(crate) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Looks whether it has run out.
    pub(crate) fn expire(&mut self, now: Duration) -> Option<Said> {
        self.until.take_if(|until| *until <= now)?;
        Some(Said::Vacant(Epoch::new(self.epoch)))
    }
}

#[cfg(test)]
mod tests;
