//! Thousands of failovers against a naive model, and who is told of them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll, Wake, Waker},
};

use proptest::prelude::*;

use super::*;

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
