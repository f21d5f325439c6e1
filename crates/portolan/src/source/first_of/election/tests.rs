use portolan_core::{Endpoint, Placement};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn list(of: &str, endpoints: u8) -> Resolution {
    let endpoint = |nth: u8| {
        let address = format!("10.0.0.{nth}:80").parse().unwrap();
        Endpoint::new(Placement::new(format!("db-{nth}")), address).with_pod(of)
    };
    Resolution::Present((0..endpoints).map(endpoint).collect())
}

fn failed(kind: SourceErrorKind, why: &str) -> Resolution {
    Resolution::Failed(SourceError::new(kind, why))
}

fn refused() -> Resolution {
    failed(SourceErrorKind::Unavailable, "connection refused")
}

/// An election, the time, and what was passed on.
struct Trial {
    election: Election,
    now: Time,
}

impl Trial {
    fn of(members: usize, settings: Settings) -> Self {
        let mut trial = Self {
            election: Election::new(members, settings),
            now: Time::from_nanos(1_000_000_000_000),
        };
        assert_eq!(trial.decide(), Vec::<String>::new());
        trial
    }

    /// As a watch does it: decides until there is nothing new.
    fn decide(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(resolution) = self.election.decide(self.now) {
            said.push(match resolution {
                Resolution::Present(set) => match set.first() {
                    Some(one) => format!("{} of {}", set.len(), one.pod().unwrap()),
                    None => "none".to_owned(),
                },
                Resolution::Absent => "absent".to_owned(),
                Resolution::Failed(error) => error.to_string(),
                _ => unreachable!(),
            });
            assert!(said.len() < 10, "it never ends: {said:?}");
        }
        said
    }

    fn hear(&mut self, who: usize, resolution: Resolution) -> Vec<String> {
        assert!(self.election.is_asked(who), "{who} is not asked");
        self.election.hear(self.now, who, resolution);
        self.decide()
    }

    /// Lets time pass, looking whenever the election wants to.
    fn pass(&mut self, duration: Duration) -> Vec<String> {
        let end = self.now + duration;
        let mut said = Vec::new();
        while let Some(at) = self.election.next_look(self.now).filter(|at| *at <= end) {
            self.now = at;
            said.extend(self.decide());
        }
        self.now = end;
        said.extend(self.decide());
        said
    }

    fn asked(&self) -> Vec<usize> {
        (0..self.election.members.len())
            .filter(|who| self.election.is_asked(*who))
            .collect()
    }
}

#[test]
fn while_the_first_works_nobody_else_is_asked_whatever_it_says() {
    let mut trial = Trial::of(2, Settings::default());
    assert_eq!(trial.hear(0, list("kube", 3)), ["3 of kube"]);
    assert_eq!(trial.hear(0, list("kube", 0)), ["none"]);
    assert_eq!(trial.hear(0, Resolution::Absent), ["absent"]);
    assert!(trial.pass(3600 * SECOND).is_empty());
    assert_eq!(trial.asked(), [0]);
}

#[test]
fn a_blip_moves_nothing_and_its_age_is_told() {
    let mut trial = Trial::of(2, Settings::default());
    trial.hear(0, list("kube", 3));
    assert_eq!(
        trial.hear(0, refused()),
        ["first source: connection refused; second source: no word yet"]
    );
    assert_eq!(trial.asked(), [0, 1]);
    assert!(
        trial.hear(1, list("dns", 2)).len() <= 1,
        "within the grace only the reason may change"
    );
    assert_eq!(trial.election.in_charge(), Some(0));
    trial.pass(4 * SECOND);
    assert_eq!(trial.hear(0, list("kube", 4)), ["4 of kube"]);
    // The backup is let go of once the first has settled.
    assert!(trial.pass(9 * SECOND).is_empty());
    assert_eq!(trial.asked(), [0, 1]);
    trial.pass(SECOND);
    assert_eq!(trial.asked(), [0]);
}

#[test]
fn after_the_grace_the_second_serves_as_the_first_knew_them_and_hands_back_once_settled() {
    let mut trial = Trial::of(2, Settings::default());
    trial.hear(0, list("kube", 3));
    trial.hear(0, refused());
    trial.hear(1, list("dns", 2));
    assert_eq!(trial.pass(5 * SECOND), ["2 of kube"]);
    assert_eq!(trial.hear(1, list("dns", 3)), ["3 of kube"]);
    assert!(trial.hear(0, list("kube", 4)).is_empty());
    // It must have worked all the time.
    trial.pass(9 * SECOND);
    assert!(trial.hear(0, refused()).is_empty());
    assert!(trial.hear(0, list("kube", 5)).is_empty());
    assert!(trial.pass(9 * SECOND).is_empty());
    assert_eq!(trial.pass(SECOND), ["5 of kube"]);
    assert_eq!(trial.asked(), [0]);
}

#[test]
fn a_second_that_has_nothing_takes_nothing_away() {
    for nothing in [list("dns", 0), Resolution::Absent] {
        let mut trial = Trial::of(3, Settings::default());
        trial.hear(0, list("kube", 3));
        trial.hear(0, refused());
        assert_eq!(
            trial.hear(1, nothing),
            [
                "first source: connection refused; second source: no endpoints; third source: no word yet"
            ]
        );
        assert!(trial.pass(60 * SECOND).is_empty());
        assert_eq!(trial.hear(2, list("file", 1)), ["1 of kube"]);
        // Once in charge, its word counts, and with nothing to lose the first is back at once.
        // It says no other than the second, which is asked first.
        assert_eq!(trial.hear(2, list("file", 0)).len(), 1);
        assert_eq!(trial.election.in_charge(), Some(1));
        assert_eq!(trial.hear(0, list("kube", 1)), ["1 of kube"]);
    }
}

#[test]
fn when_the_second_fails_too_a_first_that_is_back_does_not_wait() {
    let mut trial = Trial::of(2, Settings::default());
    trial.hear(0, list("kube", 1));
    trial.hear(0, refused());
    trial.hear(1, list("dns", 2));
    trial.pass(5 * SECOND);
    trial.hear(0, list("kube", 4));
    assert_eq!(
        trial.hear(1, failed(SourceErrorKind::Unavailable, "SERVFAIL")),
        ["4 of kube"]
    );
}

#[test]
fn if_all_fail_each_reason_is_told_once_and_the_last_list_stays() {
    let mut trial = Trial::of(2, Settings::default());
    trial.hear(0, list("kube", 1));
    trial.hear(0, refused());
    trial.hear(1, list("dns", 2));
    trial.pass(5 * SECOND);
    let both = "first source: connection refused; second source: SERVFAIL";
    let servfail = || failed(SourceErrorKind::Unavailable, "SERVFAIL");
    assert_eq!(trial.hear(1, servfail()), [both]);
    assert!(trial.hear(1, servfail()).is_empty());
    assert!(trial.hear(0, refused()).is_empty());
    assert!(trial.pass(3600 * SECOND).is_empty());
    assert_eq!(trial.hear(1, list("dns", 3)).len(), 1);
}

#[test]
fn at_the_start_each_has_a_head_start_before_the_next() {
    let mut trial = Trial::of(3, Settings::default());
    assert_eq!(trial.asked(), [0]);
    assert!(trial.pass(SECOND).is_empty());
    assert_eq!(trial.asked(), [0, 1]);
    assert!(trial.hear(1, refused()).is_empty());
    assert_eq!(trial.asked(), [0, 1, 2]);
    // As soon as nobody can be hoped for, that is said.
    let silent = "first source: no word yet; second source: connection refused; third source: ";
    assert_eq!(
        trial.hear(2, refused()),
        [format!("{silent}connection refused")]
    );
    assert_eq!(trial.hear(2, list("file", 1)), ["1 of file"]);
    // The first speaks at last: it is settled in, not switched to.
    assert!(trial.hear(0, list("kube", 1)).is_empty());
    assert_eq!(trial.pass(10 * SECOND), ["1 of kube"]);
}

#[test]
fn while_all_are_silent_nothing_is_said() {
    let mut trial = Trial::of(2, Settings::default());
    assert!(trial.pass(3600 * SECOND).is_empty());
    assert_eq!(
        trial.hear(1, refused()),
        ["first source: no word yet; second source: connection refused"]
    );
}

#[test]
fn a_later_list_that_is_empty_does_not_keep_the_first_out_at_the_start() {
    let mut trial = Trial::of(2, Settings::default());
    trial.pass(SECOND);
    assert_eq!(trial.hear(1, Resolution::Absent), ["absent"]);
    assert_eq!(trial.hear(0, list("kube", 2)), ["2 of kube"]);
}

#[test]
fn a_warm_second_is_always_asked_but_not_preferred() {
    let warm = Settings {
        warm: true,
        ..Settings::default()
    };
    let mut trial = Trial::of(2, warm);
    assert_eq!(trial.asked(), [0, 1]);
    assert!(trial.hear(1, list("dns", 2)).is_empty());
    assert_eq!(trial.hear(0, list("kube", 3)), ["3 of kube"]);
    trial.pass(60 * SECOND);
    assert_eq!(trial.asked(), [0, 1]);
    trial.hear(0, refused());
    assert_eq!(trial.pass(5 * SECOND), ["2 of kube"]);
}

#[test]
fn only_what_all_call_wrong_is_wrong() {
    let kind_after = |second: Option<SourceErrorKind>| {
        let mut election = Election::new(2, Settings::default());
        let now = Time::ORIGIN;
        assert!(election.decide(now).is_none());
        election.hear(now, 0, failed(SourceErrorKind::Invalid, "no such port"));
        assert!(election.decide(now).is_none());
        if let Some(kind) = second {
            election.hear(now, 1, failed(kind, "no"));
        }
        match election.decide(now + 2 * SECOND) {
            Some(Resolution::Failed(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind_after(None), SourceErrorKind::Unavailable);
    assert_eq!(
        kind_after(Some(SourceErrorKind::Forbidden)),
        SourceErrorKind::Forbidden
    );
    assert_eq!(
        kind_after(Some(SourceErrorKind::Invalid)),
        SourceErrorKind::Invalid
    );
}

/// What a source may do next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Lists(u8),
    IsAbsent,
    Fails,
}

fn deeds(members: usize) -> impl Strategy<Value = Vec<(u64, usize, Deed)>> {
    let deed = prop_oneof![
        3 => (0u8..4).prop_map(Deed::Lists),
        1 => Just(Deed::IsAbsent),
        3 => Just(Deed::Fails),
    ];
    let pause = prop_oneof![3 => 0u64..2_000, 2 => 2_000u64..30_000];
    prop::collection::vec((pause, 0..members, deed), 0..60)
}

/// How each source has been, told by the test itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Nothing,
    Good { since: Time, endpoints: u8 },
    Failing { since: Time },
}

proptest! {
    #[test]
    fn whatever_the_sources_do_no_list_is_lost_and_no_hand_over_is_hasty(
        warm in any::<bool>(),
        deeds in deeds(3),
    ) {
        let settings = Settings { warm, ..Settings::default() };
        let mut election = Election::new(3, settings);
        let mut now = Time::ORIGIN;
        let mut seen = [Seen::Nothing; 3];
        let mut last_demotion: Option<Time> = None;
        let mut events = deeds.into_iter();
        let mut next_event = events.next().map(|(pause, who, deed)| (now + Duration::from_millis(pause), who, deed));
        let end_of_events = Duration::from_secs(3600);
        let mut end = None;
        loop {
            // Everything there is to say now.
            loop {
                let before = election.in_charge();
                let said = election.decide(now);
                let after = election.in_charge();
                if before != after {
                    let after = after.expect("nobody in charge any more");
                    let heir = seen[after];
                    prop_assert!(matches!(heir, Seen::Good { .. }), "{heir:?} is in charge");
                    if let Some(before) = before {
                        match seen[before] {
                            _ if after < before => {
                                let Seen::Good { since, .. } = heir else { unreachable!() };
                                let nothing_to_lose = matches!(seen[before], Seen::Failing { .. })
                                    || matches!(seen[before], Seen::Good { endpoints: 0, .. });
                                prop_assert!(nothing_to_lose || now.since(since) >= settings.settle);
                                let Seen::Good { endpoints, .. } = heir else { unreachable!() };
                                let had_list = matches!(seen[before], Seen::Good { endpoints: 1.., .. });
                                prop_assert!(after == 0 || endpoints > 0 || !had_list, "a list was lost");
                            }
                            Seen::Failing { since } => {
                                prop_assert!(now.since(since) >= settings.grace, "hasty");
                                let Seen::Good { endpoints, .. } = heir else { unreachable!() };
                                prop_assert!(endpoints > 0, "a list was lost");
                                if let Some(last) = last_demotion {
                                    prop_assert!(now.since(last) >= settings.grace, "a flap");
                                }
                                last_demotion = Some(now);
                            }
                            other => prop_assert!(false, "{other:?} was left for a later one"),
                        }
                    }
                }
                let Some(said) = said else { break };
                let in_charge = election.in_charge();
                match said {
                    Resolution::Failed(_) => {
                        if let Some(who) = in_charge {
                            prop_assert!(matches!(seen[who], Seen::Failing { .. }), "a good source called failing");
                        }
                    }
                    good => {
                        let told = match &good {
                            Resolution::Present(set) => u8::try_from(set.len()).unwrap(),
                            _ => 0,
                        };
                        match seen[in_charge.unwrap()] {
                            Seen::Good { endpoints, .. } => prop_assert_eq!(endpoints, told),
                            other => prop_assert!(false, "{:?} gave {}", other, told),
                        }
                    }
                }
            }
            // Nobody but the one in charge, and those before it, is asked where all is well.
            if let Some(who) = election.in_charge()
                && let Seen::Good { since, .. } = seen[who]
                && now.since(since) >= settings.settle
                && !warm
            {
                prop_assert!((who + 1..3).all(|later| !election.is_asked(later)));
            }
            let forgotten = |who: usize| !election.is_asked(who);
            for (who, seen) in seen.iter_mut().enumerate() {
                if forgotten(who) {
                    *seen = Seen::Nothing;
                }
            }
            // On to whatever comes first: a look, the next event, or the end.
            let look = election.next_look(now);
            let event_at = next_event.map(|(at, ..)| at);
            if event_at.is_none() && end.is_none() {
                end = Some(now + end_of_events);
            }
            let Some(next) = [look, event_at, end].into_iter().flatten().min() else { unreachable!() };
            now = next;
            if event_at == Some(now) {
                let Some((_, who, deed)) = next_event.take() else { unreachable!() };
                next_event = events.next().map(|(pause, who, deed)| (now + Duration::from_millis(pause), who, deed));
                if election.is_asked(who) {
                    let resolution = match deed {
                        Deed::Lists(endpoints) => list("any", endpoints),
                        Deed::IsAbsent => Resolution::Absent,
                        Deed::Fails => refused(),
                    };
                    seen[who] = match (deed, seen[who]) {
                        (Deed::Fails, Seen::Failing { since }) => Seen::Failing { since },
                        (Deed::Fails, _) => Seen::Failing { since: now },
                        (Deed::Lists(endpoints), Seen::Good { since, .. }) => Seen::Good { since, endpoints },
                        (Deed::Lists(endpoints), _) => Seen::Good { since: now, endpoints },
                        (Deed::IsAbsent, Seen::Good { since, .. }) => Seen::Good { since, endpoints: 0 },
                        (Deed::IsAbsent, _) => Seen::Good { since: now, endpoints: 0 },
                    };
                    election.hear(now, who, resolution);
                }
            } else if end == Some(now) {
                break;
            }
        }
        // Once all is quiet: the first that is good is gone by, unless it has only an empty list to
        // offer in the place of a full one.
        let good = seen.iter().position(|seen| matches!(seen, Seen::Good { .. }));
        if let (Some(good), Some(in_charge)) = (good, election.in_charge()) {
            match seen[in_charge] {
                Seen::Good { endpoints: 0, .. } => prop_assert_eq!(good, in_charge),
                Seen::Good { .. } => {
                    prop_assert!(in_charge == 0 || good > 0, "the first is not gone by");
                    let has_list = |who: usize| matches!(seen[who], Seen::Good { endpoints: 1.., .. });
                    prop_assert!(!(0..in_charge).any(has_list), "an earlier list is not used");
                }
                _ => {
                    let has_list = |who: usize| matches!(seen[who], Seen::Good { endpoints: 1.., .. });
                    prop_assert!(!(in_charge..3).any(has_list), "a list is not used");
                }
            }
        }
    }
}
