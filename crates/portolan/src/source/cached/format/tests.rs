use portolan_core::{Conditions, Endpoint, Hints, Placement, Weight};
use proptest::prelude::*;

use super::*;

const OWNER: Owner<'_> = Owner {
    service: "db.shop:client",
    origin: "east",
};

const DAY: Duration = Duration::from_secs(86_400);

fn then() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_570_682)
}

fn full() -> Endpoint {
    let hints = Hints {
        zones: Box::new(["z".into()]),
        nodes: Box::new([]),
    };
    Endpoint::new(Placement::new("db-3"), "[fd00::1]:80".parse().unwrap())
        .with_uid("a")
        .with_alternate("10.0.0.1:80".parse().unwrap())
        .with_conditions(Conditions::new(Some(false), Some(true), Some(true)))
        .with_weight(Weight::new(7))
        .with_ordinal(3)
        .with_pod("db-3")
        .with_host("db-3.example")
        .with_node("n")
        .with_zone("z \"quoted\" \n é")
        .with_hints(hints.into())
}

fn kept() -> EndpointSet {
    let bare = Endpoint::new(Placement::new("bare"), "10.0.0.2:80".parse().unwrap());
    let set: EndpointSet = [full(), bare].into_iter().collect();
    set.with_reach(Reach::Nodes)
        .with_internal_traffic(InternalTraffic::Local)
}

fn bytes() -> Vec<u8> {
    encode(OWNER, &kept(), then()).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    decode(bytes, OWNER, then(), DAY).unwrap_err().to_string()
}

#[test]
fn what_was_kept_comes_back_whole_with_its_age() {
    let later = then() + Duration::from_secs(90);
    let (endpoints, age) = decode(&bytes(), OWNER, later, DAY).unwrap();
    assert_eq!(endpoints, kept());
    assert_eq!(age, Duration::from_secs(90));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = bytes();
    for length in 0..bytes.len() {
        assert!(
            decode(&bytes[..length], OWNER, then(), DAY).is_err(),
            "{length}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(b' ');
    assert!(refusal(&longer).contains("truncated, or was added to"));
}

proptest! {
    #[test]
    fn every_flipped_bit_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // An error, or, where it was in how the checksum is written, the same as before.
        if let Ok((endpoints, _)) = decode(&bytes, OWNER, then(), DAY) {
            prop_assert_eq!(endpoints, kept());
        }
    }

    #[test]
    fn no_bytes_at_all_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes, OWNER, then(), DAY).is_err());
    }
}

#[test]
fn each_refusal_says_why() {
    let text = String::from_utf8(bytes()).unwrap();
    let future = text.replacen("endpoints 1", "endpoints 2", 1);
    assert_eq!(
        refusal(future.as_bytes()),
        "it is of version 2 of the format, and this program knows version 1"
    );
    assert_eq!(refusal(b""), "it is not a file of kept endpoints");
    assert_eq!(
        refusal(b"{\"endpoints\":[]}\n"),
        "it is not a file of kept endpoints"
    );
    let changed = text.replacen("10.0.0.2", "10.0.0.3", 1);
    assert_eq!(
        refusal(changed.as_bytes()),
        "its checksum is wrong: it is corrupt"
    );

    let other = |service, origin| {
        let owner = Owner { service, origin };
        let bytes = encode(owner, &kept(), then()).unwrap();
        refusal(&bytes)
    };
    assert_eq!(other("web", "east"), "it is of the Service web");
    assert_eq!(other("db.shop:client", "west"), "it is of the origin west");
}

#[test]
fn the_time_must_make_sense() {
    let at = |now| decode(&bytes(), OWNER, now, DAY).map(|(_, age)| age);
    let second = Duration::from_secs(1);
    assert_eq!(at(then() + DAY).unwrap(), DAY);
    let too_old = at(then() + DAY + second).unwrap_err().to_string();
    assert_eq!(too_old, "it is 86401 s old, more than the limit of 86400 s");
    // A clock that is a little behind is no reason to refuse.
    assert_eq!(at(then() - CLOCK_SKEW).unwrap(), Duration::ZERO);
    let future = at(then() - CLOCK_SKEW - second).unwrap_err().to_string();
    assert_eq!(
        future,
        "it was written 301 s from now: one of the clocks is wrong"
    );
}
