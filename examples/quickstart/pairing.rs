//! Which change of the client answers which announcement.
//!
//! Either may be heard of first, and the client passes over what comes while it is at work; so each side
//! is a queue, and a change has been followed once the client has gone by what was announced, or by
//! something that was announced later.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

pub(crate) type Addresses = BTreeSet<IpAddr>;

/// Announcements on one side, what the client went by on the other.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    announced: VecDeque<(Instant, Addresses)>,
    followed: VecDeque<(Instant, Addresses)>,
    newest: Option<Addresses>,
    delays: Vec<Duration>,
}

/// Neither side waits for more than this many of the other.
const MAX_WAITING: usize = 64;

impl Pairing {
    /// The API server says that these get traffic. Where it starts from is no change.
    pub(crate) fn announce(&mut self, at: Instant, addresses: Addresses) {
        // With nobody ready the client goes by those that still serve: that is another matter.
        if addresses.is_empty() || self.newest.as_ref() == Some(&addresses) {
            return;
        }
        if self.newest.replace(addresses.clone()).is_some() {
            push(&mut self.announced, (at, addresses));
            self.pair();
        }
    }

    /// The client goes by these.
    pub(crate) fn follow(&mut self, at: Instant, addresses: Addresses) {
        push(&mut self.followed, (at, addresses));
        self.pair();
    }

    /// How long each change took to be followed; nothing where the client heard of it first.
    pub(crate) fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// How many changes the client has not followed.
    pub(crate) fn unfollowed(&self) -> usize {
        self.announced.len()
    }

    fn pair(&mut self) {
        while let Some((announced, followed)) = self.next_pair() {
            let Some((at, _)) = self.followed.get(followed).cloned() else {
                return;
            };
            let answered = self.announced.drain(..=announced);
            self.delays
                .extend(answered.map(|(since, _)| at.saturating_duration_since(since)));
            // It stays: the client goes by it until the next.
            self.followed.drain(..followed);
        }
    }

    /// The earliest announcement that the client has gone by, and when it did.
    fn next_pair(&self) -> Option<(usize, usize)> {
        let pairs = self.announced.iter().enumerate();
        pairs
            .filter_map(|(place, (_, set))| {
                let same = self.followed.iter().position(|(_, other)| other == set)?;
                Some((place, same))
            })
            .next()
    }
}

fn push<T>(queue: &mut VecDeque<T>, one: T) {
    if queue.len() == MAX_WAITING {
        queue.pop_front();
    }
    queue.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn set(last: &[u8]) -> Addresses {
        last.iter()
            .map(|last| IpAddr::from([10, 0, 0, *last]))
            .collect()
    }

    /// One that has started from Pods 1 and 2, and the moment.
    fn started() -> (Pairing, Instant) {
        let (mut pairing, start) = (Pairing::default(), Instant::now());
        pairing.announce(start, set(&[1, 2]));
        pairing.follow(start, set(&[1, 2]));
        assert!(pairing.delays().is_empty(), "the start is no change");
        (pairing, start)
    }

    #[test]
    fn each_change_counts_whoever_hears_of_it_first() {
        let (mut pairing, start) = started();
        pairing.announce(start + MS, set(&[1]));
        pairing.follow(start + 3 * MS, set(&[1]));
        // Here the client is ahead, by two.
        pairing.follow(start + 4 * MS, set(&[1, 3]));
        pairing.follow(start + 5 * MS, set(&[1, 3, 4]));
        pairing.announce(start + 6 * MS, set(&[1, 3]));
        pairing.announce(start + 7 * MS, set(&[1, 3, 4]));
        assert_eq!(pairing.delays(), [2 * MS, Duration::ZERO, Duration::ZERO]);
        assert_eq!(pairing.unfollowed(), 0);
    }

    #[test]
    fn what_the_client_passes_over_is_followed_with_the_next() {
        let (mut pairing, start) = started();
        pairing.announce(start + MS, set(&[1]));
        pairing.announce(start + 2 * MS, set(&[1, 3]));
        assert_eq!(pairing.unfollowed(), 2);
        pairing.follow(start + 4 * MS, set(&[1, 3]));
        assert_eq!(pairing.delays(), [3 * MS, 2 * MS]);
    }

    #[test]
    fn what_the_client_found_out_by_itself_waits_for_nobody() {
        let (mut pairing, start) = started();
        pairing.follow(start + MS, set(&[1]));
        pairing.announce(start + 9 * MS, set(&[1]));
        assert_eq!(pairing.delays(), [Duration::ZERO]);
    }

    #[test]
    fn neither_side_grows_without_end() {
        let (mut pairing, start) = started();
        for turn in 0..2 * MAX_WAITING {
            let other = [3, 4][turn % 2];
            pairing.announce(start + MS, set(&[other]));
            pairing.follow(start + MS, set(&[other + 2]));
        }
        assert_eq!(pairing.unfollowed(), MAX_WAITING);
        assert_eq!(pairing.followed.len(), MAX_WAITING);
    }
}
