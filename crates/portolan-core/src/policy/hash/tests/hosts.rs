//! Requests without a key, hosts that have been tried, weigh nothing, or are there twice.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use proptest::prelude::*;

use super::{all, candidates, endpoint, equal, key, pick, placement, unnumbered, weighted};
use crate::{
    Candidate, Candidates, Conditions, Explanation, InFlight, Index, PickContext, Picker, Policy,
    Reason, Time, Tried, Verdict,
    policy::{
        Changes, Group, GrpcRingHash, JumpHash, Ketama, Maglev, PeakEwma, Rendezvous, RingHash,
        RoundRobin, key_hash,
    },
};

#[test]
fn a_request_without_a_key_fails_unless_somebody_else_is_to_choose() {
    let candidates = equal(3);
    let keyless = PickContext::new(Time::ORIGIN, 1);
    for policy in all() {
        let picker = policy.build(&candidates);
        assert_eq!(
            picker.pick(&keyless),
            Verdict::Fail(Reason::NoKey),
            "{policy:?}"
        );
        assert!(!picker.is_timed() && picker.never_panics());
    }
    let picker = RingHash::new()
        .without_key(RoundRobin::new())
        .build(&candidates);
    let turns: HashSet<_> = (0..3)
        .map(|_| format!("{:?}", picker.pick(&keyless)))
        .collect();
    assert_eq!(turns.len(), 3);
    assert!(!picker.is_timed());
    let picker = RingHash::new()
        .without_key(PeakEwma::new())
        .build(&candidates);
    assert!(picker.is_timed());
}

/// Goes by something that changes, though not now.
#[derive(Debug)]
struct Changing;

impl Policy for Changing {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        RoundRobin::new().build(candidates)
    }

    fn changes(&self) -> Option<Changes> {
        struct Never;
        impl futures_core::Stream for Never {
            type Item = ();

            fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
                Poll::Pending
            }
        }
        Some(Box::pin(Never))
    }
}

#[test]
fn whoever_chooses_without_a_key_is_asked_again_when_it_wants_to_be() {
    assert!(RingHash::new().changes().is_none());
    let policies: [&dyn Policy; 6] = [
        &RingHash::new().without_key(Changing),
        &Maglev::new().without_key(Changing),
        &Rendezvous::new().without_key(Changing),
        &JumpHash::new().without_key(Changing),
        &GrpcRingHash::by_address().without_key(Changing),
        &Ketama::by_address().without_key(Changing),
    ];
    assert!(policies.iter().all(|policy| policy.changes().is_some()));
}

#[test]
fn in_a_group_it_is_a_ring_of_the_group() {
    let all = equal(20);
    let even = candidates((0..20).step_by(2).map(|one| endpoint(one, 1, 0)));
    let is_even = |one: &Candidate| {
        one.endpoint
            .ordinal()
            .is_some_and(|ordinal| ordinal % 2 == 0)
    };
    for policy in super::all() {
        let group = Group::of(&all, is_even, &*policy);
        let alone = policy.build(&even);
        for number in 0..200 {
            let key = key(number);
            let context = PickContext::new(Time::ORIGIN, 1).with_key(&key);
            match (group.pick(&context), alone.pick(&context)) {
                (Verdict::Use(one), Verdict::Use(other)) => {
                    assert_eq!(placement(&all, one), placement(&even, other), "{policy:?}");
                }
                other => panic!("{policy:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_pick_by_a_key_explains_itself() {
    let candidates = equal(5);
    let explain = |policy: &dyn Policy, context: &PickContext<'_>| {
        Explanation::of(&*policy.build(&candidates), &candidates, context).to_string()
    };
    let policy = RingHash::new().bounded_load(1.25);
    let keyless = PickContext::new(Time::ORIGIN, 1);
    let context = keyless.with_key(b"user:17");
    let Verdict::Use(first) = pick(&*policy.build(&candidates), b"user:17") else {
        panic!()
    };
    let owner = placement(&candidates, first);
    let said = explain(&policy, &context);
    let belongs = format!(
        "RingHash: of 5 hosts the key (hash {:016x}) belongs to {owner}",
        key_hash(b"user:17")
    );
    assert!(
        said.starts_with(&format!("{belongs}; chosen: {owner} (")),
        "{said}"
    );

    let tried: Tried = [first].into_iter().collect();
    let said = explain(&policy, &context.with_tried(&tried));
    assert!(
        said.starts_with(&format!("{belongs}, which has been tried; chosen: db-")),
        "{said}"
    );

    let busy = &candidates.get(first).unwrap().state;
    let _requests: Vec<_> = (0..3).map(|_| InFlight::begin(Arc::clone(busy))).collect();
    let said = explain(&policy, &context);
    let full = format!("{belongs}, which has more than its share: 3 in flight; chosen: db-");
    assert!(said.starts_with(&full), "{said}");

    let said = explain(&policy, &keyless);
    assert!(
        said.contains("no key, and nobody is to choose without; refused"),
        "{said}"
    );
    let said = explain(&policy.without_key(RoundRobin::new()), &keyless);
    assert!(
        said.starts_with("RingHash: the request has no key; RoundRobin"),
        "{said}"
    );
    let said = explain(&JumpHash::over(6), &context);
    assert!(said.starts_with("JumpHash: of 5 hosts the key"), "{said}");
}

#[test]
fn they_go_by_identity() {
    assert!(all().iter().all(|policy| policy.is_by_identity()));
}

#[test]
fn tables_of_any_size_have_room_for_any_number_of_hosts() {
    for places in [0, 1, 2, 3, 100] {
        let policy = Maglev::new().table_size(places);
        for hosts in [1, 2, 3, 200] {
            assert!(matches!(
                pick(&*policy.build(&equal(hosts)), b"key"),
                Verdict::Use(_)
            ));
        }
    }
    let largest = Maglev::new().table_size(u32::MAX);
    assert!(format!("{largest:?}").contains("5000011"));
}

#[test]
fn empty_and_huge_keys_are_keys() {
    let huge = vec![7; 10 << 20];
    for policy in all() {
        let picker = policy.build(&equal(10));
        for key in [&[][..], &huge] {
            let first = pick(&*picker, key);
            assert!(matches!(first, Verdict::Use(_)), "{policy:?}");
            assert_eq!(first, pick(&*picker, key));
        }
    }
}

#[test]
fn where_nobody_is_there_requests_wait() {
    for policy in all()
        .into_iter()
        .chain([Arc::new(JumpHash::new()) as Arc<dyn Policy>])
    {
        let picker = policy.build(&equal(0));
        assert_eq!(pick(&*picker, b"key"), Verdict::Wait, "{policy:?}");
    }
}

#[test]
fn what_weighs_nothing_gets_nothing_unless_all_do() {
    for policy in unnumbered() {
        let picker = policy.build(&weighted(&[1, 0, 3, 0]));
        let picked: HashSet<_> = (0..1000)
            .map(|one| format!("{:?}", pick(&*picker, &key(one))))
            .collect();
        assert_eq!(picked.len(), 2, "{policy:?}: {picked:?}");
        let (zeros, ones) = (weighted(&[0; 7]), weighted(&[1; 7]));
        assert_eq!(
            super::owners(&*policy, &zeros, 1000),
            super::owners(&*policy, &ones, 1000)
        );
    }
}

#[test]
fn while_a_pod_is_there_twice_its_keys_are_its_own() {
    let before = equal(5);
    let terminating = Conditions::new(Some(true), Some(true), Some(true));
    let both = candidates(
        (0..5)
            .map(|one| endpoint(one, 1, 0))
            .chain([endpoint(2, 1, 1)])
            .map(|one| match one.uid().map(ToString::to_string).as_deref() {
                Some("0-2") => one.with_conditions(terminating),
                _ => one,
            }),
    );
    assert_eq!(both.len(), 6);
    for policy in all() {
        assert_eq!(
            super::owners(&*policy, &before, 2000),
            super::owners(&*policy, &both, 2000),
            "{policy:?}"
        );
        let picker = policy.build(&both);
        let uid = |index: Index| both.get(index).unwrap().endpoint.uid().unwrap();
        for number in 0..2000 {
            let key = key(number);
            let Verdict::Use(first) = pick(&*picker, &key) else {
                panic!()
            };
            if placement(&both, first).as_str() != "db-2" {
                continue;
            }
            // The new one serves; after it, the old one still is who has the key.
            assert_eq!(uid(first), "1-2", "{policy:?}");
            let tried: Tried = [first].into_iter().collect();
            let context = PickContext::new(Time::ORIGIN, 1)
                .with_key(&key)
                .with_tried(&tried);
            match picker.pick(&context) {
                Verdict::Use(next) => assert_eq!(uid(next), "0-2", "{policy:?}"),
                other => panic!("{policy:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn candidates_out_of_order_break_nothing() {
    let mut list: Vec<_> = [3, 1, 2, 1, 3]
        .into_iter()
        .map(|one| super::candidate(endpoint(one, 1, 0)))
        .collect();
    list.reverse();
    let candidates = Candidates::new(list, 1);
    for policy in all() {
        let picker = policy.build(&candidates);
        let first = pick(&*picker, b"key");
        assert!(matches!(first, Verdict::Use(_)));
        // And again, from the ring that it has kept.
        assert_eq!(
            first,
            pick(&*policy.build(&candidates), b"key"),
            "{policy:?}"
        );
    }
}

#[test]
fn an_ordinal_that_is_away_keeps_its_keys_and_they_wait() {
    let (full, gap) = (
        equal(8),
        candidates([0, 1, 2, 4, 5, 6, 7].map(|one| endpoint(one, 1, 0))),
    );
    for policy in [JumpHash::over(8), JumpHash::new()] {
        let (before, after) = (policy.build(&full), policy.build(&gap));
        for number in 0..2000 {
            let (before, after) = (pick(&*before, &key(number)), pick(&*after, &key(number)));
            match (before, after) {
                (Verdict::Use(before), Verdict::Use(after)) => {
                    assert_eq!(placement(&full, before), placement(&gap, after));
                }
                (Verdict::Use(before), Verdict::Wait) => {
                    assert_eq!(placement(&full, before).as_str(), "db-3");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn an_ordinal_that_has_been_tried_is_not_replaced_unless_any_may_serve() {
    let candidates = equal(8);
    let key = key(7);
    let strict = JumpHash::over(8).build(&candidates);
    let Verdict::Use(first) = pick(&*strict, &key) else {
        panic!()
    };
    let tried: Tried = [first].into_iter().collect();
    let context = PickContext::new(Time::ORIGIN, 1)
        .with_key(&key)
        .with_tried(&tried);
    assert_eq!(strict.pick(&context), Verdict::Fail(Reason::AllTried));
    let spilling = JumpHash::over(8).bounded_load(2.0).build(&candidates);
    assert!(matches!(spilling.pick(&context), Verdict::Use(next) if next != first));
}

#[test]
fn ordinals_may_start_anywhere_and_be_any() {
    let at = |ordinals: &[u32]| candidates(ordinals.iter().map(|one| endpoint(*one, 1, 0)));
    let (from_zero, from_five) = (at(&[0, 1, 2]), at(&[5, 6, 7]));
    let policy = JumpHash::new().starting_at(5);
    let (zero, five) = (JumpHash::new().build(&from_zero), policy.build(&from_five));
    for number in 0..100 {
        assert_eq!(pick(&*zero, &key(number)), pick(&*five, &key(number)));
    }
    // Below the start, or far beyond what there can be.
    let strange = at(&[0, u32::MAX]);
    for policy in [
        JumpHash::new(),
        policy,
        JumpHash::over(0),
        JumpHash::over(u32::MAX),
    ] {
        let _ = pick(&*policy.build(&strange), b"key");
    }
}

proptest! {
    /// Nobody who has been tried, nobody who does not exist; and each says when nobody is left.
    #[test]
    fn what_has_been_tried_is_left_alone(
        weights in prop::collection::vec(0_u32..5, 0..12),
        tried in prop::collection::vec(0_u32..20, 0..12),
        key in prop::collection::vec(any::<u8>(), 0..40),
        entropy in any::<u64>(),
    ) {
        let candidates = weighted(&weights);
        let tried: Tried = tried.into_iter().map(Index::new).collect();
        let context = PickContext::new(Time::ORIGIN, entropy).with_tried(&tried).with_key(&key);
        let left = (0..weights.len() as u32).filter(|&one| !tried.contains(Index::new(one))).count();
        for policy in all() {
            match policy.build(&candidates).pick(&context) {
                Verdict::Use(index) => {
                    prop_assert!(!tried.contains(index), "{policy:?}");
                    prop_assert!(candidates.get(index).is_some(), "{policy:?}");
                }
                Verdict::Fail(Reason::AllTried) => prop_assert!(left == 0 && !weights.is_empty()),
                Verdict::Wait => prop_assert!(weights.is_empty()),
                other => prop_assert!(false, "{policy:?}: {other:?}"),
            }
        }
    }

    /// Whoever is tried in turn, in a key's order, is everybody once; those that weigh nothing last.
    #[test]
    fn the_order_of_a_key_is_of_all(weights in prop::collection::vec(0_u32..4, 1..12), key in any::<[u8; 8]>()) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let candidates = weighted(&weights);
        for policy in all() {
            let picker = policy.build(&candidates);
            let mut tried = Tried::new();
            let mut order = Vec::new();
            for _ in 0..weights.len() {
                let context = PickContext::new(Time::ORIGIN, 1).with_tried(&tried).with_key(&key);
                let Verdict::Use(index) = picker.pick(&context) else { panic!("{policy:?}") };
                order.push(candidates.get(index).unwrap().endpoint.weight().value());
                let placed = !tried.contains(index);
                prop_assert!(placed);
                tried.insert(index);
            }
            let numbered = format!("{policy:?}").starts_with("Jump");
            prop_assert!(numbered || order.is_sorted_by_key(|&weight| weight == 0), "{policy:?}: {order:?}");
        }
    }
}
