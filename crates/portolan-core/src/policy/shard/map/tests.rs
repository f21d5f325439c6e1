//! A map is whole, or none.

use proptest::prelude::*;

use super::{ShardMap, ShardMaps};

#[test]
fn gaps_and_overlaps_are_named() {
    let map = ShardMap::ranges().assign("b".."d", 0).assign("c".."e", 1);
    let error = map.build().unwrap_err().to_string();
    assert_eq!(
        error,
        "the map of shards is refused: no shard has keys below \"b\"; keys from \"c\" to below \"d\" are assigned \
         twice, to shard 0 and to shard 1; no shard has keys from \"e\" on"
    );
    let map = ShardMap::slots().assign(0..=99, 0).assign(200.., 1);
    let error = map.build().unwrap_err().to_string();
    assert!(error.ends_with("no shard has slots 100-199"), "{error}");
}

#[test]
fn the_last_good_one_stays() {
    let (handle, maps) = ShardMaps::channel();
    let map = |shard| ShardMap::ranges().assign("".., shard);
    assert!(handle.set(map(0).build().unwrap()).unwrap().is_some());
    assert!(handle.set(map(0).build().unwrap()).unwrap().is_none());
    assert!(handle.set(map(1).generation(1).build().unwrap()).is_err());
    assert_eq!(maps.current().unwrap().shard_of(b"x"), Some(0));
}

proptest! {
    #[test]
    fn a_look_up_is_what_the_ranges_say(
        cuts in prop::collection::btree_set("[a-c]{0,10}", 1..12),
        keys in prop::collection::vec("[a-c]{0,11}", 20),
    ) {
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| !cut.is_empty()).collect();
        cuts.insert(0, String::new());
        let mut map = ShardMap::ranges();
        for (shard, from) in cuts.iter().enumerate() {
            map = match cuts.get(shard + 1) {
                Some(to) => map.assign(from.as_str()..to.as_str(), shard as u32),
                None => map.assign(from.as_str().., shard as u32),
            };
        }
        let map = map.build().unwrap();
        for key in keys {
            let naive = cuts.iter().filter(|cut| **cut <= key).count() - 1;
            prop_assert_eq!(map.shard_of(key.as_bytes()), Some(naive as u32));
        }
    }
}
