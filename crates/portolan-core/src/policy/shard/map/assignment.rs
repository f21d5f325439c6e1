//! A map that comes in parts: slices of the keys, and the names of the endpoints that they are assigned to.

use std::{
    collections::BTreeMap,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use super::{KeySpan, Keyspace, ShardMap, ShardMapError, ShardMapProblem};

/// An assignment of slices of the keys to endpoints, as a sharding service streams them: in parts, of which none means
/// anything before the last has come. A slice names its endpoints by their places among all names of the assignment.
///
/// It is shaped by gRFC A119 (auto-sharding), whose `AssignmentChunk`s fill it, and whose `AssignmentMetadata`
/// [completes](Self::complete) it:
///
/// ```
/// use portolan_core::policy::{Assignment, ShardMaps};
///
/// let (handle, maps) = ShardMaps::channel();
/// let mut assignment = Assignment::new();
/// // Of a first chunk:
/// assignment.endpoint("db-0");
/// assignment.slice(.."m", [0]);
/// // Of a second one: a slice with two endpoints, one of which the first chunk has named.
/// assignment.endpoint("db-1");
/// assignment.slice("m".., [0, 1]);
/// // And the end, with the generation.
/// handle.set(assignment.complete(7)?)?;
/// assert_eq!(maps.current().unwrap().generation(), Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Each set of endpoints that slices are assigned to is a shard, by which [`by_shard`] puts keys together. They are numbered in
/// the order of their first keys, so a number says nothing about another generation.
///
/// # How it differs from A119
/// That takes a slice that is wrong for a gap, and fills gaps with whoever is there. Here an assignment with a gap, an
/// overlap, or a place that has no name is [refused](ShardMapError) as a whole, and the last good one stays; unless [gaps are
/// meant](Self::gaps_unassigned), whose keys then are nobody's. A slice without endpoints always means that.
///
/// [`by_shard`]: https://docs.rs/portolan/latest/portolan/scatter/fn.by_shard.html
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    names: Vec<Arc<str>>,
    slices: Vec<Slice>,
    /// Places that are named in slices.
    places: usize,
    /// Of names and keys.
    bytes: usize,
    gaps_unassigned: bool,
    too_large: Option<ShardMapProblem>,
}

/// Where a slice begins, or ends.
type Edge = Bound<Box<[u8]>>;

#[derive(Clone, Debug)]
struct Slice {
    keys: (Edge, Edge),
    endpoints: Box<[u32]>,
}

/// A stream that never completes must not fill the memory. A hundred times what is known of the largest.
const MOST: usize = 1_000_000;
/// As many bytes of names and keys: some sixty for each.
const MOST_BYTES: usize = 64 << 20;

impl Assignment {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes keys that are in no slice for keys that nobody has, as A119 does. Default: the assignment is refused.
    #[must_use]
    pub fn gaps_unassigned(mut self) -> Self {
        self.gaps_unassigned = true;
        self
    }

    /// Adds the name of an endpoint: the [placement](crate::Placement) of a Pod. The first has place 0, over all parts.
    pub fn endpoint(&mut self, name: impl Into<Arc<str>>) {
        let name = name.into();
        self.bytes += name.len();
        if self.has_room(self.names.len(), "endpoints") {
            self.names.push(name);
        }
    }

    /// Adds a slice: these keys are assigned to the endpoints at these places, which may be named later. To none: they are
    /// nobody's.
    pub fn slice<B: AsRef<[u8]>>(
        &mut self,
        keys: impl RangeBounds<B>,
        endpoints: impl IntoIterator<Item = u32>,
    ) {
        let length = |bound: Bound<&B>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => key.as_ref().len(),
            Bound::Unbounded => 0,
        };
        let own = |bound: Bound<&B>| bound.map(|key| Box::from(key.as_ref()));
        self.bytes += length(keys.start_bound()) + length(keys.end_bound());
        if !self.has_room(self.slices.len(), "slices") {
            return;
        }
        let mut endpoints: Vec<u32> = endpoints.into_iter().take(MOST + 1).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        self.places += endpoints.len();
        if self.has_room(self.places.saturating_sub(1), "endpoints of slices") {
            self.slices.push(Slice {
                keys: (own(keys.start_bound()), own(keys.end_bound())),
                endpoints: endpoints.into(),
            });
        }
    }

    fn has_room(&mut self, used: usize, what: &'static str) -> bool {
        let (what, limit) = match (used >= MOST, self.bytes > MOST_BYTES) {
            (true, _) => (what, MOST),
            (false, true) => ("bytes of names and keys", MOST_BYTES),
            (false, false) => return true,
        };
        self.too_large = Some(ShardMapProblem::TooLarge { what, limit });
        false
    }

    /// Makes the map of it, in this generation.
    ///
    /// # Errors
    /// Where it is not whole: an error that names each gap, each overlap, and each place that has no name.
    pub fn complete(mut self, generation: u64) -> Result<ShardMap, ShardMapError> {
        if let Some(too_large) = self.too_large.take() {
            ShardMapError::of(vec![too_large])?;
        }
        let start = |slice: &Slice| match &slice.keys.0 {
            Bound::Included(key) | Bound::Excluded(key) => key.clone(),
            Bound::Unbounded => Box::default(),
        };
        self.slices.sort_by_cached_key(start);
        self.name_once();
        let mut map = ShardMap::ranges().generation(generation);
        if self.names.iter().any(|name| name.is_empty()) {
            map.problem(ShardMapProblem::Nameless);
        }
        if self.gaps_unassigned {
            map = map.gaps_unassigned();
        }
        let mut shards: BTreeMap<&[u32], u32> = BTreeMap::new();
        for slice in &self.slices {
            let keys = slice.keys.clone();
            if slice.endpoints.is_empty() {
                map = map.unassigned(keys);
                continue;
            }
            let next = u32::try_from(shards.len()).unwrap_or(u32::MAX);
            map = map.assign(keys, *shards.entry(&slice.endpoints).or_insert(next));
            let missing = slice
                .endpoints
                .iter()
                .find(|place| self.name(**place).is_none());
            if let Some(index) = missing {
                map.problem(ShardMapProblem::NoSuchEndpoint {
                    span: slice.span(),
                    index: *index,
                    names: self.names.len(),
                });
            }
        }
        for (endpoints, shard) in shards {
            let names = endpoints.iter().filter_map(|place| self.name(*place));
            map = map.pods(shard, names.cloned());
        }
        map.build()
    }

    /// Has slices name each endpoint by the first of its places, where it has several.
    fn name_once(&mut self) {
        let mut first = BTreeMap::new();
        for (place, name) in (0u32..).zip(&self.names) {
            first.entry(Arc::clone(name)).or_insert(place);
        }
        if first.len() == self.names.len() {
            return;
        }
        for slice in &mut self.slices {
            let once = |place: &u32| {
                let name = self.names.get(usize::try_from(*place).ok()?)?;
                first.get(name).copied()
            };
            let mut endpoints: Vec<_> = slice
                .endpoints
                .iter()
                .map(|place| once(place).unwrap_or(*place))
                .collect();
            endpoints.sort_unstable();
            endpoints.dedup();
            slice.endpoints = endpoints.into();
        }
    }

    fn name(&self, place: u32) -> Option<&Arc<str>> {
        self.names.get(usize::try_from(place).ok()?)
    }
}

impl Slice {
    fn span(&self) -> KeySpan {
        let key = |edge: &Edge| match edge {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        let (from, to) = (key(&self.keys.0), key(&self.keys.1));
        KeySpan::new(Keyspace::Keys, &from.unwrap_or_default(), to.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Placement;

    fn pods(map: &ShardMap, key: &[u8]) -> Option<Vec<String>> {
        let pods = map.pods_of(map.shard_of(key)?).iter();
        Some(pods.map(Placement::to_string).collect())
    }

    #[test]
    fn parts_come_in_any_order_and_equal_sets_are_one_shard() {
        let mut assignment = Assignment::new();
        assignment.slice("t".., [1, 0]);
        assignment.endpoint("b");
        assignment.slice("m".."t", [1]);
        assignment.slice(.."m", [0, 1, 0]);
        assignment.endpoint("a");
        let map = assignment.complete(3).unwrap();
        assert_eq!(map.shards().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(pods(&map, b"g").unwrap(), ["a", "b"]);
        assert_eq!(pods(&map, b"m").unwrap(), ["a"]);
        assert_eq!(map.shard_of(b"z"), Some(0));
        assert_eq!(map.generation(), Some(3));
    }

    #[test]
    fn what_is_not_whole_is_refused_and_says_where() {
        let mut gap = Assignment::new();
        gap.endpoint("a");
        gap.slice("b".., [0]);
        let error = gap.clone().complete(1).unwrap_err().to_string();
        assert!(error.contains("no shard has keys below \"b\""), "{error}");
        let map = gap.gaps_unassigned().complete(1).unwrap();
        assert_eq!((map.shard_of(b"a"), map.shard_of(b"b")), (None, Some(0)));

        let mut nameless = Assignment::new();
        nameless.endpoint("a");
        nameless.slice::<&str>(.., [0, 7]);
        let error = nameless.complete(1).unwrap_err().to_string();
        assert!(
            error.contains("all keys are assigned to the endpoint of index 7"),
            "{error}"
        );

        let mut overlap = Assignment::new();
        overlap.endpoint("a");
        overlap.slice(.."m", []);
        overlap.slice("k".., [0]);
        let error = overlap.complete(1).unwrap_err().to_string();
        assert!(
            error.contains("assigned twice, to no shard and to shard 0"),
            "{error}"
        );
        assert!(Assignment::new().complete(1).is_err());

        let mut empty = Assignment::new();
        empty.endpoint("");
        empty.slice::<&str>(.., [0]);
        let error = empty.complete(1).unwrap_err().to_string();
        assert!(error.contains("an endpoint has no name"), "{error}");
    }

    #[test]
    fn a_slice_of_nobody_is_no_gap() {
        let mut assignment = Assignment::new();
        assignment.endpoint("a");
        assignment.slice(.."b", []);
        assignment.slice("b".."c", [0]);
        assignment.slice("c".., []);
        let map = assignment.complete(1).unwrap();
        let shards = [b"a", b"b", b"c"].map(|key| map.shard_of(key));
        assert_eq!(shards, [None, Some(0), None]);
    }

    #[test]
    fn an_endpoint_that_is_named_twice_is_one() {
        let mut assignment = Assignment::new();
        assignment.endpoint("a");
        assignment.endpoint("a");
        assignment.slice(.."m", [0]);
        assignment.slice("m".., [1]);
        let map = assignment.complete(1).unwrap();
        assert_eq!(map.shards().len(), 1);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn as_many_as_there_may_be_are_taken() {
        let half = (MOST / 2) as u32;
        let mut assignment = Assignment::new();
        (0..half).for_each(|number| assignment.endpoint(number.to_string()));
        assignment.slice(.."m", 0..half);
        assignment.slice("m".., 0..half);
        assert!(assignment.complete(1).is_ok());
    }

    #[test]
    fn a_stream_that_never_completes_does_not_fill_the_memory() {
        let mut assignment = Assignment::new();
        for _ in 0..=MOST {
            assignment.endpoint("a");
        }
        assert_eq!(assignment.names.len(), MOST);
        let error = assignment.complete(1).unwrap_err().to_string();
        assert!(error.contains("more than 1000000 endpoints"), "{error}");
        // Few of them may be as much.
        let mut assignment = Assignment::new();
        let long = "x".repeat(8 << 20);
        (0..9).for_each(|_| assignment.slice(long.as_str().., [0]));
        assert_eq!(assignment.slices.len(), 8);
        let error = assignment.complete(1).unwrap_err().to_string();
        assert!(error.contains("bytes of names and keys"), "{error}");
    }

    proptest! {
        #[test]
        fn a_key_is_where_its_slice_says(
            cuts in prop::collection::btree_set("[a-c]{1,6}", 0..8),
            owners in prop::collection::vec(prop::collection::vec(0u32..5, 0..4), 9),
            keys in prop::collection::vec("[a-c]{0,7}", 20),
            seed in any::<u64>(),
        ) {
            let mut starts = vec![String::new()];
            starts.extend(cuts);
            let mut slices: Vec<_> = starts.iter().enumerate().collect();
            // In whatever order they come.
            slices.sort_by_key(|(nth, _)| (*nth as u64).wrapping_mul(seed | 1));
            let mut assignment = Assignment::new();
            for (nth, from) in slices {
                let endpoints = owners[nth].iter().copied();
                match starts.get(nth + 1) {
                    Some(to) => assignment.slice(from.as_str()..to.as_str(), endpoints),
                    None => assignment.slice(from.as_str().., endpoints),
                }
            }
            for name in ["p0", "p1", "p2", "p3", "p4"] {
                assignment.endpoint(name);
            }
            let map = assignment.complete(1).unwrap();
            for key in keys {
                let nth = starts.iter().filter(|start| **start <= key).count() - 1;
                let mut naive: Vec<_> = owners[nth].iter().map(|place| format!("p{place}")).collect();
                naive.sort();
                naive.dedup();
                let found = pods(&map, key.as_bytes()).unwrap_or_default();
                prop_assert_eq!(found, naive);
            }
        }
    }
}
