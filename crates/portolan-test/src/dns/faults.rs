//! Faults of DNS, on a test's order.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hickory_proto::rr::Name;

use crate::error::Error;

use super::zone::parse;

/// A way in which a DNS server fails or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It says nothing.
    Silence,
    /// It failed to find out.
    ServFail,
    /// It does not answer this client.
    Refused,
    /// It says that the name does not exist.
    NxDomain,
    /// Over UDP it says that the answer is too long; over TCP it hangs up.
    TruncatedWithoutTcp,
    /// A TCP connection that brings a query falls silent for good, as one does that a NAT forgot. UDP
    /// goes on.
    StalledTcp,
    /// It answers under another id than the query's, as a forger does that guesses.
    WrongId,
    /// It answers another question.
    WrongQuestion,
    /// After the right id come bytes that are no DNS message.
    Garbage,
    /// It takes this long.
    Slow(Duration),
}

/// Orders faults. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    all: Option<Fault>,
    by_name: HashMap<Name, Fault>,
    next: Option<(Fault, u64)>,
}

impl Faults {
    /// All queries meet this fault, until another order.
    pub fn set(&self, fault: Fault) {
        self.lock().all = Some(fault);
    }

    /// All queries for this name meet this fault, whatever is ordered for the rest.
    ///
    /// # Errors
    /// [`Error::BadName`] where the name is none.
    pub fn set_for(&self, name: &str, fault: Fault) -> Result<(), Error> {
        let name = parse(name)?;
        self.lock().by_name.insert(name, fault);
        Ok(())
    }

    /// The next `count` queries meet this fault, and those after them what was ordered otherwise.
    pub fn set_for_next(&self, count: u64, fault: Fault) {
        self.lock().next = Some((fault, count));
    }

    /// All goes well again.
    pub fn clear(&self) {
        *self.lock() = Plan::default();
    }

    /// The fault of a query for this name.
    pub(super) fn take(&self, name: &Name) -> Option<Fault> {
        let mut plan = self.lock();
        if let Some((fault, left)) = &mut plan.next
            && *left > 0
        {
            *left -= 1;
            return Some(*fault);
        }
        plan.by_name.get(name).copied().or(plan.all)
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
