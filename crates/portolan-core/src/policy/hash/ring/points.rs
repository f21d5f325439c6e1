//! The ring itself: points in order, and which host each belongs to.
//!
//! A key belongs to the first point from its hash on, round the end. Where on the ring that is, an index tells by the
//! hash's top bits: with as many entries as there are points, give or take a factor of two, the rest is a look at
//! one or two points, in the same line of memory. A binary search among 160,000 points looks at 17.
//!
//! The same division by the top bits sorts the points when the ring is built: they are counted out into their
//! entries, and what is left to be sorted are twos and threes. So a ring is built sooner than its points are sorted.

use super::super::host::Host;

/// The most points that a ring has, whatever the weights: 64 MiB.
pub(super) const MOST: u64 = 1 << 22;

/// So many points at a time. An entry of the index has one or two: it is rarely more.
const FEW: usize = 4;

/// A point on the ring: 12 bytes, in order of its hash, then its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    high: u32,
    low: u32,
    host: u32,
}

impl Point {
    pub(super) fn new(hash: u64, host: Host) -> Self {
        Self {
            high: (hash >> 32) as u32,
            low: hash as u32,
            host: host.0,
        }
    }

    #[inline]
    pub(super) fn hash(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    pub(super) fn high(self) -> u32 {
        self.high
    }

    pub(super) fn host(self) -> Host {
        Host(self.host)
    }

    /// The same point, of a host whose number is another now.
    pub(super) fn of(self, host: Host) -> Self {
        Self {
            host: host.0,
            ..self
        }
    }
}

/// The points, with their index: at most 16 bytes a point.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ring {
    points: Box<[Point]>,
    /// Of each value of the top bits, the first point that has it, or comes after.
    index: Box<[u32]>,
}

impl Ring {
    /// The ring of these points, in whatever order.
    pub(super) fn of(points: &[Point]) -> Self {
        let entries = entries(points.len());
        // How many points each entry has, then where its points begin, then where the next one goes.
        let mut next = vec![0_u32; entries];
        for point in points {
            if let Some(count) = next.get_mut(entry(point.high, entries)) {
                *count += 1;
            }
        }
        let mut begin = 0;
        for count in &mut next {
            begin += std::mem::replace(count, begin);
        }
        let index: Box<[u32]> = next.as_slice().into();
        let mut sorted = vec![Point::new(0, Host(0)); points.len()];
        for point in points {
            if let Some(place) = next.get_mut(entry(point.high, entries)) {
                if let Some(slot) = sorted.get_mut(*place as usize) {
                    *slot = *point;
                }
                *place += 1;
            }
        }
        // Whatever is out of order is so within its entry.
        for (&begin, &end) in index.iter().zip(&next) {
            if end - begin > 1 {
                let entry = sorted.get_mut(begin as usize..end as usize);
                entry.unwrap_or_default().sort_unstable();
            }
        }
        Self {
            points: sorted.into(),
            index,
        }
    }

    /// The ring of these points, which are in order.
    pub(super) fn of_sorted(points: Vec<Point>) -> Self {
        let entries = entries(points.len());
        let mut index = Vec::with_capacity(entries);
        for (position, point) in (0..).zip(&points) {
            let entry = entry(point.high, entries);
            while index.len() <= entry {
                index.push(position);
            }
        }
        index.resize(entries, points.len() as u32);
        Self {
            points: points.into(),
            index: index.into(),
        }
    }

    /// The ring of these points, which are in order, with the index of them.
    pub(super) fn with_index(points: Vec<Point>, index: Vec<u32>) -> Self {
        Self {
            points: points.into(),
            index: index.into(),
        }
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn index(&self) -> &[u32] {
        &self.index
    }

    /// The place of the first point, of those with the top bits of `hash` and after, that is not `before`.
    pub(super) fn place(&self, before: impl Fn(&Point) -> bool, hash: u64) -> usize {
        let since = self.since_entry(hash);
        let passed = since.iter().take_while(|point| before(point)).count();
        self.points.len() - since.len() + passed
    }

    /// How much memory it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.points) + size_of_val(&*self.index)
    }

    /// The host of the first point from `hash` on.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<Host> {
        let since = self.since_entry(hash);
        // Which of the next few it is, nobody can foretell, not even a processor: they are compared without a branch.
        if let Some(few) = since.first_chunk::<FEW>() {
            let before = few.iter().filter(|point| point.hash() < hash).count();
            if let Some(point) = few.get(before) {
                return Some(point.host());
            }
        }
        let found = since.iter().find(|point| point.hash() >= hash);
        Some(found.or(self.points.first())?.host())
    }

    /// The first host that is `such`, going round from `hash`.
    pub(super) fn first_such(&self, hash: u64, mut such: impl FnMut(Host) -> bool) -> Option<Host> {
        let ahead = self.since_entry(hash).iter();
        let ahead = ahead.skip_while(|point| point.hash() < hash);
        let round = ahead.chain(self.points.iter().take_while(|point| point.hash() < hash));
        round.map(|point| point.host()).find(|host| such(*host))
    }

    /// The points from those on that share the hash's top bits.
    #[inline]
    fn since_entry(&self, hash: u64) -> &[Point] {
        let entry = entry((hash >> 32) as u32, self.index.len());
        let begin = self.index.get(entry).copied().unwrap_or_default();
        self.points.get(begin as usize..).unwrap_or_default()
    }
}

/// How many entries the index of so many points has: a power of two, and no more than there are points.
pub(super) fn entries(points: usize) -> usize {
    match points {
        0 => 1,
        points => 1 << points.ilog2(),
    }
}

/// The entry of a hash: as many of its top bits as it takes to count the entries.
#[inline]
pub(super) fn entry(high: u32, entries: usize) -> usize {
    ((u64::from(high) * entries as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Host, Point, Ring};

    /// The ring as one would write it down.
    fn naive(points: &[Point], hash: u64) -> Vec<Host> {
        let mut points = points.to_vec();
        points.sort();
        let ahead = points.iter().filter(|point| point.hash() >= hash);
        let round = ahead.chain(points.iter().filter(|point| point.hash() < hash));
        round.map(|point| point.host()).collect()
    }

    fn points() -> impl Strategy<Value = Vec<Point>> {
        // Some hashes near each other, or the same; some anywhere.
        let hash = prop_oneof![
            any::<u64>(),
            0_u64..5,
            (0_u64..5).prop_map(|low| u64::MAX - low)
        ];
        let point = (hash, 0_u32..9).prop_map(|(hash, host)| Point::new(hash, Host(host)));
        prop::collection::vec(point, 0..300)
    }

    proptest! {
        #[test]
        fn it_is_what_one_would_write_down(points in points(), hashes in prop::collection::vec(any::<u64>(), 20)) {
            let ring = Ring::of(&points);
            let mut sorted = points.clone();
            sorted.sort();
            prop_assert_eq!(&ring, &Ring::of_sorted(sorted));
            let on_points = points.iter().flat_map(|point| [point.hash(), point.hash().wrapping_add(1)]);
            for hash in hashes.into_iter().chain(on_points).chain([0, u64::MAX]) {
                let naive = naive(&points, hash);
                prop_assert_eq!(ring.first(hash), naive.first().copied());
                let mut order = Vec::new();
                ring.first_such(hash, |host| {
                    order.push(host);
                    false
                });
                prop_assert_eq!(order, naive);
            }
        }

        #[test]
        fn a_point_takes_16_bytes_at_most(count in 1_u64..5_000) {
            let points: Vec<_> = (0..count).map(|one| Point::new(one << 50, Host(0))).collect();
            prop_assert!(Ring::of(&points).bytes() <= 16 * points.len());
        }
    }
}
