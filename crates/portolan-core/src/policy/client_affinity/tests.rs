mod nested;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;

use super::ClientAffinity;
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, Index, Measurement, PickContext, Picker,
    Placement, Policy, SessionAffinity, Time, Tried, Verdict,
    policy::{LeastRequest, RoundRobin},
};

const HOUR: Duration = Duration::from_secs(3600);

fn candidate(number: u8) -> Candidate {
    let address = ([10, 0, 0, number], 80).into();
    let endpoint = Arc::new(Endpoint::new(
        Placement::new(format!("db-{number}")),
        address,
    ));
    let state = Arc::new(EndpointState::new(
        Arc::clone(&endpoint),
        Measurement::default(),
    ));
    Candidate { endpoint, state }
}

fn at(seconds: u64) -> Time {
    Time::ORIGIN + Duration::from_secs(seconds)
}

fn pick(picker: &dyn Picker, client: &str, now: Time) -> Index {
    let context = PickContext::new(now, 7).with_key(client.as_bytes());
    match picker.pick(&context) {
        Verdict::Use(index) => index,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_does_what_the_service_says() {
    let list: Vec<_> = (0..4).map(candidate).collect();
    let policy = ClientAffinity::over(RoundRobin::new());
    let none = policy.build(&Candidates::new(list.clone(), 0));
    let spread: std::collections::HashSet<_> =
        (0..8).map(|now| pick(&*none, "a", at(now))).collect();
    assert_eq!(spread.len(), 4);
    let client_ip = SessionAffinity::ClientIp { timeout: HOUR };
    let candidates = Candidates::new(list.clone(), 0).with_session_affinity(client_ip);
    let some = policy.build(&candidates);
    let first = pick(&*some, "a", at(0));
    for now in 1..100 {
        assert_eq!(pick(&*some, "a", at(now)), first);
    }
    // One is not asked for, and always there.
    let always = policy.always(HOUR).build(&Candidates::new(list, 0));
    assert_eq!(pick(&*always, "a", at(100)), first, "one memory");
}

#[test]
fn a_request_without_a_key_is_of_this_program() {
    let candidates = Candidates::new((0..4).map(candidate).collect::<Vec<_>>(), 0);
    let policy = ClientAffinity::over(RoundRobin::new()).always(HOUR);
    let picker = policy.build(&candidates);
    let own = |now| picker.pick(&PickContext::new(at(now), 3));
    let first = own(0);
    assert!((1..20).all(|now| own(now) == first));
}

/// Whose request it is is something else than what it is about.
#[test]
fn the_client_is_who_is_said_and_the_key_where_nobody_is() {
    let candidates = Candidates::new((0..4).map(candidate).collect::<Vec<_>>(), 0);
    let policy = ClientAffinity::over(RoundRobin::new()).always(HOUR);
    let picker = policy.build(&candidates);
    let of = |client: &str, key: &str| {
        let context = PickContext::new(at(1), 7).with_key(key.as_bytes());
        picker.pick(&context.with_client(client.as_bytes()))
    };
    let (a, b) = (of("a", "1"), of("b", "1"));
    assert_ne!(a, b, "the round robin's next");
    for key in ["1", "2", "3", ""] {
        assert_eq!((of("a", key), of("b", key)), (a, b));
    }
    assert_eq!(Verdict::Use(pick(&*picker, "a", at(2))), a);
    assert_ne!(of("", "a"), a, "nobody's name is a name");
}

/// It was away, and the client has another one now.
#[test]
fn one_that_is_back_is_not_gone_back_to() {
    let list: Vec<_> = (0..4).map(candidate).collect();
    let policy = ClientAffinity::over(RoundRobin::new()).always(HOUR);
    let all = policy.build(&Candidates::new(list.clone(), 0));
    let first = pick(&*all, "a", at(0));
    let mut left = list.clone();
    left.remove(first.position());
    let meanwhile = policy.build(&Candidates::new(left.clone(), 0));
    let second = pick(&*meanwhile, "a", at(1));
    let state = &left[second.position()].state;
    let now = pick(&*all, "a", at(2));
    assert!(Arc::ptr_eq(&list[now.position()].state, state));
}

#[test]
fn silence_counts_from_the_last_request() {
    let candidates = Candidates::new((0..4).map(candidate).collect::<Vec<_>>(), 0);
    let policy = ClientAffinity::over(RoundRobin::new()).always(HOUR);
    let picker = policy.build(&candidates);
    let first = pick(&*picker, "a", at(0));
    assert_eq!(pick(&*picker, "a", at(3600)), first);
    assert_eq!(pick(&*picker, "a", at(7200)), first);
    let next = pick(&*picker, "a", at(10_801));
    assert_ne!(next, first, "the round robin's next");
}

#[test]
fn one_that_is_tried_is_passed_over_once_and_stayed_with() {
    let candidates = Candidates::new((0..4).map(candidate).collect::<Vec<_>>(), 0);
    let policy = ClientAffinity::over(LeastRequest::new()).always(HOUR);
    let picker = policy.build(&candidates);
    let first = pick(&*picker, "a", at(0));
    let tried: Tried = [first].into_iter().collect();
    let context = PickContext::new(at(1), 7).with_key(b"a").with_tried(&tried);
    let Verdict::Use(other) = picker.pick(&context) else {
        panic!("there are three others");
    };
    assert_ne!(other, first);
    assert_eq!(pick(&*picker, "a", at(2)), first);
}

#[test]
fn more_clients_than_there_is_room_for_forget_those_who_were_silent_longest() {
    let candidates = Candidates::new((0..50).map(candidate).collect::<Vec<_>>(), 0);
    let policy = ClientAffinity::over(RoundRobin::new())
        .always(HOUR)
        .with_capacity(1_024);
    let picker = policy.build(&candidates);
    let first = pick(&*picker, "loyal", at(0));
    for number in 0..100_000_u64 {
        // Many times within what makes up a generation of its part.
        if number % 20 == 0 {
            assert_eq!(pick(&*picker, "loyal", at(number / 100)), first);
        }
        pick(&*picker, &number.to_string(), at(number / 100));
    }
    let remembered: usize = policy.clients.len();
    assert!(remembered <= 1_024 + 64, "{remembered}");
}

/// While it chooses for a first request, another one of the same client comes, and is given to the second endpoint.
#[derive(Clone, Debug, Default)]
struct Interrupted {
    outermost: Arc<OnceLock<Arc<dyn Picker>>>,
    asked: Arc<AtomicU32>,
}

impl Policy for Interrupted {
    fn build(&self, _: &Candidates) -> Arc<dyn Picker> {
        Arc::new(self.clone())
    }
}

impl Picker for Interrupted {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
            return Verdict::Use(Index::new(1));
        }
        let other = self.outermost.get().unwrap().pick(context);
        assert_eq!(other, Verdict::Use(Index::new(1)));
        Verdict::Use(Index::new(0))
    }
}

#[test]
fn two_first_requests_of_a_client_at_a_time_go_to_one_endpoint() {
    let candidates = Candidates::new((0..2).map(candidate).collect::<Vec<_>>(), 0);
    let interrupted = Interrupted::default();
    let policy = ClientAffinity::over(interrupted.clone()).always(HOUR);
    let picker = policy.build(&candidates);
    interrupted.outermost.set(Arc::clone(&picker)).unwrap();
    assert_eq!(pick(&*picker, "a", at(0)), Index::new(1));
    assert_eq!(pick(&*picker, "a", at(1)), Index::new(1));
}

#[derive(Clone, Debug)]
enum Deed {
    /// A client sends a request, so many seconds later.
    Request(u8, u16),
    /// An endpoint comes, or goes, or is another one of the same name.
    Toggle(u8),
    Restart(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0u8..6, 0u16..2_000).prop_map(|(client, later)| Deed::Request(client, later)),
        1 => (0u8..5).prop_map(Deed::Toggle),
        1 => (0u8..5).prop_map(Deed::Restart),
    ];
    prop::collection::vec(deed, 1..80)
}

proptest! {
    /// A client stays for exactly as long as its endpoint lives and it was not silent for longer than the timeout.
    #[test]
    fn a_client_stays_as_a_plain_list_says(deeds in deeds()) {
        let policy = ClientAffinity::over(LeastRequest::new()).always(HOUR);
        let mut there: HashMap<u8, Candidate> = (0..3).map(|one| (one, candidate(one))).collect();
        let mut plain: HashMap<u8, (Arc<EndpointState>, u64)> = HashMap::new();
        let mut now = 0;
        for deed in deeds {
            match deed {
                Deed::Toggle(one) => {
                    if there.remove(&one).is_none() {
                        there.insert(one, candidate(one));
                    }
                }
                Deed::Restart(one) => {
                    there.entry(one).and_modify(|known| *known = candidate(one));
                }
                Deed::Request(client, later) => {
                    now += u64::from(later);
                    let mut list: Vec<_> = there.values().cloned().collect();
                    list.sort_by(|a, b| a.endpoint.placement().cmp(b.endpoint.placement()));
                    let picker = policy.build(&Candidates::new(list.clone(), 0));
                    let key = [client];
                    let context = PickContext::new(at(now), u64::from(later)).with_key(&key);
                    let Verdict::Use(index) = picker.pick(&context) else {
                        prop_assert!(list.is_empty());
                        continue;
                    };
                    let chosen = &list[index.position()].state;
                    if let Some((state, last)) = plain.get(&client)
                        && now - last <= 3600
                        && list.iter().any(|one| Arc::ptr_eq(&one.state, state))
                    {
                        prop_assert!(Arc::ptr_eq(chosen, state));
                    }
                    plain.insert(client, (Arc::clone(chosen), now));
                }
            }
        }
    }
}
