//! Who gets what, case by case.

mod model;
mod progress;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::*;
use crate::{
    Candidate, Endpoint, EndpointState, Explanation, Index, Intent, Measurement, Outcome,
    PickContext, Placement, Reason, Time, Tried, Verdict, policy::ZoneAware,
};

const MS: Duration = Duration::from_millis(1);
const LABEL: &str = "cnpg.io/instanceRole";

fn candidates(roles: &[&str]) -> Candidates {
    let list: Vec<_> = roles
        .iter()
        .enumerate()
        .map(|(number, role)| candidate(number, role))
        .collect();
    Candidates::new(list, 7)
}

fn candidate(number: usize, role: &str) -> Candidate {
    let address = ([10, 0, 0, number as u8], 5432).into();
    let endpoint = Endpoint::new(Placement::new(format!("db-{number}")), address);
    let labels = (!role.is_empty()).then_some((LABEL, role));
    let endpoint = Arc::new(endpoint.with_labels(labels));
    let state = Arc::new(EndpointState::new(
        Arc::clone(&endpoint),
        Measurement::default(),
    ));
    Candidate { endpoint, state }
}

fn db(number: usize) -> Placement {
    Placement::new(format!("db-{number}"))
}

fn by_label() -> PrimaryReplica {
    PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG)
}

fn ask(picker: &dyn Picker, intent: Intent) -> Verdict {
    picker.pick(&PickContext::new(Time::ORIGIN, 0).with_intent(intent))
}

/// Whom so many reads went to.
fn readers(picker: &dyn Picker, now: Time) -> BTreeSet<usize> {
    let mut entropy = fastrand::Rng::with_seed(11);
    (0..200)
        .filter_map(|_| {
            let context = PickContext::new(now, entropy.u64(..)).with_intent(Intent::Read);
            match picker.pick(&context) {
                Verdict::Use(index) => Some(index.position()),
                _ => None,
            }
        })
        .collect()
}

#[test]
fn writes_go_to_the_primary_and_reads_where_they_may() {
    let all = candidates(&["replica", "primary", "replica", ""]);
    let primary = Verdict::Use(Index::new(1));
    for (from, allowed) in [
        (ReadFrom::Primary, vec![1]),
        (ReadFrom::PrimaryPreferred, vec![1]),
        (ReadFrom::Replicas, vec![0, 2]),
        (ReadFrom::ReplicasPreferred, vec![0, 2]),
        (ReadFrom::Nearest, vec![0, 1, 2]),
        (ReadFrom::NEAR, vec![0, 1, 2]),
    ] {
        let picker = by_label().read_from(from).build(&all);
        assert_eq!(ask(&*picker, Intent::Write), primary, "{from:?}");
        assert_eq!(
            ask(&*picker, Intent::Any),
            primary,
            "{from:?}: what is not said is a write"
        );
        assert_eq!(
            readers(&*picker, Time::ORIGIN),
            allowed.into_iter().collect(),
            "{from:?}"
        );
    }
}

#[test]
fn where_nobody_or_two_are_the_primary_writes_wait_or_fail() {
    for (roles, reason) in [
        (vec!["replica", "replica"], Reason::NoPrimary),
        (vec!["primary", "primary"], Reason::SeveralPrimaries),
        (vec![], Reason::NoPrimary),
        (vec!["", "?"], Reason::NoPrimary),
    ] {
        let all = candidates(&roles);
        let policy = by_label().read_from(ReadFrom::ReplicasPreferred);
        assert_eq!(ask(&*policy.build(&all), Intent::Write), Verdict::Wait);
        let soon = policy.clone().while_absent(Absent::Wait(MS));
        assert_eq!(
            ask(&*soon.build(&all), Intent::Write),
            Verdict::WaitUpTo(MS)
        );
        let fail = policy.while_absent(Absent::FailFast);
        assert_eq!(
            ask(&*fail.build(&all), Intent::Write),
            Verdict::Fail(reason),
            "{roles:?}"
        );
    }
}

#[test]
fn of_two_that_are_labelled_the_one_of_the_highest_epoch_is_the_primary() {
    let leadership = Leadership::new();
    let policy = by_label().fenced_by(&leadership);
    let two = candidates(&["primary", "primary", "replica"]);
    assert_eq!(ask(&*policy.build(&two), Intent::Write), Verdict::Wait);
    leadership.announce(db(0), Epoch::new(1));
    assert_eq!(
        ask(&*policy.build(&two), Intent::Write),
        Verdict::Use(Index::new(0))
    );
    leadership.announce(db(1), Epoch::new(2));
    assert_eq!(
        ask(&*policy.build(&two), Intent::Write),
        Verdict::Use(Index::new(1))
    );
    // The label and the epoch disagree: whoever is right, a guess may be wrong.
    let other = candidates(&["primary", "replica", "replica"]);
    assert_eq!(ask(&*policy.build(&other), Intent::Write), Verdict::Wait);
    // Once two are announced for one epoch, neither is believed.
    assert_eq!(
        leadership.announce(db(0), Epoch::new(2)),
        Announced::Conflict
    );
    let fail = policy.while_absent(Absent::FailFast).build(&two);
    assert_eq!(
        ask(&*fail, Intent::Write),
        Verdict::Fail(Reason::SeveralPrimaries)
    );
}

#[test]
fn a_picker_from_before_a_switch_sends_no_write() {
    let leadership = Leadership::new();
    leadership.announce(db(0), Epoch::new(1));
    let all = candidates(&["", "", ""]);
    let policy = PrimaryReplica::by_leadership(&leadership).read_from(ReadFrom::Replicas);
    let before = policy.build(&all);
    assert_eq!(ask(&*before, Intent::Write), Verdict::Use(Index::new(0)));
    leadership.announce(db(1), Epoch::new(2));
    assert_eq!(
        ask(&*before, Intent::Write),
        Verdict::Wait,
        "the next picker is on its way"
    );
    assert_eq!(
        readers(&*before, Time::ORIGIN),
        BTreeSet::from([1, 2]),
        "reads go on"
    );
    let after = policy.build(&all);
    assert_eq!(ask(&*after, Intent::Write), Verdict::Use(Index::new(1)));
    // What changes nothing outdates nobody.
    leadership.announce(db(0), Epoch::new(1));
    assert_eq!(ask(&*after, Intent::Write), Verdict::Use(Index::new(1)));
}

#[test]
fn a_holder_that_let_go_may_take_up_its_epoch_again_and_nobody_else() {
    let leadership = Leadership::new();
    let (one, two) = (Epoch::new(1), Epoch::new(2));
    leadership.announce(db(0), one);
    assert_eq!(leadership.vacate(one), Announced::Taken);
    assert_eq!(leadership.primary(), None);
    assert_eq!(leadership.announce(db(0), one), Announced::Taken);
    leadership.vacate(one);
    assert_eq!(leadership.announce(db(1), one), Announced::Conflict);
    assert_eq!(leadership.announce(db(0), one), Announced::Conflict);
    assert_eq!(leadership.vacate(one), Announced::Known);
    assert_eq!(leadership.announce(db(1), two), Announced::Taken);
    assert_eq!(leadership.vacate(one), Announced::Outdated);
    assert_eq!(leadership.epoch(), Some(two));
}

#[test]
fn the_name_of_the_pod_will_do() {
    let leadership = Leadership::new();
    leadership.announce(Placement::new("pod-7"), Epoch::new(1));
    let mut one = candidate(0, "");
    one.endpoint = Arc::new((*one.endpoint).clone().with_pod("pod-7"));
    let picker = PrimaryReplica::by_leadership(&leadership).build(&Candidates::new([one], 1));
    assert_eq!(ask(&*picker, Intent::Write), Verdict::Use(Index::new(0)));
}

#[test]
fn a_primary_that_was_tried_is_not_tried_again_nor_is_anybody_else() {
    let all = candidates(&["primary", "replica"]);
    let tried: Tried = [Index::new(0)].into_iter().collect();
    let context = PickContext::new(Time::ORIGIN, 0).with_tried(&tried);
    let picker = by_label().build(&all);
    assert_eq!(
        picker.pick(&context.with_intent(Intent::Write)),
        Verdict::Fail(Reason::AllTried)
    );
    let reads = by_label().read_from(ReadFrom::PrimaryPreferred).build(&all);
    assert_eq!(
        reads.pick(&context.with_intent(Intent::Read)),
        Verdict::Use(Index::new(1))
    );
}

#[test]
fn reads_stay_within_the_window_and_try_whoever_was_not_measured() {
    let all = candidates(&["primary", "replica", "replica", "replica"]);
    let took = [Some(5), Some(12), Some(40), None];
    let now = Time::ORIGIN + Duration::from_secs(1);
    for (one, took) in all.iter().zip(took) {
        if let Some(took) = took {
            one.state.record(Outcome::Success, MS * took, now);
        }
    }
    let near = by_label().read_from(ReadFrom::NEAR).build(&all);
    assert_eq!(readers(&*near, now), BTreeSet::from([0, 1, 3]));
    let nearest = by_label().read_from(ReadFrom::Nearest).build(&all);
    assert_eq!(readers(&*nearest, now), BTreeSet::from([0, 3]));
    // One that becomes slow is left out 100 ms later at the latest.
    all.as_slice()[1]
        .state
        .record(Outcome::Success, MS * 500, now);
    assert_eq!(readers(&*near, now + MS * 100), BTreeSet::from([0, 3]));
    // The slow are better than nobody.
    let tried: Tried = [0, 1, 3].map(Index::new).into_iter().collect();
    let context = PickContext::new(now, 0)
        .with_intent(Intent::Read)
        .with_tried(&tried);
    assert_eq!(near.pick(&context), Verdict::Use(Index::new(2)));
}

#[test]
fn nobody_reads_what_is_too_far_behind() {
    let all = candidates(&["primary", "replica", "replica"]);
    let lag = ReplicaLag::new();
    let policy = by_label().max_lag(MS * 50, &lag);
    let picker = policy.clone().read_from(ReadFrom::Replicas).build(&all);
    assert_eq!(readers(&*picker, Time::ORIGIN), BTreeSet::from([1, 2]));
    lag.report(db(1), MS * 51);
    lag.report(db(2), MS * 50);
    let later = Time::ORIGIN + MS * 100;
    assert_eq!(readers(&*picker, later), BTreeSet::from([2]));
    lag.report(db(2), MS * 1000);
    let later = later + MS * 100;
    let read = PickContext::new(later, 0).with_intent(Intent::Read);
    assert_eq!(picker.pick(&read), Verdict::Fail(Reason::TooFarBehind));
    let preferred = policy.read_from(ReadFrom::ReplicasPreferred).build(&all);
    assert_eq!(
        preferred.pick(&read),
        Verdict::Use(Index::new(0)),
        "the primary is never behind"
    );
    lag.forget(&db(2));
    assert_eq!(readers(&*picker, later + MS * 100), BTreeSet::from([2]));
}

#[test]
fn a_pick_is_explained() {
    let leadership = Leadership::new();
    leadership.announce(db(0), Epoch::new(7));
    let all = candidates(&["primary", "replica", "replica"]);
    let policy = by_label()
        .fenced_by(&leadership)
        .read_from(ReadFrom::Replicas);
    let picker = policy.build(&all);
    let explain = |picker: &dyn Picker, intent| {
        let context = PickContext::new(Time::ORIGIN, 0).with_intent(intent);
        Explanation::of(picker, &all, &context).to_string()
    };
    assert_eq!(
        explain(&*picker, Intent::Write),
        "PrimaryReplica: a write goes to the primary (1 labelled as the primary by `cnpg.io/instanceRole`; db-0 is \
         the primary of epoch 7), which leaves 1 (and takes off db-1, db-2); chosen: db-0 (10.0.0.0:5432)"
    );
    let read = explain(&*picker, Intent::Read);
    assert!(
        read.starts_with("PrimaryReplica: a read goes by Replicas ("),
        "{read}"
    );
    assert!(
        read.contains("which leaves 2 (and takes off db-0); LeastRequest"),
        "{read}"
    );
    leadership.vacate(Epoch::new(7));
    let waits = explain(&*picker, Intent::Write);
    assert!(
        waits.contains("something else has just been announced"),
        "{waits}"
    );
    assert!(waits.ends_with("nobody now: waits"), "{waits}");
    let waits = explain(&*policy.build(&all), Intent::Write);
    assert!(
        waits.contains("db-0 was the primary of epoch 7 and is none any more"),
        "{waits}"
    );
}
