//! Over policies that divide the endpoints, and under them.

use std::collections::BTreeSet;

use super::*;
use crate::{
    Explanation, Intent,
    policy::{PrimaryReplica, ReadFrom, ReplicaLag, Shard, Sharding, Shards, ZoneAware, preset},
};

const SHARD: &str = "example.com/shard";

/// Three of each shard, of which the first is the primary.
fn sharded(shards: u8) -> Candidates {
    let all = (0..3 * shards).map(|number| {
        let role = if number < shards {
            "primary"
        } else {
            "replica"
        };
        let labels = [
            (SHARD, (number % shards).to_string()),
            ("cnpg.io/instanceRole", role.to_owned()),
        ];
        let address = ([10, 0, 0, number], 80).into();
        let placement = Placement::new(format!("db-{number:03}"));
        let endpoint = Arc::new(Endpoint::new(placement, address).with_labels(labels));
        let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
        let state = Arc::new(state);
        Candidate { endpoint, state }
    });
    Candidates::new(all.collect::<Vec<_>>(), 7)
}

fn shards(number: u8) -> Shard {
    Shard::by_label(SHARD, Shards::fixed(number.into())).keys(Sharding::number())
}

fn sticky(inner: impl Policy + 'static) -> ClientAffinity {
    ClientAffinity::over(inner).always(HOUR)
}

/// Who gets a request of this client and key.
fn go(picker: &dyn Picker, client: &str, key: u8, intent: Intent, second: u64) -> usize {
    let key = key.to_string();
    let context = PickContext::new(at(second), second).with_key(key.as_bytes());
    let context = context.with_client(client.as_bytes()).with_intent(intent);
    let Verdict::Use(index) = picker.pick(&context) else {
        panic!("they are all there");
    };
    index.position()
}

#[test]
fn the_key_decides_the_shard_and_the_client_who_of_it() {
    for policy in [
        Arc::new(shards(3).over(sticky(RoundRobin::new()))) as Arc<dyn Policy>,
        Arc::new(sticky(shards(3).over(RoundRobin::new()))),
        Arc::new(shards(3).over(sticky(ZoneAware::over(RoundRobin::new())))),
        Arc::new(shards(3).over(ZoneAware::over(sticky(RoundRobin::new())))),
    ] {
        let candidates = sharded(3);
        let mut picker = policy.build(&candidates);
        let mut met: HashMap<(u8, u8), usize> = HashMap::new();
        for round in 0..120 {
            let (client, key) = ((round / 12) as u8 % 5, (round * 5 % 12) as u8);
            let name = client.to_string();
            let one = go(&*picker, &name, key, Intent::Any, round);
            assert_eq!(one % 3, usize::from(key % 3), "{policy:?}");
            assert_eq!(
                *met.entry((client, key % 3)).or_insert(one),
                one,
                "{policy:?}"
            );
            if round == 60 {
                picker = policy.build(&candidates);
            }
        }
        let spread: BTreeSet<_> = met.values().collect();
        assert!(spread.len() > 5, "{policy:?}: {spread:?}");
    }
}

#[test]
fn who_writes_to_the_primary_reads_from_one_replica_all_the_same() {
    let roles = |inner: Arc<dyn Policy>| {
        let by_label = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG);
        by_label.read_from(ReadFrom::ReplicasPreferred).over(inner)
    };
    for policy in [
        Arc::new(sticky(roles(Arc::new(RoundRobin::new())))) as Arc<dyn Policy>,
        Arc::new(roles(Arc::new(sticky(RoundRobin::new())))),
        Arc::new(sticky(shards(1).over(roles(Arc::new(RoundRobin::new()))))),
    ] {
        let candidates = sharded(1);
        let picker = policy.build(&candidates);
        for client in ["a", "b", "c"] {
            let go = |picker: &dyn Picker, intent, second| go(picker, client, 0, intent, second);
            assert_eq!(go(&*picker, Intent::Write, 0), 0);
            let replica = go(&*picker, Intent::Read, 1);
            assert_ne!(replica, 0);
            for second in 2..20 {
                assert_eq!(go(&*picker, Intent::Read, second), replica);
                assert_eq!(go(&*picker, Intent::Write, second), 0);
                assert_eq!(go(&*picker, Intent::Any, second), 0);
            }
            // That replica is gone: the other one it is, and not the primary.
            let mut left = candidates.as_slice().to_vec();
            left.remove(replica);
            let picker = policy.build(&Candidates::new(left, 7));
            for second in 20..30 {
                assert_eq!(go(&*picker, Intent::Write, second), 0);
                assert_eq!(go(&*picker, Intent::Read, second), 1);
            }
        }
    }
}

#[test]
fn where_it_makes_no_difference_what_is_written_is_read_at_the_same_place() {
    for intents in [
        [Intent::Write, Intent::Read, Intent::Any],
        [Intent::Read, Intent::Any, Intent::Write],
        [Intent::Any, Intent::Write, Intent::Read],
    ] {
        let picker = sticky(RoundRobin::new()).build(&sharded(1));
        let first = go(&*picker, "a", 0, intents[0], 0);
        for second in 1..12 {
            let intent = intents[second as usize % 3];
            assert_eq!(go(&*picker, "a", 0, intent, second), first, "{intents:?}");
        }
    }
}

/// The key has moved to another shard since, and the client goes after it.
#[test]
fn a_client_goes_with_its_key_where_that_has_moved() {
    let candidates = sharded(3);
    let before = sticky(shards(3).over(RoundRobin::new()));
    let after = ClientAffinity {
        inner: Arc::new(shards(2).over(RoundRobin::new())),
        ..before.clone()
    };
    let (before, after) = (before.build(&candidates), after.build(&candidates));
    assert_eq!(go(&*before, "a", 4, Intent::Any, 0) % 3, 1);
    let now = go(&*after, "a", 4, Intent::Any, 1);
    assert_eq!(now % 3, 0);
    assert_eq!(go(&*after, "a", 4, Intent::Any, 2), now);
}

#[test]
fn a_client_leaves_a_replica_that_falls_behind() {
    let (candidates, lag) = (sharded(1), ReplicaLag::new());
    let roles = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG).read_from(ReadFrom::Replicas);
    let roles = roles.max_lag(Duration::from_secs(5), &lag);
    let picker = sticky(roles.over(RoundRobin::new())).build(&candidates);
    let first = go(&*picker, "a", 0, Intent::Read, 0);
    let placement = candidates.as_slice()[first].endpoint.placement();
    lag.report(placement.clone(), Duration::from_secs(9));
    let second = go(&*picker, "a", 0, Intent::Read, 1);
    assert_ne!(second, first);
    assert_eq!(go(&*picker, "a", 0, Intent::Read, 2), second);
}

#[test]
fn of_more_parts_than_there_is_room_for_those_of_long_ago_are_forgotten() {
    const MANY: u8 = 80;
    let policy = sticky(RoundRobin::new()).with_capacity(100_000);
    let candidates = sharded(MANY);
    for outer in [
        Arc::new(shards(MANY).over(policy.clone())) as Arc<dyn Policy>,
        Arc::new(ClientAffinity {
            inner: Arc::new(shards(MANY).over(RoundRobin::new())),
            ..policy.clone()
        }),
    ] {
        let picker = outer.build(&candidates);
        let mut second = 0;
        let mut go = |key| {
            second += 1;
            go(&*picker, "a", key, Intent::Any, second)
        };
        for key in 0..MANY {
            go(key);
        }
        assert_eq!(policy.clients.len(), 32);
        let late: Vec<_> = (MANY - 30..MANY).map(&mut go).collect();
        let again: Vec<_> = (MANY - 30..MANY).map(&mut go).collect();
        assert_eq!(late, again);
        assert_eq!(policy.clients.len(), 32);
    }
}

#[test]
fn what_is_explained_is_where_a_client_goes_for_each_kind_of_request() {
    let roles = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG);
    let roles = roles.read_from(ReadFrom::ReplicasPreferred);
    let candidates = sharded(3);
    let picker = sticky(shards(3).over(roles.over(LeastRequest::new()))).build(&candidates);
    for second in 0..200 {
        let key = (second % 5).to_string();
        let context = PickContext::new(at(second), second).with_key(key.as_bytes());
        let intent = [Intent::Read, Intent::Write, Intent::Any][second as usize % 3];
        let client = [u8::try_from(second / 30).unwrap()];
        let context = context.with_client(&client).with_intent(intent);
        let explanation = Explanation::of(&*picker, &candidates, &context);
        assert_eq!(
            explanation.verdict(),
            Some(picker.pick(&context)),
            "{explanation}"
        );
    }
}
