//! What happens next: events in the order of their times.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

use portolan_core::Time;

/// Events to come, and the time that it is.
#[derive(Debug)]
pub struct Agenda<E> {
    events: BinaryHeap<Reverse<Entry<E>>>,
    /// Events of the same time happen in the order in which they were put down, so that a run can be repeated.
    next: u64,
    now: Time,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    order: u64,
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            events: BinaryHeap::new(),
            next: 0,
            now: Time::ORIGIN,
        }
    }
}

impl<E> Agenda<E> {
    /// The time of the event that happened last.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Puts an event down for later.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Puts an event down for a time; what is past happens at once.
    pub fn at(&mut self, at: Time, event: E) {
        let entry = Entry {
            at: at.max(self.now),
            order: self.next,
            event,
        };
        self.next += 1;
        self.events.push(Reverse(entry));
    }
}

/// Goes on to the next event.
impl<E> Iterator for Agenda<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        let Reverse(entry) = self.events.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_in_order_and_those_of_one_time_as_they_were_put_down() {
        let mut agenda = Agenda::default();
        let millis = Duration::from_millis;
        agenda.after(millis(3), 'd');
        agenda.after(millis(1), 'a');
        agenda.after(millis(2), 'b');
        agenda.after(millis(2), 'c');
        assert_eq!(agenda.next(), Some('a'));
        assert_eq!(agenda.now(), Time::ORIGIN + millis(1));
        agenda.at(Time::ORIGIN, 'x');
        let rest: String = agenda.collect();
        assert_eq!(rest, "xbcd");
    }
}
