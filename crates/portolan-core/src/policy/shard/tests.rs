//! Golden values, and that nothing leaves its shard.

use std::{num::NonZeroU32, sync::Arc};

use super::{Absent, Shard, ShardMap, ShardMaps, Shards, jump::jump, slot};
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, Index, Measurement, PickContext, Placement,
    Policy, Reason, Time, Tried, Verdict,
    policy::{PeakEwma, key_hash},
};

fn pods(ordinals: &[(&str, u32)]) -> Candidates {
    let list: Vec<_> = ordinals
        .iter()
        .map(|(set, ordinal)| {
            let name = Placement::new(format!("{set}-{ordinal}"));
            let endpoint = Endpoint::new(name, ([10, 0, 0, *ordinal as u8], 80).into());
            let endpoint = Arc::new(endpoint.with_ordinal(*ordinal));
            let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
            Candidate {
                endpoint,
                state: Arc::new(state),
            }
        })
        .collect();
    Candidates::new(list, 1)
}

#[test]
fn jump_hash_is_that_of_others() {
    // From the tests of github.com/dgryski/go-jump.
    let golden = [
        (1, 1, 0),
        (42, 57, 43),
        (0xDEAD_10CC, 666, 361),
        (256, 1024, 520),
    ];
    for (hash, buckets, bucket) in golden {
        assert_eq!(jump(hash, NonZeroU32::new(buckets).unwrap()), bucket);
    }
}

#[test]
fn slots_are_those_of_redis() {
    assert_eq!(slot::slot(b"123456789"), 0x31c3);
    assert_eq!(slot::slot(b"foo"), 12182);
    assert_eq!(slot::slot(b"{user1000}.following"), slot::slot(b"user1000"));
    assert_eq!(slot::slot(b"foo{}{bar}"), 8363);
}

#[test]
fn a_key_goes_to_its_shard_or_nowhere() {
    let policy = Shard::by_ordinal(Shards::fixed(4)).while_absent(Absent::FailFast);
    let all = [("db", 0), ("db", 1), ("db", 2), ("db", 3), ("db", 4)];
    for gone in 0..5 {
        let there: Vec<_> = all.into_iter().filter(|(_, n)| *n != gone).collect();
        let candidates = pods(&there);
        let picker = policy.build(&candidates);
        for key in 0..500u32 {
            let key = key.to_be_bytes();
            let shard = jump(key_hash(&key), NonZeroU32::new(4).unwrap());
            let context = PickContext::new(Time::ORIGIN, 7).with_key(&key);
            match picker.pick(&context) {
                Verdict::Use(index) => {
                    let chosen = candidates.get(index).unwrap();
                    assert_eq!(chosen.endpoint.ordinal(), Some(shard));
                    let tried: Tried = [index].into_iter().collect();
                    let again = picker.pick(&context.with_tried(&tried));
                    assert_eq!(again, Verdict::Fail(Reason::AllTried));
                }
                other => {
                    assert_eq!(shard, gone);
                    assert_eq!(other, Verdict::Fail(Reason::ShardAbsent { shard }));
                }
            }
        }
    }
}

#[test]
fn what_is_not_clear_is_refused() {
    let context = PickContext::new(Time::ORIGIN, 7);
    let two = pods(&[("db", 0), ("standby", 0)]);
    let one = Shard::by_ordinal(Shards::fixed(1)).build(&two);
    assert_eq!(one.pick(&context), Verdict::Fail(Reason::NoKey));
    let timed = |policy: Shard| policy.build(&pods(&[("db", 0)])).is_timed();
    assert!(!timed(Shard::by_ordinal(Shards::fixed(1))));
    assert!(timed(
        Shard::by_ordinal(Shards::fixed(1)).over(PeakEwma::new())
    ));
    assert!(one.never_panics());
    let ambiguous = Verdict::Fail(Reason::ShardAmbiguous { shard: 0 });
    assert_eq!(one.pick(&context.with_key(b"")), ambiguous);
    let none = Shard::by_ordinal(Shards::fixed(0)).build(&two);
    assert_eq!(
        none.pick(&context.with_key(b"")),
        Verdict::Fail(Reason::NoShards)
    );
}

#[test]
fn a_map_says_where_each_key_is_and_a_new_one_takes_its_place() {
    let (handle, maps) = ShardMaps::channel();
    let policy = Shard::by_map(maps).while_absent(Absent::FailFast);
    let candidates = pods(&[("a", 0), ("a", 1)]);
    let pick = |key: &[u8]| {
        let picker = policy.build(&candidates);
        picker.pick(&PickContext::new(Time::ORIGIN, 7).with_key(key))
    };
    assert_eq!(pick(b"x"), Verdict::Wait, "no map yet");
    let map = ShardMap::ranges()
        .assign(.."m", 5)
        .assign("m".., 9)
        .pods(5, ["a-1"])
        .pods(9, ["stranger"]);
    handle.set(map.build().unwrap()).unwrap();
    assert_eq!(pick(b"b"), Verdict::Use(Index::new(1)));
    assert_eq!(pick(b"x"), Verdict::Fail(Reason::ShardAbsent { shard: 9 }));
    let map = ShardMap::ranges().gaps_unassigned().assign(.."m", 9);
    handle.set(map.pods(9, ["a-0"]).build().unwrap()).unwrap();
    assert_eq!(pick(b"b"), Verdict::Use(Index::new(0)));
    assert_eq!(pick(b"x"), Verdict::Fail(Reason::KeyUnassigned));
    assert!(policy.changes().is_some());
}
