//! Reads that must see what their client wrote.

use super::*;

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
        progress.forget(endpoint(2));
        assert_eq!(read_after(&*picker, 11), [0].into());
        progress.report(endpoint(2), Position::new(20));
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

/// By what a token asks for, where it is pinned or learnt to be served.
#[test]
fn a_read_by_a_token_is_not_for_a_pod_of_which_nothing_is_known() {
    let candidates = candidates(&["primary", "replica", "replica", ""]);
    let progress = Progress::new();
    let policy = by_label().read_your_writes(&progress);
    let picker = policy.read_from(ReadFrom::Replicas).build(&candidates);
    progress.report(&candidates.as_slice()[1].endpoint, Position::new(7));
    let read = PickContext::new(Time::ORIGIN, 0).with_intent(Intent::Read);
    let by_token = read.with_not_before(Position::new(7));
    let admits =
        |context: &PickContext<'_>| [0, 1, 2, 3].map(|nth| picker.admits(Index::at(nth), context));
    assert_eq!(admits(&by_token), [true, true, false, false]);
    assert_eq!(admits(&read), [true; 4], "whoever pins it knows why");
    // Whoever has been tried has nothing to do with it.
    let tried: Tried = [Index::at(0), Index::at(1)].into_iter().collect();
    assert_eq!(
        admits(&by_token.with_tried(&tried)),
        [true, true, false, false]
    );
}

/// A memory of former picks is no reason to go where a pick would not.
#[test]
fn what_may_be_picked_is_what_reads_and_writes_go_to_now() {
    let candidates = candidates(&["primary", "replica", "replica", ""]);
    let progress = Progress::new();
    progress.report(&candidates.as_slice()[1].endpoint, Position::new(7));
    let read = PickContext::new(Time::ORIGIN, 0).with_intent(Intent::Read);
    let by_token = |position| read.with_not_before(Position::new(position));
    let replicas: Tried = [Index::at(1), Index::at(2)].into_iter().collect();
    let write = read.with_intent(Intent::Write);
    let (late, early, tried) = (by_token(8), by_token(7), read.with_tried(&replicas));
    use ReadFrom::{Nearest, Primary, PrimaryPreferred, Replicas, ReplicasPreferred};
    for (from, context, expected) in [
        (Primary, &read, vec![0]),
        (PrimaryPreferred, &read, vec![0, 1, 2]),
        (Replicas, &read, vec![1, 2]),
        (ReplicasPreferred, &read, vec![1, 2]),
        (Nearest, &read, vec![0, 1, 2]),
        (ReplicasPreferred, &tried, vec![0, 1, 2]),
        (Replicas, &tried, vec![1, 2]),
        (Replicas, &early, vec![1]),
        (Replicas, &late, vec![0]),
        (Nearest, &early, vec![0, 1]),
        (Nearest, &write, vec![0]),
    ] {
        let policy = by_label().read_from(from).read_your_writes(&progress);
        let picker = policy.build(&candidates);
        let may = (0..4).filter(|nth| picker.may_pick(Index::at(*nth), context));
        assert_eq!(may.collect::<Vec<_>>(), expected, "{from:?}: {context:?}");
    }
}
