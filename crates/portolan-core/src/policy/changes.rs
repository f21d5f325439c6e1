//! What policies go by besides the endpoints: values that are set in one place and read in others.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use super::Changes;
use crate::sync::{AtomicU64, Ordering};

/// Sets a value. There is one of it for each value.
pub(super) struct Setter<T>(Arc<Shared<T>>);

/// Reads a value, and hears of changes.
pub(super) struct Reader<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// Counts the changes: written under the lock, and read without it by picks.
    version: AtomicU64,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: T,
    /// Whether it can still be set.
    settable: bool,
    readers: usize,
    /// Those who wait for a change, by a number of their own.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
    /// Who waits until nobody reads any more.
    closing: Option<Waker>,
}

/// A value, with who sets it and who reads it.
pub(super) fn cell<T: Clone>(value: T) -> (Setter<T>, Reader<T>) {
    let shared = Arc::new(Shared {
        version: AtomicU64::new(0),
        state: Mutex::new(State {
            value,
            settable: true,
            readers: 1,
            waiting: BTreeMap::new(),
            next: 0,
            closing: None,
        }),
    });
    (Setter(Arc::clone(&shared)), Reader(shared))
}

impl<T> Shared<T> {
    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

impl<T> State<T> {
    fn take_waiting(&mut self) -> BTreeMap<u64, Waker> {
        mem::take(&mut self.waiting)
    }
}

/// Not while the lock is held: whoever is woken may look at once.
fn wake(waiting: BTreeMap<u64, Waker>) {
    waiting.into_values().for_each(Waker::wake);
}

impl<T: Clone> Setter<T> {
    /// Looks at the value and, where `update` says how it is from now on, sets it.
    pub(super) fn update<R>(&self, update: impl FnOnce(&T) -> (Option<T>, R)) -> R {
        let mut state = self.0.lock();
        let (value, result) = update(&state.value);
        let Some(value) = value else {
            return result;
        };
        // What was there before may take its time to go.
        let before = mem::replace(&mut state.value, value);
        self.0.version.fetch_add(1, Ordering::Release);
        let waiting = state.take_waiting();
        drop(state);
        wake(waiting);
        drop(before);
        result
    }

    /// Ready when nobody reads the value any more.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + Send + use<'_, T>
    where
        T: Send,
    {
        std::future::poll_fn(|context| {
            let mut state = self.0.lock();
            if state.readers == 0 {
                return Poll::Ready(());
            }
            state.closing = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl<T> Drop for Setter<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.settable = false;
        let waiting = state.take_waiting();
        drop(state);
        wake(waiting);
    }
}

impl<T: Clone> Reader<T> {
    /// The value as it is now.
    pub(super) fn read(&self) -> T {
        self.0.lock().value.clone()
    }

    /// The value as it is now, and of which version that is.
    pub(super) fn read_versioned(&self) -> (T, u64) {
        let state = self.0.lock();
        (state.value.clone(), self.0.version())
    }
}

impl<T> Reader<T> {
    /// Which version holds, without a lock: for picks, which must not wait.
    pub(super) fn version(&self) -> u64 {
        self.0.version()
    }
}

impl<T: Clone + Send + 'static> Reader<T> {
    /// Yields when the value is set from now on; ends when it cannot be set any more.
    pub(super) fn changes(&self) -> Changes {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        let seen = self.0.version();
        drop(state);
        Box::pin(Listener {
            reader: self.clone(),
            seen,
            number,
        })
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        self.0.lock().readers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.readers -= 1;
        let closing = match state.readers {
            0 => state.closing.take(),
            _ => None,
        };
        drop(state);
        if let Some(closing) = closing {
            closing.wake();
        }
    }
}

impl<T: fmt::Debug + Clone> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Setter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lock().value.fmt(f)
    }
}

/// Hears of the changes of a value.
struct Listener<T> {
    reader: Reader<T>,
    seen: u64,
    number: u64,
}

impl<T> Stream for Listener<T> {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        let shared = Arc::clone(&self.reader.0);
        let mut state = shared.lock();
        let version = shared.version();
        if version > self.seen {
            self.seen = version;
            return Poll::Ready(Some(()));
        }
        if !state.settable {
            return Poll::Ready(None);
        }
        state.waiting.insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        self.reader.0.lock().waiting.remove(&self.number);
    }
}

/// The changes of several, as those of one.
pub(super) fn merged(all: impl IntoIterator<Item = Option<Changes>>) -> Option<Changes> {
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Box::pin(Merged(all))),
    }
}

struct Merged(Vec<Changes>);

impl Stream for Merged {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        let mut changed = false;
        // All are asked, so that each knows whom to wake. One that has news may have more, and so may
        // this: who is told of a change asks again.
        self.0
            .retain_mut(|one| match one.as_mut().poll_next(context) {
                Poll::Ready(Some(())) => {
                    changed = true;
                    true
                }
                Poll::Ready(None) => false,
                Poll::Pending => true,
            });
        match (changed, self.0.is_empty()) {
            (true, _) => Poll::Ready(Some(())),
            (false, true) => Poll::Ready(None),
            (false, false) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
