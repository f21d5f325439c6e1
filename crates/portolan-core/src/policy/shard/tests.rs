//! Golden values, and that nothing leaves its shard.

use std::sync::Arc;

use super::{Ordinals, Shard, ShardMap, ShardMaps, Sharding, Shards, slot};
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, Index, Intent, Measurement, PickContext,
    Placement, Policy, Reason, Time, Tried, Verdict,
    policy::{Absent, PeakEwma, RoundRobin, hash::jump::jump, key_hash},
};

pub(super) fn pods(ordinals: &[(&str, u32)]) -> Candidates {
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
        assert_eq!(jump(hash, buckets), bucket);
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
            let shard = jump(key_hash(&key), 4);
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

fn named(names: &[&str]) -> Candidates {
    let candidate = |name: &&str| {
        let endpoint = Endpoint::new(Placement::new(*name), ([10, 0, 0, 1], 80).into());
        let endpoint =
            Arc::new(endpoint.with_labels([("shard", name.rsplit('-').next().unwrap())]));
        let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
        Candidate {
            endpoint,
            state: Arc::new(state),
        }
    };
    let mut names = names.to_vec();
    names.sort_unstable();
    Candidates::new(names.iter().map(candidate).collect::<Vec<_>>(), 1)
}

/// Who serves a key, by name, over several picks.
fn who(policy: &Shard, candidates: &Candidates, key: &[u8]) -> Vec<String> {
    let picker = policy.build(candidates);
    let context = PickContext::new(Time::ORIGIN, 7).with_key(key);
    let mut names: Vec<_> = (0..6)
        .filter_map(|_| match picker.pick(&context) {
            Verdict::Use(index) => candidates.get(index),
            _ => None,
        })
        .map(|one| one.endpoint.placement().to_string())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn each_way_from_key_to_shard_is_pinned() {
    let shard = |sharding: Sharding, key: &[u8]| sharding.shard_of(key, 3);
    assert_eq!(
        shard(Sharding::modulo(), b"a"),
        Some((key_hash(b"a") % 3) as u32)
    );
    assert_eq!(shard(Sharding::jump(), b"a"), Some(jump(key_hash(b"a"), 3)));
    let long = b"340282366920938463463374607431768211456"; // 2^128, which is 1 modulo 3
    assert_eq!(shard(Sharding::number(), long), Some(1));
    assert_eq!(shard(Sharding::number(), b"007"), Some(1));
    for none in [&b""[..], b"-1", b"1.0", b" 1", b"x"] {
        assert_eq!(shard(Sharding::number(), none), None);
    }
    // What `redis-cli --cluster create` gives to three masters: 0-5460, 5461-10922, 10923-16383.
    let slots = Sharding::slots();
    for key in 0..20_000u32 {
        let key = key.to_string().into_bytes();
        let expected = match slot::slot(&key) {
            0..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        };
        assert_eq!(slots.shard_of(&key, 3), Some(expected));
    }
    assert_eq!(shard(Sharding::by(|_, shards| Some(shards)), b"a"), None);
}

#[test]
fn ordinals_may_start_anywhere_come_in_several_and_be_of_one_stateful_set() {
    let candidates = named(&[
        "db-99",
        "db-100",
        "db-101",
        "db-102",
        "db-103",
        "other-100",
        "db-x-101",
    ]);
    let ordinals = Ordinals::of("db").starting_at(100).replicas(2);
    let policy = Shard::by_ordinals(ordinals, Shards::fixed(2))
        .keys(Sharding::number())
        .over(RoundRobin::new());
    assert_eq!(who(&policy, &candidates, b"0"), ["db-100", "db-101"]);
    assert_eq!(who(&policy, &candidates, b"1"), ["db-102", "db-103"]);
}

#[test]
fn a_stateful_set_for_each_shard() {
    let candidates = named(&[
        "cache-0-0",
        "cache-0-1",
        "cache-1-0",
        "cache-10-0",
        "cache-7",
        "x",
    ]);
    let policy = Shard::by_stateful_set(Shards::fixed(11))
        .keys(Sharding::number())
        .over(RoundRobin::new());
    assert_eq!(who(&policy, &candidates, b"0"), ["cache-0-0", "cache-0-1"]);
    assert_eq!(who(&policy, &candidates, b"1"), ["cache-1-0"]);
    assert_eq!(who(&policy, &candidates, b"10"), ["cache-10-0"]);
    assert!(who(&policy, &candidates, b"7").is_empty());
}

#[test]
fn a_label_says_the_shard_and_what_is_no_number_is_no_shard() {
    let candidates = named(&["a-0", "b-1", "c-1", "d-x", "e-77"]);
    let policy = Shard::by_label("shard", Shards::fixed(3))
        .keys(Sharding::number())
        .over(RoundRobin::new());
    assert_eq!(who(&policy, &candidates, b"0"), ["a-0"]);
    assert_eq!(who(&policy, &candidates, b"1"), ["b-1", "c-1"]);
    assert!(who(&policy, &candidates, b"2").is_empty());
    assert_eq!(
        who(
            &Shard::by_label("no-such", Shards::fixed(1)),
            &candidates,
            b"0"
        ),
        [""; 0]
    );
}

#[test]
fn a_standby_reads_for_an_absent_shard_and_writes_for_none() {
    let policy = Shard::by_ordinals(Ordinals::of("db"), Shards::fixed(2))
        .keys(Sharding::number())
        .while_absent(Absent::FailFast)
        .standby(|shard| format!("db-standby-{shard}"));
    let candidates = named(&["db-0", "db-standby-0", "db-standby-1"]);
    let picker = policy.build(&candidates);
    let pick = |key: &'static [u8], intent, tried: &Tried| {
        let context = PickContext::new(Time::ORIGIN, 7)
            .with_key(key)
            .with_intent(intent);
        picker.pick(&context.with_tried(tried))
    };
    let none = Tried::NONE;
    assert_eq!(pick(b"0", Intent::Read, none), Verdict::Use(Index::new(0)));
    assert_eq!(pick(b"1", Intent::Read, none), Verdict::Use(Index::new(2)));
    let absent = Verdict::Fail(Reason::ShardAbsent { shard: 1 });
    assert_eq!(pick(b"1", Intent::Write, none), absent);
    assert_eq!(pick(b"1", Intent::Any, none), absent);
    // It has its own Pods: the standby is not asked, even where they have been tried.
    let tried: Tried = [Index::new(0)].into_iter().collect();
    assert_eq!(
        pick(b"0", Intent::Read, &tried),
        Verdict::Fail(Reason::AllTried)
    );
    let tried: Tried = [Index::new(2)].into_iter().collect();
    assert_eq!(pick(b"1", Intent::Read, &tried), absent);
}

#[test]
fn as_many_shards_as_there_are_numbers_cost_nothing() {
    let policy = Shard::by_ordinal(Shards::fixed(u32::MAX)).standby(|shard| format!("s-{shard}"));
    let candidates = pods(&[("db", 0), ("db", 1)]);
    let picker = policy.build(&candidates);
    assert_eq!(
        picker.pick(&PickContext::new(Time::ORIGIN, 7).with_key(b"k")),
        Verdict::Wait
    );
}

#[test]
fn a_number_that_changes_asks_for_a_new_picker() {
    let (handle, shards) = Shards::changing(1);
    let policy = Shard::by_ordinal(shards).keys(Sharding::number());
    let candidates = pods(&[("db", 0), ("db", 1)]);
    assert!(policy.changes().is_some());
    assert_eq!(who(&policy, &candidates, b"1"), ["db-0"]);
    assert_eq!(handle.set(2), 1);
    assert_eq!(who(&policy, &candidates, b"1"), ["db-1"]);
}

#[test]
fn a_request_without_a_key_goes_by_another_policy_where_that_is_said() {
    let policy = Shard::by_ordinal(Shards::fixed(2)).without_key(RoundRobin::new());
    let picker = policy.build(&pods(&[("db", 0), ("db", 1)]));
    assert!(matches!(
        picker.pick(&PickContext::new(Time::ORIGIN, 7)),
        Verdict::Use(_)
    ));
}

#[test]
fn it_explains_itself() {
    let policy = Shard::by_ordinal(Shards::fixed(2)).keys(Sharding::number());
    let candidates = pods(&[("db", 0)]);
    let picker = policy.build(&candidates);
    let why = |key| {
        let context = PickContext::new(Time::ORIGIN, 7).with_key(key);
        crate::Explanation::of(&*picker, &candidates, &context).to_string()
    };
    assert!(
        why(b"0")
            .starts_with("Shard: the key is of shard 0 of 2, by number modulo, which leaves 1")
    );
    assert!(
        why(b"1").contains("shard 1 of 2, by number modulo, none of whose Pods is there: nobody")
    );
    assert!(why(b"x").contains("the key is of no shard"));
}

mod model;
