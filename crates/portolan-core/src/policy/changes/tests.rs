//! No change is missed, whoever looks when.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_core::Stream as _;

use super::{cell, merged};
use crate::policy::Changes;

#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(changes: &mut Changes, waker: &Waker) -> Poll<Option<()>> {
    Pin::new(changes).poll_next(&mut Context::from_waker(waker))
}

#[test]
fn a_change_is_told_once_to_each_who_listens() {
    let (setter, reader) = cell(0);
    let wakes = Arc::new(Counting::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let (mut one, mut other) = (reader.changes(), reader.changes());
    assert_eq!(poll(&mut one, &waker), Poll::Pending);
    assert_eq!(poll(&mut other, &waker), Poll::Pending);
    setter.update(|_| (Some(1), ()));
    setter.update(|_| (Some(2), ()));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2, "each once");
    assert_eq!(reader.read(), 2);
    for listener in [&mut one, &mut other] {
        assert_eq!(poll(listener, &waker), Poll::Ready(Some(())));
        assert_eq!(poll(listener, &waker), Poll::Pending);
    }
    // What is no change wakes nobody.
    setter.update(|_| (None, ()));
    assert_eq!(poll(&mut one, &waker), Poll::Pending);
    // What was set before it listened is known.
    assert_eq!(poll(&mut reader.changes(), &waker), Poll::Pending);
    drop(setter);
    assert_eq!(poll(&mut one, &waker), Poll::Ready(None));
}

#[test]
fn the_last_change_is_told_although_nobody_can_set_any_more() {
    let (setter, reader) = cell('a');
    let mut changes = reader.changes();
    setter.update(|_| (Some('b'), ()));
    drop(setter);
    assert_eq!(poll(&mut changes, Waker::noop()), Poll::Ready(Some(())));
    assert_eq!(poll(&mut changes, Waker::noop()), Poll::Ready(None));
    assert_eq!(reader.read(), 'b');
}

#[test]
fn who_sets_hears_that_nobody_reads_any_more() {
    let (setter, reader) = cell(());
    let changes = reader.changes();
    let wakes = Arc::new(Counting::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut closed = pin!(setter.closed());
    let mut look = || closed.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(look(), Poll::Pending);
    drop(reader);
    assert_eq!(look(), Poll::Pending, "who listens reads");
    drop(changes);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(look(), Poll::Ready(()));
}

#[test]
fn of_several_each_is_heard() {
    let (one, first) = cell(0);
    let (other, second) = cell(0);
    let mut all = merged([Some(first.changes()), None, Some(second.changes())]).unwrap();
    let waker = Waker::noop();
    assert_eq!(poll(&mut all, waker), Poll::Pending);
    other.update(|_| (Some(1), ()));
    assert_eq!(poll(&mut all, waker), Poll::Ready(Some(())));
    assert_eq!(poll(&mut all, waker), Poll::Pending);
    drop(other);
    assert_eq!(poll(&mut all, waker), Poll::Pending, "one goes on");
    one.update(|_| (Some(1), ()));
    assert_eq!(poll(&mut all, waker), Poll::Ready(Some(())));
    drop(one);
    assert_eq!(poll(&mut all, waker), Poll::Ready(None));
    assert!(merged([None, None]).is_none());
}
