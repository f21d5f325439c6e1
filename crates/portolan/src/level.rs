//! How something is, as opposed to what has happened to it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::Notify;

/// Good or bad. Whoever looks sees how it is now, and whether it was otherwise meanwhile: no word can be lost,
/// as it could with events. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Level(Arc<Signal>);

struct Signal {
    /// How often it has changed; even where it is good.
    changes: AtomicU32,
    changed: Arc<Notify>,
}

impl Level {
    /// Begins as good; `changed` is told of each change.
    pub(crate) fn good(changed: Arc<Notify>) -> Self {
        Self::after(0, changed)
    }

    /// Begins as bad, and has [never been](NEVER_GOOD) good.
    pub(crate) fn bad(changed: Arc<Notify>) -> Self {
        Self::after(NEVER_GOOD, changed)
    }

    fn after(changes: u32, changed: Arc<Notify>) -> Self {
        Self(Arc::new(Signal {
            changes: AtomicU32::new(changes),
            changed,
        }))
    }

    pub(crate) fn is_good(&self) -> bool {
        is_good(self.changes())
    }

    /// How often it has changed.
    pub(crate) fn changes(&self) -> u32 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Says how it is now. Whether that is news: what has never been good may be found bad, once.
    pub(crate) fn set(&self, good: bool) -> bool {
        // The common case, a word that changes nothing, only reads.
        let mut changes = self.changes();
        while is_good(changes) != good || changes == NEVER_GOOD {
            let more = match (changes, good) {
                (NEVER_GOOD, false) => FOUND_BAD,
                _ => changes.wrapping_add(1),
            };
            let exchange = self.0.changes.compare_exchange_weak(
                changes,
                more,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match exchange {
                Ok(_) => {
                    self.0.changed.notify_one();
                    return true;
                }
                Err(found) => changes = found,
            }
        }
        false
    }
}

/// The changes of what began as bad, and of which nothing has been said.
pub(crate) const NEVER_GOOD: u32 = u32::MAX;

/// Those of what began as bad, and was found to be so: as many as what was good once has.
const FOUND_BAD: u32 = 1;

/// How it is after so many changes.
pub(crate) fn is_good(changes: u32) -> bool {
    changes.is_multiple_of(2)
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_good() { "Good" } else { "Bad" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once_and_what_was_never_good_can_be_found_bad() {
        let changed = Arc::new(Notify::new());
        let good = Level::good(Arc::clone(&changed));
        let news = [true, false, false, true, true].map(|said| good.set(said));
        assert_eq!(news, [false, true, false, true, false]);
        let new = Level::bad(Arc::clone(&changed));
        assert!(!new.is_good());
        let news = [false, false, true, false].map(|said| new.set(said));
        assert_eq!(news, [true, false, true, true]);
        let proves_itself = Level::bad(changed);
        assert!(proves_itself.set(true) && proves_itself.is_good());
    }
}
