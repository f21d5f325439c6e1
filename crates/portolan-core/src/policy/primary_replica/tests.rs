//! Who gets what, case by case; and thousands of failovers against a naive model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use proptest::prelude::*;

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

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_waits_for_a_change_is_woken_once_for_each() {
    let leadership = Leadership::new();
    let policy = PrimaryReplica::by_leadership(&leadership).over(ZoneAware::new());
    let mut changes = policy.changes().unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    for epoch in 1..4 {
        assert!(changes.as_mut().poll_next(&mut context).is_pending());
        assert!(changes.as_mut().poll_next(&mut context).is_pending());
        leadership.announce(db(0), Epoch::new(epoch));
        leadership.announce(db(0), Epoch::new(epoch));
        assert_eq!(woken.0.load(Ordering::Relaxed), epoch as u32);
        assert_eq!(
            changes.as_mut().poll_next(&mut context),
            Poll::Ready(Some(()))
        );
    }
    // What changed before it was asked the first time is seen.
    let mut late = leadership.changes();
    leadership.vacate(Epoch::new(3));
    assert_eq!(late.as_mut().poll_next(&mut context), Poll::Ready(Some(())));
}

/// What happens, in any order.
#[derive(Clone, Debug)]
enum Event {
    Announce(usize, u64),
    Vacate(u64),
    Label(usize, bool),
    /// A Pod goes or comes.
    Toggle(usize),
    /// The driver builds a picker of what there is.
    Build,
    Write,
    Read,
}

const PODS: usize = 3;

fn event() -> impl Strategy<Value = Event> {
    let announced = (0..PODS, 0u64..5).prop_map(|(pod, epoch)| Event::Announce(pod, epoch));
    prop_oneof![
        3 => announced,
        1 => (0u64..5).prop_map(Event::Vacate),
        2 => (0..PODS, any::<bool>()).prop_map(|(pod, primary)| Event::Label(pod, primary)),
        1 => (0..PODS).prop_map(Event::Toggle),
        4 => Just(Event::Build),
        6 => Just(Event::Write),
        2 => Just(Event::Read),
    ]
}

/// Candidates that are these Pods, labelled so.
fn made_of(pods: &[(usize, bool)]) -> Candidates {
    let role = |primary| if primary { "primary" } else { "replica" };
    let list: Vec<_> = pods
        .iter()
        .map(|(pod, primary)| candidate(*pod, role(*primary)))
        .collect();
    Candidates::new(list, 3)
}

/// All that was ever told, naively.
#[derive(Default)]
struct Told {
    claims: BTreeMap<u64, Vec<(usize, bool)>>,
}

impl Told {
    fn announce(&mut self, pod: usize, epoch: u64) {
        if self.claims.keys().all(|known| *known <= epoch) {
            self.claims.entry(epoch).or_default().push((pod, true));
        }
    }

    fn vacate(&mut self, epoch: u64) {
        if self.claims.keys().all(|known| *known <= epoch) {
            let claims = self.claims.entry(epoch).or_default();
            claims.iter_mut().for_each(|claim| claim.1 = false);
        }
    }

    /// Whether anything is known, and who may be written to by that.
    fn primary(&self) -> Option<Option<usize>> {
        let (_, claims) = self.claims.last_key_value()?;
        let who: BTreeSet<_> = claims.iter().map(|(pod, _)| *pod).collect();
        let holds = claims.last().is_some_and(|(_, holds)| *holds);
        Some(who.first().copied().filter(|_| who.len() == 1 && holds))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_write_is_ever_misdirected(
        events in prop::collection::vec(event(), 1..60),
        labelled in any::<bool>(),
        fenced in any::<bool>(),
    ) {
        let fenced = fenced || !labelled;
        let leadership = Leadership::new();
        let policy = match (labelled, fenced) {
            (true, true) => by_label().fenced_by(&leadership),
            (true, false) => by_label(),
            (false, _) => PrimaryReplica::by_leadership(&leadership),
        };
        let policy = policy.read_from(ReadFrom::Replicas);
        let mut told = Told::default();
        let (mut labels, mut there) = ([false; PODS], [true; PODS]);
        // What the picker was built of: each candidate's Pod, and whether it was labelled.
        let (mut built, mut picker): (Vec<(usize, bool)>, _) =
            (Vec::new(), policy.build(&Candidates::new([], 0)));
        for event in events {
            match event {
                Event::Announce(pod, epoch) => {
                    leadership.announce(db(pod), Epoch::new(epoch));
                    told.announce(pod, epoch);
                }
                Event::Vacate(epoch) => {
                    leadership.vacate(Epoch::new(epoch));
                    told.vacate(epoch);
                }
                Event::Label(pod, primary) => labels[pod] = primary,
                Event::Toggle(pod) => there[pod] = !there[pod],
                Event::Build => {
                    built = (0..PODS).filter(|pod| there[*pod]).map(|pod| (pod, labels[pod])).collect();
                    picker = policy.build(&made_of(&built));
                }
                Event::Write => {
                    let claimants: Vec<_> =
                        built.iter().filter(|(_, primary)| *primary).map(|(pod, _)| *pod).collect();
                    let wanted = match (labelled, fenced.then(|| told.primary()).flatten()) {
                        (true, None) => match claimants[..] { [one] => Some(one), _ => None },
                        (false, None) => None,
                        (true, Some(one)) => one.filter(|one| claimants.contains(one)),
                        (false, Some(one)) => one.filter(|one| built.iter().any(|(pod, _)| pod == one)),
                    };
                    match ask(&*picker, Intent::Write) {
                        Verdict::Use(index) => {
                            let pod = built[index.position()].0;
                            prop_assert_eq!(Some(pod), wanted);
                        }
                        // What waits, waits for a primary, or for the picker that is on its way.
                        Verdict::Wait => {
                            let rebuilt = policy.build(&made_of(&built));
                            let then = ask(&*rebuilt, Intent::Write);
                            prop_assert_eq!(matches!(then, Verdict::Use(_)), wanted.is_some());
                            prop_assert!(wanted.is_none() || fenced);
                        }
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                Event::Read => if let Verdict::Use(index) = ask(&*picker, Intent::Read) {
                    let (_, primary) = built[index.position()];
                    prop_assert!(!(labelled && primary), "replicas only");
                },
            }
        }
    }
}

/// Where reads of this token go, by the numbers of the endpoints.
fn read_after(picker: &dyn Picker, position: u64) -> BTreeSet<usize> {
    let mut entropy = fastrand::Rng::with_seed(3);
    let ask = |entropy| {
        let context = PickContext::new(Time::ORIGIN, entropy).with_intent(Intent::Read);
        picker.pick(&context.with_not_before(Position::new(position)))
    };
    (0..200)
        .map(|_| match ask(entropy.u64(..)) {
            Verdict::Use(index) => index.position(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_client_reads_what_it_wrote_from_whoever_has_got_as_far() {
    let candidates = candidates(&["primary", "replica", "replica", "replica"]);
    let endpoint = |number: usize| &candidates.as_slice()[number].endpoint;
    for from in [ReadFrom::Replicas, ReadFrom::ReplicasPreferred] {
        let progress = Progress::new();
        let policy = by_label().read_from(from).read_your_writes(&progress);
        let picker = policy.build(&candidates);
        progress.report(endpoint(1), Position::new(10));
        progress.report(endpoint(2), Position::new(20));
        // Of db-3 nothing is known: it may have got anywhere.
        assert_eq!(read_after(&*picker, 10), [1, 2].into());
        assert_eq!(read_after(&*picker, 11), [2].into());
        assert_eq!(read_after(&*picker, 21), [0].into(), "the primary has it");
        assert_eq!(readers(&*picker, Time::ORIGIN), [1, 2, 3].into());
        // Heard by pickers that are there already.
        let further = Progress::clone(&progress);
        further.report(endpoint(1), Position::new(12));
        assert_eq!(read_after(&*picker, 11), [1, 2].into());
    }
}

#[test]
fn a_token_of_which_nobody_knows_anything_is_for_the_primary() {
    let candidates = candidates(&["primary", "replica"]);
    let picker = by_label().read_from(ReadFrom::Replicas).build(&candidates);
    assert_eq!(read_after(&*picker, 1), [0].into());
    let nearest = by_label().read_from(ReadFrom::Nearest).build(&candidates);
    assert_eq!(read_after(&*nearest, 1), [0].into());
}

#[test]
fn a_replica_that_has_restarted_is_believed_to_know_nothing() {
    let before = candidates(&["primary", "replica"]);
    let first = Endpoint::clone(&before.as_slice()[1].endpoint).with_uid("its first life");
    let first = Candidate {
        endpoint: Arc::new(first),
        ..before.as_slice()[1].clone()
    };
    let before = Candidates::new([before.as_slice()[0].clone(), first], 0);
    let progress = Progress::new();
    let policy = by_label()
        .read_from(ReadFrom::Replicas)
        .read_your_writes(&progress);
    let picker = policy.build(&before);
    progress.report(&before.as_slice()[1].endpoint, Position::new(9));
    assert_eq!(read_after(&*picker, 9), [1].into());
    let again = Endpoint::clone(&before.as_slice()[1].endpoint).with_uid("its second life");
    let again = Candidate {
        endpoint: Arc::new(again),
        ..before.as_slice()[1].clone()
    };
    let after = Candidates::new([before.as_slice()[0].clone(), again.clone()], 0);
    let picker = policy.build(&after);
    assert_eq!(read_after(&*picker, 9), [0].into());
    // Late, by its former life.
    progress.report(&before.as_slice()[1].endpoint, Position::new(10));
    assert_eq!(read_after(&*picker, 9), [0].into());
    progress.report(&again.endpoint, Position::new(9));
    assert_eq!(read_after(&*picker, 9), [1].into());
}

#[test]
fn without_a_primary_what_nobody_has_seen_is_waited_for() {
    let candidates = candidates(&["replica", "replica"]);
    let progress = Progress::new();
    let policy = by_label()
        .read_from(ReadFrom::Replicas)
        .read_your_writes(&progress);
    let picker = policy.build(&candidates);
    let context = PickContext::new(Time::ORIGIN, 0).with_intent(Intent::Read);
    let context = context.with_not_before(Position::new(5));
    assert_eq!(picker.pick(&context), Verdict::Wait);
    let explanation = Explanation::of(&*picker, &candidates, &context).to_string();
    assert!(
        explanation.contains("known to have got to position 5"),
        "{explanation}"
    );
    for (index, admitted) in [(0, true), (1, false)] {
        progress.report(&candidates.as_slice()[0].endpoint, Position::new(5));
        assert_eq!(picker.admits(Index::new(index), &context), admitted);
    }
    assert_eq!(picker.pick(&context), Verdict::Use(Index::new(0)));
}

#[test]
fn what_is_reported_of_very_many_does_not_fill_the_memory() {
    let progress = Progress::new();
    let reported = |number: usize| {
        let address = ([10, 0, (number / 250) as u8, (number % 250) as u8], 1).into();
        let endpoint = Endpoint::new(Placement::new(format!("db-{number}")), address);
        progress.report(&endpoint, Position::new(1));
        progress.of(&endpoint).number()
    };
    assert!((0..5_000).all(|number| reported(number) == 1));
    assert!(format!("{progress:?}").matches("Placement").count() <= 4_096);
}

#[test]
fn where_no_replica_is_left_that_has_it_the_primary_reads() {
    let progress = Progress::new();
    let policy = by_label()
        .read_from(ReadFrom::Replicas)
        .read_your_writes(&progress);
    let read = PickContext::new(Time::ORIGIN, 0)
        .with_intent(Intent::Read)
        .with_not_before(Position::new(5));
    let primary = Verdict::Use(Index::new(0));
    // There is none.
    let alone = policy.build(&candidates(&["primary"]));
    assert_eq!(alone.pick(&read), primary);
    // The only one has been tried.
    let candidates = candidates(&["primary", "replica"]);
    let picker = policy.build(&candidates);
    progress.report(&candidates.as_slice()[1].endpoint, Position::new(9));
    let tried: Tried = [Index::new(1)].into_iter().collect();
    assert_eq!(picker.pick(&read.with_tried(&tried)), primary);
    assert!(picker.admits(Index::new(0), &read));
}

#[test]
fn what_is_told_of_an_endpoint_holds_when_its_uid_is_learnt() {
    let before = candidates(&["primary", "replica"]);
    let endpoint = Arc::clone(&before.as_slice()[1].endpoint);
    let named = Endpoint::clone(&endpoint).with_uid("learnt later");
    let after = Candidate {
        endpoint: Arc::new(named.clone()),
        ..before.as_slice()[1].clone()
    };
    let after = Candidates::new([before.as_slice()[0].clone(), after], 0);
    let progress = Progress::new();
    let policy = by_label()
        .read_from(ReadFrom::Replicas)
        .read_your_writes(&progress);
    progress.report(&endpoint, Position::new(7));
    let picker = policy.build(&after);
    assert_eq!(read_after(&*picker, 7), [1].into());
    // As a lease has it, which was made when the UID was not known.
    progress.report(&endpoint, Position::new(9));
    assert_eq!(read_after(&*picker, 9), [1].into());
    assert_eq!(progress.of(&named), Position::new(9));
}
