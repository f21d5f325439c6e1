use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::{table::Table, *};
use crate::{
    Candidate, Endpoint, EndpointSet, EndpointState, Intent, Measurement, Membership, Time, Tried,
    policy::RoundRobin, reconcile,
};

fn endpoints(count: u8) -> Vec<Endpoint> {
    let endpoint = |n: u8| {
        let placement = Placement::new(format!("db-{n}"));
        Endpoint::new(placement, ([10, 0, 0, n], 80).into()).with_pod(format!("pod-{n}"))
    };
    (0..count).map(endpoint).collect()
}

fn candidates(count: u8) -> Candidates {
    let candidate = |endpoint: Endpoint| {
        let endpoint = Arc::new(endpoint);
        let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
        Candidate {
            endpoint,
            state: Arc::new(state),
        }
    };
    Candidates::new(
        endpoints(count)
            .into_iter()
            .map(candidate)
            .collect::<Vec<_>>(),
        0,
    )
}

fn membership(count: u8) -> Membership {
    let set: EndpointSet = endpoints(count).into_iter().collect();
    reconcile(&Membership::default(), &set, Measurement::default()).0
}

fn pick(picker: &dyn Picker, key: &[u8], tried: &Tried) -> Verdict {
    let context = PickContext::new(Time::ORIGIN, 7)
        .with_key(key)
        .with_tried(tried);
    picker.pick(&context.with_intent(Intent::Write))
}

#[test]
fn what_is_learnt_is_gone_by_and_nothing_else_is_changed() {
    let routes = Routes::by_key();
    let picker = routes.over(RoundRobin::new()).build(&candidates(3));
    let to = Placement::new("db-2");
    assert_eq!(
        routes.learn(Some(b"k"), &Redirect::to_pod("db-2"), &to),
        Learnt::New
    );
    assert_eq!(
        routes.learn(Some(b"k"), &Redirect::to_pod("db-2"), &to),
        Learnt::Known
    );
    for _ in 0..6 {
        assert_eq!(
            pick(&*picker, b"k", Tried::NONE),
            Verdict::Use(Index::new(2))
        );
    }
    let others: Vec<_> = (0..3)
        .map(|_| pick(&*picker, b"other", Tried::NONE))
        .collect();
    assert_eq!(others.len(), 3);
    assert_ne!(others[0], others[1]);
    // It has been tried: the policy underneath knows whom to ask.
    let tried: Tried = [Index::new(2)].into_iter().collect();
    assert_ne!(pick(&*picker, b"k", &tried), Verdict::Use(Index::new(2)));
    routes.clear();
    let again: Vec<_> = (0..3).map(|_| pick(&*picker, b"k", Tried::NONE)).collect();
    assert_ne!(again[0], again[1]);
}

#[test]
fn a_shards_route_is_of_all_its_keys() {
    let routes = Routes::by_shard(|key| key.len() as u64);
    let picker = routes.over(RoundRobin::new()).build(&candidates(3));
    let moved = Redirect::to_pod("db-1").of_shard(3);
    assert_eq!(
        routes.learn(None, &moved, &Placement::new("db-1")),
        Learnt::New
    );
    for key in [&b"abc"[..], b"xyz", b"123"] {
        assert_eq!(
            pick(&*picker, key, Tried::NONE),
            Verdict::Use(Index::new(1))
        );
    }
    // Without a key or a shard there is nothing to learn it of.
    assert_eq!(
        routes.learn(None, &Redirect::to_pod("db-0"), &Placement::new("db-0")),
        Learnt::Nothing
    );
    let for_now = Redirect::to_pod("db-0").of_shard(3).for_now();
    assert_eq!(
        routes.learn(None, &for_now, &Placement::new("db-0")),
        Learnt::Nothing
    );
    // Where routes are of keys, the shard is no matter.
    let by_key = Routes::by_key();
    assert_eq!(
        by_key.learn(Some(b"k"), &moved, &Placement::new("db-1")),
        Learnt::New
    );
    let picker = by_key.over(RoundRobin::new()).build(&candidates(3));
    assert_eq!(
        pick(&*picker, b"k", Tried::NONE),
        Verdict::Use(Index::new(1))
    );
}

#[test]
fn an_older_epoch_is_ignored_and_so_is_none_after_one() {
    let routes = Routes::by_key();
    let picker = routes.over(RoundRobin::new()).build(&candidates(3));
    let learn = |pod: &str, epoch: Option<u64>| {
        let redirect = Redirect::to_pod(pod);
        let redirect = epoch.map_or(redirect.clone(), |epoch| redirect.at_epoch(epoch));
        routes.learn(Some(b"k"), &redirect, &Placement::new(pod)) == Learnt::New
    };
    assert!(learn("db-0", None));
    assert!(learn("db-1", Some(7)));
    assert!(!learn("db-2", Some(6)));
    assert!(!learn("db-2", None));
    assert_eq!(
        pick(&*picker, b"k", Tried::NONE),
        Verdict::Use(Index::new(1))
    );
    assert!(learn("db-2", Some(8)));
    assert_eq!(
        pick(&*picker, b"k", Tried::NONE),
        Verdict::Use(Index::new(2))
    );
}

#[test]
fn who_is_not_there_is_not_waited_for() {
    let routes = Routes::by_key();
    let learnt = routes.learn(
        Some(b"k"),
        &Redirect::to_pod("db-7"),
        &Placement::new("db-7"),
    );
    assert_eq!(learnt, Learnt::New);
    let picker = routes.over(RoundRobin::new()).build(&candidates(3));
    assert!(matches!(pick(&*picker, b"k", Tried::NONE), Verdict::Use(_)));
}

#[test]
fn a_redirect_leads_to_members_and_to_nobody_else() {
    let members = membership(3);
    let leads = |redirect: Redirect| {
        redirect
            .destination(&members)
            .map(|placement| placement.as_str().to_owned())
    };
    let db_1 = Some("db-1".to_owned());
    assert_eq!(leads(Redirect::to_pod("db-1")), db_1);
    assert_eq!(leads(Redirect::to_pod("pod-1")), db_1);
    assert_eq!(
        leads(Redirect::to_pod("db-1.db.shop.svc.cluster.local")),
        db_1
    );
    assert_eq!(
        leads(Redirect::to_address(([10, 0, 0, 1], 80).into())),
        db_1
    );
    for stranger in ["db-3", "", "db", "evil.example.com", ".", "db-11"] {
        assert_eq!(leads(Redirect::to_pod(stranger)), None, "{stranger}");
    }
    // The port counts: another one is another server.
    assert_eq!(
        leads(Redirect::to_address(([10, 0, 0, 1], 81).into())),
        None
    );
    assert_eq!(
        leads(Redirect::to_address(([169, 254, 169, 254], 80).into())),
        None
    );
}

proptest! {
    /// Against a map that forgets nothing: the table may have forgotten, and is never wrong.
    #[test]
    fn the_table_is_never_wrong(steps in prop::collection::vec((0..40u64, 0..5u64, prop::option::of(0..6u64)), 0..300)) {
        let table = Table::new(16);
        let mut model: HashMap<u64, (u64, Option<u64>)> = HashMap::new();
        for (route, place, epoch) in steps {
            let known = table.find(route).is_some();
            let learnt = table.learn(route, place, epoch);
            match model.get(&route) {
                Some((_, newer)) if known && epoch < *newer => {
                    prop_assert_eq!(learnt, Learnt::Outdated);
                }
                _ => { model.insert(route, (place, epoch)); }
            }
            for (route, (place, _)) in &model {
                let found = table.find(*route);
                prop_assert!(found.is_none() || found == Some(*place));
            }
            let (place, _) = model[&route];
            prop_assert_eq!(table.find(route), Some(place));
        }
        table.clear();
        prop_assert!(model.keys().all(|route| table.find(*route).is_none()));
    }
}

#[test]
fn as_many_shards_as_there_are_slots_have_one_each() {
    let table = Table::new(16_384);
    for shard in 0..16_384 {
        assert_eq!(table.learn(shard, shard + 1, Some(1)), Learnt::New);
    }
    assert!((0..16_384).all(|shard| table.find(shard) == Some(shard + 1)));
}

/// What is read is what was written together, however reads and writes fall: each route's place is its own.
#[test]
fn readers_never_see_one_routes_place_under_another() {
    let table = Table::new(2);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..200_000u64 {
                table.learn(turn % 16, turn % 16 + 100, None);
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            for route in 0..16 {
                let found = table.find(route);
                assert!(found.is_none() || found == Some(route + 100));
            }
        }
    });
}
