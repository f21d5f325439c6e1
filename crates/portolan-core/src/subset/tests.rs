use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;

use super::{Aperture, Peers, RendezvousSubset, Subset};
use crate::{Candidate, Endpoint, EndpointState, Measurement, Placement, Weight};

fn candidate(name: &str, weight: u32) -> Candidate {
    let endpoint = Endpoint::new(Placement::new(name), ([10, 0, 0, 1], 80).into());
    let endpoint = Arc::new(endpoint.with_weight(Weight::new(weight)));
    let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
    Candidate {
        state: Arc::new(state),
        endpoint,
    }
}

/// In the order of their placements, as candidates are.
fn fleet(names: impl IntoIterator<Item = (String, u32)>) -> Arc<[Candidate]> {
    let sorted: BTreeMap<_, _> = names.into_iter().collect();
    sorted
        .iter()
        .map(|(name, weight)| candidate(name, *weight))
        .collect()
}

fn alike(count: usize) -> Arc<[Candidate]> {
    fleet((0..count).map(|nth| (format!("web-{nth}"), 1)))
}

fn aperture(index: u32, count: u32) -> Aperture {
    Aperture::of(Peers::new(index, count).unwrap())
}

fn names(part: &[Candidate]) -> BTreeSet<String> {
    part.iter()
        .map(|one| one.endpoint.placement().to_string())
        .collect()
}

/// What each endpoint gets, in requests of clients that send one each.
fn loads(all: &Arc<[Candidate]>, subsets: impl Iterator<Item = Subset>) -> BTreeMap<String, f64> {
    let mut loads: BTreeMap<_, _> = names(all).into_iter().map(|name| (name, 0.0)).collect();
    for subset in subsets {
        let part = subset.of(all);
        // Where nothing weighs anything, all weigh the same.
        let none_weighs = part
            .iter()
            .all(|one| one.endpoint.weight() == Weight::new(0));
        let weight = |one: &Candidate| match none_weighs {
            true => 1.0,
            false => f64::from(one.endpoint.weight().value()),
        };
        let sum: f64 = part.iter().map(weight).sum();
        for one in part.iter() {
            *loads.get_mut(one.endpoint.placement().as_str()).unwrap() += weight(one) / sum;
        }
    }
    loads
}

#[test]
fn a_client_alone_talks_to_all() {
    let all = alike(50);
    let part = Subset::from(Aperture::of(Peers::ALONE)).of(&all);
    assert!(Arc::ptr_eq(&part, &all));
}

#[test]
fn where_it_comes_out_even_weights_stay_as_they_are() {
    // Four parts of five each are 20: enough for twelve is three parts of 4.
    let all = alike(20);
    let part = Subset::from(aperture(1, 5)).of(&all);
    assert_eq!(part.len(), 12);
    let same = |one: &Candidate| {
        all.iter()
            .any(|other| Arc::ptr_eq(&other.endpoint, &one.endpoint))
    };
    assert!(part.iter().all(same));
}

#[test]
fn the_ends_get_the_part_that_they_have() {
    // 2½ endpoints for each of 4 clients.
    let all = alike(10);
    let part = Subset::from(aperture(1, 4).at_least(1)).of(&all);
    let mut weights: Vec<_> = part
        .iter()
        .map(|one| one.endpoint.weight().value())
        .collect();
    weights.sort_unstable();
    assert_eq!(weights, [2, 4, 4]);
}

#[test]
fn few_endpoints_are_for_all_clients() {
    let all = alike(12);
    for index in 0..100 {
        assert_eq!(Subset::from(aperture(index, 100)).of(&all).len(), 12);
    }
    let nobody: Arc<[Candidate]> = Arc::new([]);
    assert!(Subset::from(aperture(3, 100)).of(&nobody).is_empty());
    assert!(
        Subset::from(RendezvousSubset::of("a", 3))
            .of(&nobody)
            .is_empty()
    );
}

#[test]
fn what_weighs_nothing_is_on_no_part_of_the_ring_unless_nothing_does() {
    let weights = |weight| {
        fleet((0..40).map(|nth| (format!("web-{nth}"), if nth % 2 == 0 { weight } else { 0 })))
    };
    let some = Subset::from(aperture(3, 7).at_least(1)).of(&weights(3));
    assert!(
        some.iter()
            .all(|one| one.endpoint.weight() != Weight::new(0))
    );
    assert!(some.len() < 6, "{}", some.len());
    let none = Subset::from(aperture(3, 7).at_least(1)).of(&weights(0));
    assert!(none.len() >= 5, "{}", none.len());
    let drawn = Subset::from(RendezvousSubset::of("a", 20)).of(&weights(3));
    assert!(
        drawn
            .iter()
            .all(|one| one.endpoint.weight() == Weight::new(3))
    );
}

#[test]
fn a_pod_that_restarts_under_its_name_moves_nothing() {
    let (before, after) = (alike(500), alike(500));
    for subset in [
        Subset::from(aperture(17, 60)),
        RendezvousSubset::of("client-17", 20).into(),
    ] {
        assert_eq!(names(&subset.of(&before)), names(&subset.of(&after)));
    }
}

/// Others must come to the same parts: which ones they are is a promise.
#[test]
fn the_parts_are_pinned() {
    let all = alike(100);
    let part = |subset: Subset| {
        let names = names(&subset.of(&all)).into_iter();
        names.collect::<Vec<_>>().join(" ")
    };
    let aperture = part(aperture(3, 40).at_least(3).into());
    assert_eq!(aperture, "web-28 web-49 web-88 web-89 web-9 web-97");
    let rendezvous = part(RendezvousSubset::of("client-7", 4).into());
    assert_eq!(rendezvous, "web-20 web-68 web-8 web-90");
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        prop::collection::vec(0_u32..6, 1..60),
        (1_usize..60).prop_map(|count| vec![1; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the numbers, all endpoints get the load of their weight, and no client has many more than it must.
    #[test]
    fn apertures_load_all_alike(weights in weights(), clients in 1_u32..40, least in 0_u32..20) {
        let all = fleet(weights.iter().enumerate().map(|(nth, weight)| (format!("web-{nth}"), *weight)));
        let apertures = || (0..clients).map(|index| Subset::from(aperture(index, clients).at_least(least)));
        let loads = loads(&all, apertures());
        let sum: u32 = weights.iter().sum();
        for one in all.iter() {
            let weight = one.endpoint.weight().value();
            let due = match sum {
                0 => f64::from(clients) / all.len() as f64,
                sum => f64::from(clients) * f64::from(weight) / f64::from(sum),
            };
            let load = loads[one.endpoint.placement().as_str()];
            prop_assert!((load - due).abs() < 1e-6, "{load} instead of {due}");
        }
        if weights.iter().all(|weight| *weight == 1) {
            for subset in apertures() {
                let part = subset.of(&all).len();
                prop_assert!(part >= (least.max(1) as usize).min(all.len()));
                // A part more than needed, and two ends that are hardly touched.
                let most = f64::from(least.max(1)) + all.len() as f64 / f64::from(clients) + 2.0;
                prop_assert!(part as f64 <= most, "{part} of {}", all.len());
            }
        }
    }

    /// An endpoint less or more: a client lets go of two at most, and takes up two.
    #[test]
    fn apertures_move_little(endpoints in 30_usize..300, clients in 3_u32..29, gone in any::<prop::sample::Index>()) {
        let (before, gone) = (alike(endpoints), gone.index(endpoints));
        let after = fleet((0..endpoints).filter(|nth| *nth != gone).map(|nth| (format!("web-{nth}"), 1)));
        for index in 0..clients {
            // A part each, before and after: where there are too few endpoints for that, all take one more at once.
            let subset = Subset::from(aperture(index, clients).at_least(1));
            let (had, has) = (names(&subset.of(&before)), names(&subset.of(&after)));
            prop_assert!(had.difference(&has).count() <= 2, "{had:?} {has:?}");
            prop_assert!(has.difference(&had).count() <= 2, "{had:?} {has:?}");
        }
    }

    /// One entry for one endpoint that comes or goes, and none where it was none of the subset's (gRFC A68).
    #[test]
    fn rendezvous_moves_one_entry(endpoints in 2_usize..200, size in 0_usize..40, gone in any::<prop::sample::Index>(), client in "[a-z]{1,8}") {
        let (before, gone) = (alike(endpoints), gone.index(endpoints));
        let after = fleet((0..endpoints).filter(|nth| *nth != gone).map(|nth| (format!("web-{nth}"), 1)));
        let subset = Subset::from(RendezvousSubset::of(&client, size));
        let (had, has) = (names(&subset.of(&before)), names(&subset.of(&after)));
        prop_assert_eq!(had.len(), size.max(1).min(endpoints));
        let was_in = usize::from(had.contains(&format!("web-{gone}")));
        prop_assert_eq!(had.difference(&has).count(), was_in);
        prop_assert!(has.difference(&had).count() <= was_in);
    }

    /// It is what a sort of all lots gives.
    #[test]
    fn rendezvous_takes_the_best(endpoints in 1_usize..100, size in 1_usize..40, client in "[a-z]{1,8}") {
        let all = alike(endpoints);
        let seed = super::lot(super::rendezvous::CLIENT, &client);
        let mut sorted: Vec<_> = names(&all).into_iter().map(|name| (super::lot(seed, &name), name)).collect();
        sorted.sort();
        let best: BTreeSet<_> = sorted.into_iter().take(size).map(|(_, name)| name).collect();
        prop_assert_eq!(names(&Subset::from(RendezvousSubset::of(&client, size)).of(&all)), best);
    }
}
