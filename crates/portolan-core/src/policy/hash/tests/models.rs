//! Each algorithm beside the plainest way of writing down what its documentation says.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{key, weighted};
use crate::{
    Candidates, Index, PickContext, Policy, Time, Tried, Verdict,
    policy::{Maglev, Rendezvous, RingHash, key_hash},
};

/// The hosts of a key in order, as the policy tries them.
fn order(policy: &dyn Policy, candidates: &Candidates, key: &[u8]) -> Vec<usize> {
    let picker = policy.build(candidates);
    let (mut tried, mut order) = (Tried::new(), Vec::new());
    loop {
        let context = PickContext::new(Time::ORIGIN, 1)
            .with_key(key)
            .with_tried(&tried);
        let Verdict::Use(index) = picker.pick(&context) else {
            return order;
        };
        // After all that weigh something, whoever is left has no order.
        let left = |index: Index| candidates.get(index).unwrap().endpoint.weight().value() > 0;
        if !left(index) {
            return order;
        }
        order.push(index.position());
        tried.insert(index);
    }
}

/// The state after a step, and what SplitMix64 says of it.
fn split_mix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, z ^ (z >> 31))
}

fn hosts(candidates: &Candidates) -> Vec<(u64, u32)> {
    let host = |one: &crate::Candidate| {
        let name = one.endpoint.placement().as_str().as_bytes();
        (key_hash(name), one.endpoint.weight().value())
    };
    candidates.iter().map(host).collect()
}

fn once_each(order: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut seen = HashMap::new();
    order
        .into_iter()
        .filter(|one| seen.insert(*one, ()).is_none())
        .collect()
}

fn ring(candidates: &Candidates, points: u32, key: &[u8]) -> Vec<usize> {
    let mut ring = Vec::new();
    for (host, (hash, weight)) in hosts(candidates).into_iter().enumerate() {
        let mut state = hash;
        for _ in 0..weight * points {
            let (next, point) = split_mix(state);
            state = next;
            ring.push((point, host));
        }
    }
    ring.sort();
    let hash = key_hash(key);
    let ahead = ring.iter().filter(|(point, _)| *point >= hash);
    let behind = ring.iter().filter(|(point, _)| *point < hash);
    once_each(ahead.chain(behind).map(|(_, host)| *host))
}

fn maglev(candidates: &Candidates, size: u64, key: &[u8]) -> Vec<usize> {
    let scale = |hash: u64, n: u64| ((u128::from(hash) * u128::from(n)) >> 64) as u64;
    let mut table = vec![None; size as usize];
    let mut turns = Vec::new();
    for (host, (_, weight)) in hosts(candidates).into_iter().enumerate() {
        if weight > 0 {
            turns.extend((1..=size).map(|turn| ((turn << 32) / u64::from(weight), host)));
        }
    }
    turns.sort();
    let hosts = hosts(candidates);
    for (_, host) in turns.into_iter().take(size as usize) {
        let hash = hosts[host].0;
        let (offset, skip) = (scale(hash, size), 1 + scale(split_mix(hash).1, size - 1));
        let mut choices = (0..size).map(|k| ((offset + k * skip) % size) as usize);
        let free = choices.find(|place| table[*place].is_none()).unwrap();
        table[free] = Some(host);
    }
    let place = scale(key_hash(key), size) as usize;
    let round = table[place..].iter().chain(&table[..place]);
    once_each(round.filter_map(|host| *host))
}

fn rendezvous(candidates: &Candidates, key: &[u8]) -> Vec<usize> {
    let mut lots: Vec<(f64, usize)> = hosts(candidates)
        .into_iter()
        .enumerate()
        .filter(|(_, (_, weight))| *weight > 0)
        .map(|(host, (hash, weight))| {
            let bits = split_mix(key_hash(key) ^ hash).1 >> 11;
            let v = bits as f64 / (1_u64 << 53) as f64;
            (-(-v).ln_1p() / f64::from(weight), host)
        })
        .collect();
    lots.sort_by(|one, other| one.partial_cmp(other).unwrap());
    lots.into_iter().map(|(_, host)| host).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn they_do_what_is_documented(weights in prop::collection::vec(0_u32..6, 1..12), number in any::<u32>()) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let (candidates, key) = (weighted(&weights), key(number));
        let policy = RingHash::new().points_per_weight(7);
        prop_assert_eq!(order(&policy, &candidates, &key), ring(&candidates, 7, &key));
        let policy = Maglev::new().table_size(600);
        let model = maglev(&candidates, 601, &key);
        prop_assert_eq!(order(&policy, &candidates, &key), model);
        prop_assert_eq!(order(&Rendezvous::new(), &candidates, &key), rendezvous(&candidates, &key));
    }
}
