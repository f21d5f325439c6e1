//! A ring from another one, where few points come and go.
//!
//! What lies between two points that come or go is taken over as it stands, and so is the index: copying is an order
//! of magnitude faster than merging point by point.

use super::{
    super::host::Host,
    points::{Point, Ring, entries, entry},
};

/// What happens to a ring.
#[derive(Debug)]
pub(super) struct Edit {
    /// Points that go, as they are called in the old ring.
    pub(super) gone: Vec<Point>,
    /// Points that come, as they are called in the new ring.
    pub(super) added: Vec<Point>,
    /// The new number of each old host, in the same order; of those that go, zero.
    pub(super) numbers: Vec<Host>,
}

/// What happens at a place of the old ring. A point that comes does so before the one that stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Add(Point),
    Remove(Point),
}

impl Edit {
    /// The ring that comes of it.
    pub(super) fn apply(&self, old: &Ring) -> Ring {
        let changes = self.changes(old);
        let length = old.points().len() + self.added.len() - self.gone.len();
        let points = self.points(old, &changes, length);
        match entries(length) == old.index().len() {
            true => Ring::with_index(points, index(old, &changes)),
            false => Ring::of_sorted(points),
        }
    }

    fn changes(&self, old: &Ring) -> Vec<(usize, Change)> {
        let places = |point: &Point| old.place(|one| one.hash() < point.hash(), point.hash());
        let removals = self.gone.iter().map(|point| {
            // Among points of the same hash, that of the same host.
            let place = places(point);
            let same = old.points().get(place..).unwrap_or_default();
            let offset = same.iter().position(|one| one == point);
            (place + offset.unwrap_or_default(), Change::Remove(*point))
        });
        let additions = self.added.iter().map(|point| {
            let before = |one: &Point| self.renumber(*one) < *point;
            (old.place(before, point.hash()), Change::Add(*point))
        });
        let mut changes: Vec<_> = removals.chain(additions).collect();
        changes.sort_unstable();
        changes
    }

    fn points(&self, old: &Ring, changes: &[(usize, Change)], length: usize) -> Vec<Point> {
        let mut points = Vec::with_capacity(length);
        let take = |from: usize, to: usize, points: &mut Vec<Point>| {
            let run = old.points().get(from..to).unwrap_or_default();
            points.extend(run.iter().map(|point| self.renumber(*point)));
        };
        let mut from = 0;
        for (place, change) in changes {
            take(from, *place, &mut points);
            from = *place;
            match change {
                Change::Add(point) => points.push(*point),
                Change::Remove(_) => from += 1,
            }
        }
        take(from, old.points().len(), &mut points);
        points
    }

    #[inline]
    fn renumber(&self, point: Point) -> Point {
        let number = self.numbers.get(point.host().0 as usize);
        point.of(number.copied().unwrap_or(point.host()))
    }
}

/// The index, of which entries behind a point that came or went move by one.
fn index(old: &Ring, changes: &[(usize, Change)]) -> Vec<u32> {
    let mut index = Vec::with_capacity(old.index().len());
    let mut shift = 0_u32;
    let take = |to: usize, shift: u32, index: &mut Vec<u32>| {
        let run = old.index().get(index.len()..to).unwrap_or_default();
        index.extend(run.iter().map(|begin| begin.wrapping_add(shift)));
    };
    for (_, change) in changes {
        let (point, by) = match change {
            Change::Add(point) => (point, 1),
            Change::Remove(point) => (point, u32::MAX),
        };
        take(
            entry(point.high(), old.index().len()) + 1,
            shift,
            &mut index,
        );
        shift = shift.wrapping_add(by);
    }
    take(old.index().len(), shift, &mut index);
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Edit, Host, Point, Ring};

    proptest! {
        /// Also where points of several hosts coincide, which no names that one could think of bring about.
        #[test]
        fn it_is_the_ring_of_the_points_that_are_there(
            // Of each host: its points before, and those after. Many are near each other, or the same.
            hosts in prop::collection::vec((points(), points(), any::<bool>()), 0..12),
        ) {
            let mut edit = Edit { gone: Vec::new(), added: Vec::new(), numbers: Vec::new() };
            let (mut before, mut after) = (Vec::new(), Vec::new());
            let (mut old, mut new) = (0, 0);
            for (was, is, stays) in hosts {
                let is = if stays { was.clone() } else { is };
                let was: Vec<_> = was.iter().map(|hash| Point::new(*hash, Host(old))).collect();
                let is: Vec<_> = is.iter().map(|hash| Point::new(*hash, Host(new))).collect();
                match stays {
                    true => edit.numbers.push(Host(new)),
                    false => {
                        edit.numbers.push(Host(0));
                        edit.gone.extend(&was);
                        edit.added.extend(&is);
                    }
                }
                before.extend(was);
                old += 1;
                // A host without points is one that is not there.
                new += u32::from(stays || !is.is_empty());
                after.extend(is);
            }
            prop_assert_eq!(edit.apply(&Ring::of(&before)), Ring::of(&after));
        }
    }

    fn points() -> impl Strategy<Value = Vec<u64>> {
        let hash = prop_oneof![
            any::<u64>(),
            0_u64..3,
            (0_u64..3).prop_map(|low| u64::MAX - low)
        ];
        prop::collection::btree_set(hash, 0..6).prop_map(|hashes| hashes.into_iter().collect())
    }
}
