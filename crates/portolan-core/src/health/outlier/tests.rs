use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    Candidate, Conditions, Endpoint, EndpointSet, Measurement, Membership, Outcome, Placement,
    Time, reconcile,
};

const SECOND: Duration = Duration::from_secs(1);

fn set(names: impl IntoIterator<Item = u16>) -> EndpointSet {
    let endpoint = |ordinal: u16| {
        let address = format!("10.0.0.1:{}", 1 + ordinal).parse().unwrap();
        Endpoint::new(Placement::new(format!("db-{ordinal}")), address)
    };
    names.into_iter().map(endpoint).collect()
}

fn members(count: u16) -> Membership {
    reconcile(
        &Membership::default(),
        &set(0..count),
        Measurement::default(),
    )
    .0
}

fn at(seconds: f64) -> Time {
    Time::ORIGIN + Duration::from_secs_f64(seconds)
}

fn record(one: &Candidate, outcome: Outcome, times: u32) {
    (0..times).for_each(|_| one.state.record_untimed(outcome));
}

fn ejected(outliers: &Outliers, membership: &Membership) -> Vec<String> {
    let members = membership.members().iter();
    let out = members.filter(|one| outliers.is_ejected(one));
    out.map(|one| one.endpoint.placement().to_string())
        .collect()
}

#[test]
fn failures_in_a_row_eject_and_answers_that_cannot_serve_are_counted_apart() {
    let membership = members(6);
    let settings = OutlierEjection::new()
        .with_consecutive_failures(3)
        .with_consecutive_error_responses(4);
    let mut outliers = Outliers::new(settings, at(0.0));
    let list = membership.members();
    outliers.look(list, at(0.0), 1);
    // Two of the one and three of the other: neither is too many.
    record(&list[0], Outcome::Failure, 2);
    record(&list[0], Outcome::ErrorResponse, 3);
    // A success between them begins anew.
    record(&list[1], Outcome::Failure, 2);
    record(&list[1], Outcome::Success, 1);
    record(&list[1], Outcome::Failure, 2);
    record(&list[2], Outcome::Failure, 3);
    record(&list[3], Outcome::ErrorResponse, 4);
    let decisions = outliers.look(list, at(0.1), 1);
    assert_eq!(ejected(&outliers, &membership), ["db-2", "db-3"]);
    let because: Vec<_> = decisions
        .iter()
        .map(|one| match one {
            Decision::Ejected { because, .. } => *because,
            Decision::Returned { .. } => panic!("nobody was out"),
        })
        .collect();
    assert_eq!(
        because,
        [
            Because::ConsecutiveErrorResponses,
            Because::ConsecutiveFailures
        ]
    );
}

/// Ejects the second of three at `now`, and says for how long.
fn eject_second(outliers: &mut Outliers, membership: &Membership, now: f64) -> Duration {
    let list = membership.members();
    record(&list[1], Outcome::Failure, 5);
    match &outliers.look(list, at(now), 9)[..] {
        [Decision::Ejected { lasts, .. }] => *lasts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_failure_of_a_trial_ejects_again_for_twice_as_long() {
    let membership = members(3);
    let list = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    let mut lasts = eject_second(&mut outliers, &membership, 0.0);
    let mut now = at(0.0);
    for expected in [5, 10, 20, 40, 80, 160, 300, 300] {
        let expected = Duration::from_secs(expected);
        assert!(
            lasts >= expected && lasts <= expected.mul_f64(1.2),
            "{lasts:?}"
        );
        assert!(
            outliers
                .look(list, now + lasts - Duration::from_millis(1), 3)
                .is_empty()
        );
        assert!(outliers.is_ejected(&list[1]));
        assert!(outliers.next_look() <= now + lasts);
        now = now + lasts;
        let back = outliers.look(list, now, 3);
        assert!(matches!(back[..], [Decision::Returned { .. }]), "{back:?}");
        assert!(!outliers.is_ejected(&list[1]));
        // One failure is enough now.
        record(&list[1], Outcome::Failure, 1);
        let again = outliers.look(list, now, 3);
        let [
            Decision::Ejected {
                because: Because::FailedTrial,
                lasts: again,
                ..
            },
        ] = again[..]
        else {
            panic!("{again:?}");
        };
        lasts = again;
    }
}

#[test]
fn a_trial_that_is_passed_is_over_and_quiet_intervals_are_forgiving() {
    let membership = members(3);
    let list = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    let lasts = eject_second(&mut outliers, &membership, 0.0);
    assert!(lasts < 7 * SECOND);
    outliers.look(list, at(7.0), 3);
    record(&list[1], Outcome::Success, 3);
    outliers.look(list, at(7.1), 3);
    // Four failures are not five, and it is not on trial any more.
    record(&list[1], Outcome::Failure, 4);
    assert!(outliers.look(list, at(7.2), 3).is_empty());
    record(&list[1], Outcome::Success, 1);
    // A sweep, in which it was in, takes the ejection off the count.
    outliers.look(list, at(10.0), 3);
    assert!(eject_second(&mut outliers, &membership, 11.0) < 7 * SECOND);
}

#[test]
fn only_a_share_may_be_out_and_never_the_last() {
    for (count, share, expected) in [
        (9, 1.0 / 3.0, 3),
        (3, 0.0, 1),
        (2, 1.0, 1),
        (1, 1.0, 0),
        (10, 1.0, 9),
    ] {
        let membership = members(count);
        let settings = OutlierEjection::new().with_max_ejected(share);
        let mut outliers = Outliers::new(settings, at(0.0));
        let all = membership.members();
        all.iter().for_each(|one| record(one, Outcome::Failure, 7));
        outliers.look(all, at(0.0), 1);
        assert_eq!(outliers.ejected(), expected, "{count} {share}");
        outliers.look(all, at(0.1), 1);
        assert_eq!(outliers.ejected(), expected, "{count} {share}");
    }
}

#[test]
fn who_has_most_failures_in_a_row_goes_first() {
    let membership = members(3);
    let all = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    record(&all[0], Outcome::Failure, 5);
    record(&all[2], Outcome::Failure, 50);
    outliers.look(all, at(0.0), 1);
    assert_eq!(ejected(&outliers, &membership), ["db-2"]);
}

#[test]
fn those_who_fail_some_are_told_from_the_others_by_their_rate() {
    let membership = members(10);
    let all = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    outliers.look(all, at(0.0), 1);
    let do_200 = |one: &Candidate, bad: u32| {
        for nth in 0..200 {
            let outcome = if nth % 10 < bad {
                Outcome::ErrorResponse
            } else {
                Outcome::Success
            };
            record(one, outcome, 1);
        }
    };
    all.iter().skip(1).for_each(|one| do_200(one, 0));
    do_200(&all[0], 3);
    assert!(outliers.look(all, at(9.9), 1).is_empty());
    let decisions = outliers.look(all, at(10.0), 1);
    assert!(
        matches!(
            &decisions[..],
            [Decision::Ejected {
                because: Because::SuccessRate,
                ..
            }]
        ),
        "{decisions:?}"
    );
    assert_eq!(ejected(&outliers, &membership), ["db-0"]);
}

#[test]
fn a_failure_now_and_then_makes_no_outlier() {
    let out_of = |failures: u32| {
        let membership = members(6);
        let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
        let list = membership.members();
        outliers.look(list, at(0.0), 1);
        for one in list {
            record(one, Outcome::Success, 1000);
        }
        for _ in 0..failures {
            record(&list[3], Outcome::Failure, 1);
            record(&list[3], Outcome::Success, 1);
        }
        outliers.look(list, at(10.0), 1);
        outliers.ejected()
    };
    assert_eq!([1, 4, 5].map(out_of), [0, 0, 1]);
}

#[test]
fn where_all_fail_alike_nobody_is_an_outlier_by_its_rate() {
    let membership = members(10);
    let all = membership.members();
    let settings = OutlierEjection::new().with_failure_percentage(None);
    let mut outliers = Outliers::new(settings, at(0.0));
    outliers.look(all, at(0.0), 1);
    for one in all {
        for nth in 0..200 {
            let outcome = if nth % 2 == 0 {
                Outcome::ErrorResponse
            } else {
                Outcome::Success
            };
            record(one, outcome, 1);
        }
    }
    assert!(outliers.look(all, at(10.0), 1).is_empty());
}

#[test]
fn too_high_a_percentage_is_one_whatever_the_others_do() {
    let membership = members(6);
    let all = membership.members();
    let settings = OutlierEjection::new()
        .with_success_rate(None)
        .with_consecutive_error_responses(None)
        .with_max_ejected(1.0);
    let mut outliers = Outliers::new(settings, at(0.0));
    outliers.look(all, at(0.0), 1);
    for one in all {
        record(one, Outcome::ErrorResponse, 54);
        record(one, Outcome::Success, 6);
    }
    outliers.look(all, at(10.0), 1);
    // 90% fail; all but the last are out.
    assert_eq!(outliers.ejected(), 5);
}

#[test]
fn who_is_gone_leaves_room_for_another() {
    let before = members(3);
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    record(&before.members()[0], Outcome::Failure, 5);
    outliers.look(before.members(), at(0.0), 1);
    assert_eq!(outliers.ejected(), 1);
    let (after, _) = reconcile(&before, &set([1, 2, 3]), Measurement::default());
    record(&after.members()[0], Outcome::Failure, 5);
    outliers.look(after.members(), at(0.1), 1);
    assert_eq!(ejected(&outliers, &after), ["db-1"]);
    assert_eq!(outliers.ejected(), 1);
}

#[test]
fn where_few_are_left_ejections_are_not_gone_by() {
    let outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    assert!(!outliers.panics(10, 5));
    assert!(outliers.panics(10, 4));
    assert!(!outliers.panics(0, 0));
}

#[test]
fn nonsense_is_refused_by_its_name() {
    let refused = |settings: OutlierEjection| settings.check().unwrap_err().setting;
    let new = OutlierEjection::new;
    assert_eq!(new().check(), Ok(()));
    assert_eq!(
        refused(new().with_consecutive_failures(0)),
        "outlier_ejection.consecutive_failures"
    );
    assert_eq!(
        refused(new().with_interval(Duration::ZERO)),
        "outlier_ejection.interval"
    );
    assert_eq!(
        refused(new().with_ejection(2 * SECOND, SECOND)),
        "outlier_ejection.ejection"
    );
    for share in [-0.1, 1.1, f64::NAN] {
        assert_eq!(
            refused(new().with_max_ejected(share)),
            "outlier_ejection.max_ejected"
        );
        assert_eq!(
            refused(new().with_panic_threshold(share)),
            "outlier_ejection.panic_threshold"
        );
    }
    let rate = SuccessRate::default().with_stdev_factor(f64::NAN);
    assert_eq!(
        refused(new().with_success_rate(rate)),
        "outlier_ejection.success_rate.stdev_factor"
    );
    let percentage = FailurePercentage::default().with_threshold(0.0);
    assert_eq!(
        refused(new().with_failure_percentage(percentage)),
        "outlier_ejection.failure_percentage.threshold"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Record(u16, u8, u32),
    Look,
    Wait(u16),
    Members(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12_u16, 0..4_u8, 1..7_u32).prop_map(|(who, what, times)| Step::Record(who, what, times)),
        3 => Just(Step::Look),
        2 => (1..20_000_u16).prop_map(Step::Wait),
        1 => (0..12_u16).prop_map(Step::Members),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// Whatever happens: never more are out than may be, the count is right, whoever is out is back when its time is
    /// over, and none is out for longer than the longest.
    #[test]
    fn histories_keep_the_promises(steps in steps(), share in 0.0..1.0_f64) {
        let settings = OutlierEjection::new().with_max_ejected(share);
        let longest = Duration::from_secs(360);
        let mut outliers = Outliers::new(settings, Time::ORIGIN);
        let mut membership = members(6);
        let mut now = Time::ORIGIN;
        let mut since = std::collections::HashMap::new();
        for step in steps {
            match step {
                Step::Record(who, what, times) => {
                    let outcome = [
                        Outcome::Success, Outcome::Failure, Outcome::ErrorResponse, Outcome::Interrupted,
                    ][usize::from(what)];
                    if let Some(one) = membership.members().get(usize::from(who)) {
                        record(one, outcome, times);
                    }
                }
                Step::Wait(millis) => now = now + Duration::from_millis(u64::from(millis)),
                Step::Members(count) => {
                    membership = reconcile(&membership, &set(0..count), Measurement::default()).0;
                }
                Step::Look => {
                    let out_before = outliers.ejected();
                    let decisions = outliers.look(membership.members(), now, 5);
                    let out: Vec<_> = membership.members().iter().filter(|one| outliers.is_ejected(one)).collect();
                    prop_assert_eq!(out.len(), outliers.ejected());
                    let count = membership.members().len();
                    let may = ((share * count as f64) as usize).max(1).min(count.saturating_sub(1));
                    // Where members go, more may be out than of those who are left might be; nobody new is, then.
                    let new = decisions.iter().filter(|one| matches!(one, Decision::Ejected { .. })).count();
                    prop_assert!(out.len() <= may.max(out_before) && (new == 0 || out.len() <= may));
                    since.retain(|key, _| out.iter().any(|one| std::sync::Arc::as_ptr(&one.state) as usize == *key));
                    for one in out {
                        let key = std::sync::Arc::as_ptr(&one.state) as usize;
                        let began = *since.entry(key).or_insert(now);
                        prop_assert!(now.since(began) <= longest);
                    }
                    prop_assert!(outliers.next_look() > now);
                }
            }
        }
    }
}

#[test]
fn a_trial_that_went_well_is_over_even_if_nobody_looked() {
    let membership = members(3);
    let list = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    let lasts = eject_second(&mut outliers, &membership, 0.0);
    let back = at(0.0) + lasts;
    outliers.look(list, back, 1);
    // Successes ring no alarm: the first look is at the first failure.
    record(&list[1], Outcome::Success, 1000);
    record(&list[1], Outcome::Failure, 1);
    assert!(outliers.look(list, back + SECOND, 1).is_empty());
    // From then on it is judged as the others are.
    record(&list[1], Outcome::Failure, 3);
    assert!(outliers.look(list, back + SECOND, 1).is_empty());
    record(&list[1], Outcome::Failure, 1);
    assert_eq!(outliers.look(list, back + SECOND, 1).len(), 1);
}

#[test]
fn what_fails_as_often_as_not_passes_no_trial() {
    let membership = members(3);
    let list = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    let back = at(0.0) + eject_second(&mut outliers, &membership, 0.0);
    outliers.look(list, back, 1);
    for _ in 0..10 {
        record(&list[1], Outcome::Success, 1);
        record(&list[1], Outcome::Failure, 1);
    }
    let decisions = outliers.look(list, back + SECOND, 1);
    assert!(matches!(
        decisions[..],
        [Decision::Ejected {
            because: Because::FailedTrial,
            ..
        }]
    ));
}

#[test]
fn what_it_was_ejected_for_is_not_held_against_it_again() {
    let membership = members(5);
    let list = membership.members();
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    outliers.look(list, at(0.0), 1);
    let lasts = eject_second(&mut outliers, &membership, 0.0);
    outliers.look(list, at(0.0) + lasts, 1);
    assert!(lasts < 10 * SECOND, "it is back within the interval");
    list.iter()
        .for_each(|one| record(one, Outcome::Success, 100));
    let decisions = outliers.look(list, at(10.0), 1);
    assert!(decisions.is_empty(), "{decisions:?}");
}

#[test]
fn an_ejection_may_be_for_ever() {
    let membership = members(3);
    let settings = OutlierEjection::new().with_ejection(Duration::MAX, Duration::MAX);
    settings.check().unwrap();
    let mut outliers = Outliers::new(settings, at(0.0));
    let lasts = eject_second(&mut outliers, &membership, 0.0);
    assert_eq!(lasts, Duration::MAX);
    assert!(outliers.look(membership.members(), at(1e9), 1).is_empty());
}

#[test]
fn who_is_not_ready_takes_up_no_place_among_those_who_may_be_out() {
    let before = members(6);
    let mut outliers = Outliers::new(OutlierEjection::new(), at(0.0));
    for one in &before.members()[..2] {
        record(one, Outcome::Failure, 5);
    }
    assert_eq!(outliers.look(before.members(), at(0.0), 1).len(), 2);
    // Both are found out by the cluster, too. Of the four that are ready, one may be out.
    let unready = Conditions::new(Some(false), Some(false), None);
    let told = before.members().iter().enumerate();
    let told = told.map(|(nth, one)| match nth {
        0 | 1 => Endpoint::clone(&one.endpoint).with_conditions(unready),
        _ => Endpoint::clone(&one.endpoint),
    });
    let (after, _) = reconcile(&before, &told.collect(), Measurement::default());
    let list = after.members();
    let of_ready = |one: &&Candidate| one.endpoint.conditions().is_ready();
    for one in list.iter().filter(of_ready).take(2) {
        record(one, Outcome::Failure, 5);
    }
    assert_eq!(outliers.look(list, at(1.0), 1).len(), 1);
    assert_eq!(outliers.ejected(), 3);
    assert!(outliers.look(list, at(1.1), 1).is_empty());
}
