use std::sync::Arc;

use super::*;
use crate::{
    Candidate, Endpoint, EndpointState, Measurement, Placement, Policy, Time, Tried,
    policy::{LeastRequest, Random, RoundRobin},
};

fn candidates(count: u16) -> Candidates {
    let list: Vec<_> = (0..count)
        .map(|ordinal| {
            let address = format!("10.0.0.1:{}", 1 + ordinal).parse().unwrap();
            let endpoint = Arc::new(Endpoint::new(
                Placement::new(format!("db-{ordinal}")),
                address,
            ));
            let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
            Candidate {
                endpoint,
                state: Arc::new(state),
            }
        })
        .collect();
    Candidates::new(list, 1)
}

fn share_of_first(picker: &dyn Picker, picks: u64) -> f64 {
    let first = (0..picks).filter(|nth| {
        let context = PickContext::new(Time::ORIGIN, random_bits(7, *nth));
        picker.pick(&context) == Verdict::Use(Index::new(0))
    });
    first.count() as f64 / picks as f64
}

#[test]
fn an_endpoint_gets_its_share_of_what_the_policy_gives_it() {
    const PICKS: u64 = 200_000;
    let policies: [&dyn Policy; 3] = [&LeastRequest::new(), &Random::new(), &RoundRobin::new()];
    for policy in policies {
        for share in [0.1, 0.5, 0.9] {
            let candidates = candidates(10);
            candidates.as_slice()[0].state.set_share(share);
            let picker = ramped(policy.build(&candidates), &candidates);
            let got = share_of_first(&*picker, PICKS);
            // It is picked with p, and stands with s; else the others are asked, who may say the same again, four
            // times in all, the last of which stands.
            let p = 0.1;
            let expected: f64 = (0..4)
                .map(|nth| (p * (1.0 - share)).powi(nth) * p * if nth == 3 { 1.0 } else { share })
                .sum();
            let five_sigma = 5.0 * (expected * (1.0 - expected) / PICKS as f64).sqrt();
            assert!(
                (got - expected).abs() < five_sigma,
                "{policy:?} {share}: {got} {expected}"
            );
        }
    }
}

#[test]
fn where_all_have_their_whole_the_picker_is_the_policys_own() {
    let candidates = candidates(3);
    let picker = LeastRequest::new().build(&candidates);
    assert!(Arc::ptr_eq(
        &ramped(Arc::clone(&picker), &candidates),
        &picker
    ));
    candidates.as_slice()[1].state.set_share(0.5);
    assert!(!Arc::ptr_eq(
        &ramped(Arc::clone(&picker), &candidates),
        &picker
    ));
}

#[test]
fn the_only_one_left_takes_the_request_however_slow() {
    let candidates = candidates(2);
    candidates.as_slice()[0].state.set_share(0.001);
    let picker = ramped(LeastRequest::new().build(&candidates), &candidates);
    let tried: Tried = [Index::new(1)].into_iter().collect();
    for entropy in 0..100 {
        let context = PickContext::new(Time::ORIGIN, entropy).with_tried(&tried);
        assert_eq!(picker.pick(&context), Verdict::Use(Index::new(0)));
    }
}

#[test]
fn the_part_grows_from_the_least_to_the_whole() {
    let second = Duration::from_secs(1);
    let slow = SlowStart::over(10 * second);
    let shares: Vec<_> = (0..=10).map(|age| slow.share_at(second * age)).collect();
    assert!(shares.is_sorted());
    assert_eq!((shares[0], shares[5], shares[10]), (0.1, 0.5, 1.0));
    let faster = slow.with_aggression(2.0);
    assert!(faster.share_at(second) > 0.3);
}

#[test]
fn nonsense_is_refused_by_its_name() {
    let second = Duration::from_secs(1);
    let refused = |slow: SlowStart| slow.check().unwrap_err().setting;
    assert_eq!(SlowStart::over(second).check(), Ok(()));
    assert_eq!(
        refused(SlowStart::over(Duration::ZERO)),
        "slow_start.window"
    );
    for share in [0.0, -1.0, 1.1, f64::NAN] {
        assert_eq!(
            refused(SlowStart::over(second).with_min_share(share)),
            "slow_start.min_share"
        );
    }
    for aggression in [0.0, f64::NAN, f64::INFINITY] {
        let slow = SlowStart::over(second).with_aggression(aggression);
        assert_eq!(refused(slow), "slow_start.aggression");
    }
}
