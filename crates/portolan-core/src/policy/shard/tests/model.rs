//! Whatever restarts, scales or is moved: no request leaves its shard.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happens between requests.
#[derive(Clone, Debug)]
enum Step {
    /// Pods go, or come back.
    Toggle(u8),
    /// A map says that a shard is on other Pods.
    Move { shard: u32, pods: Vec<u8> },
    /// The same, but late: it must change nothing.
    Late,
    /// A request, which fails wherever it gets for so many times.
    Request { key: u8, failures: u8, reads: bool },
}

const SHARDS: u32 = 4;
const PODS: u8 = 7;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..PODS).prop_map(Step::Toggle),
        1 => (0..SHARDS, prop::collection::vec(0..PODS, 1..3))
            .prop_map(|(shard, pods)| Step::Move { shard, pods }),
        1 => Just(Step::Late),
        4 => (any::<u8>(), 0..4u8, any::<bool>())
            .prop_map(|(key, failures, reads)| Step::Request { key, failures, reads }),
    ]
}

fn name(pod: u8) -> String {
    format!("db-{pod}")
}

/// The map: keys by their first bit pairs, each shard on these Pods.
fn map_of(owners: &BTreeMap<u32, BTreeSet<u8>>, generation: u64) -> ShardMap {
    let builder = ShardMap::ranges().generation(generation);
    let builder = builder
        .assign(..&b"\x40"[..], 0)
        .assign(&b"\x40"[..]..&b"\x80"[..], 1)
        .assign(&b"\x80"[..]..&b"\xc0"[..], 2)
        .assign(&b"\xc0"[..].., 3);
    let with_pods = |builder: super::super::ShardMapBuilder<_>,
                     (shard, pods): (&u32, &BTreeSet<u8>)| {
        builder.pods(*shard, pods.iter().map(|pod| name(*pod)))
    };
    owners.iter().fold(builder, with_pods).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_request_leaves_its_shard(steps in prop::collection::vec(step(), 1..60), fail_fast: bool) {
        let mut owners: BTreeMap<u32, BTreeSet<u8>> =
            (0..SHARDS).map(|shard| (shard, BTreeSet::from([shard as u8]))).collect();
        let mut there: BTreeSet<u8> = (0..PODS).collect();
        let mut generation = 1;
        let (handle, maps) = ShardMaps::channel();
        handle.set(map_of(&owners, generation)).unwrap();
        let mut policy = Shard::by_map(maps);
        if fail_fast {
            policy = policy.while_absent(Absent::FailFast);
        }
        for step in steps {
            match step {
                Step::Toggle(pod) => {
                    if !there.remove(&pod) {
                        there.insert(pod);
                    }
                }
                Step::Move { shard, pods } => {
                    owners.insert(shard, pods.into_iter().collect());
                    generation += 1;
                    handle.set(map_of(&owners, generation)).unwrap();
                }
                Step::Late => {
                    let everywhere = (0..SHARDS).map(|shard| (shard, (0..PODS).collect()));
                    let late = map_of(&everywhere.collect(), generation - 1);
                    prop_assert!(handle.set(late).is_err());
                }
                Step::Request { key, failures, reads } => {
                    let names: Vec<_> = there.iter().map(|pod| name(*pod)).collect();
                    let names: Vec<_> = names.iter().map(String::as_str).collect();
                    let candidates = named(&names);
                    let picker = policy.build(&candidates);
                    let shard = u32::from(key >> 6);
                    let mut may: BTreeSet<_> =
                        owners[&shard].intersection(&there).map(|pod| name(*pod)).collect();
                    let is_absent = may.is_empty();
                    let mut tried = Tried::new();
                    let intent = if reads { Intent::Read } else { Intent::Write };
                    let key = [key];
                    for _ in 0..=failures {
                        let context = PickContext::new(Time::ORIGIN, 7).with_key(&key).with_intent(intent);
                        match picker.pick(&context.with_tried(&tried)) {
                            Verdict::Use(index) => {
                                let chosen = candidates.get(index).unwrap();
                                let chosen = chosen.endpoint.placement().as_str();
                                prop_assert!(may.remove(chosen), "{chosen} is not of shard {shard}, or was tried");
                                tried.insert(index);
                            }
                            Verdict::Fail(Reason::AllTried) => prop_assert!(may.is_empty() && !is_absent),
                            Verdict::Fail(Reason::ShardAbsent { shard: absent }) => {
                                prop_assert!(fail_fast && is_absent && absent == shard);
                            }
                            other => prop_assert!(other == Verdict::Wait && is_absent && !fail_fast, "{other:?}"),
                        }
                    }
                }
            }
        }
    }
}
