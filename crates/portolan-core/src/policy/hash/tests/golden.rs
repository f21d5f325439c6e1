//! Known answers: whose a key is, is a promise to all releases. Where one of these fails, it is not the test that is
//! to be changed.

use super::{candidates, endpoint, owners};
use crate::{
    Policy,
    policy::{GrpcRingHash, JumpHash, Ketama, Maglev, Rendezvous, RingHash, hash::jump::jump},
};

/// The ordinals to which the keys 0 to 23, as four bytes in network order, belong among five endpoints.
fn ordinals(policy: &dyn Policy, weights: [u32; 5]) -> String {
    let endpoints = (0..)
        .zip(weights)
        .map(|(one, weight)| endpoint(one, weight, 0));
    let owners = owners(policy, &candidates(endpoints), 24);
    let ordinals = owners.iter().filter_map(|owner| owner.ordinal());
    ordinals.map(|ordinal| ordinal.to_string()).collect()
}

const EQUAL: [u32; 5] = [1; 5];
const UNEQUAL: [u32; 5] = [1, 2, 3, 0, 4];

#[test]
fn keys_stay_where_they_have_always_been() {
    let known: [(&dyn Policy, _, _); 7] = [
        (
            &RingHash::new(),
            "440410400041431024134340",
            "440414200021441224142444",
        ),
        (
            &Maglev::new(),
            "324132101100143312200124",
            "424112101110142412204124",
        ),
        (
            &Rendezvous::new(),
            "300300444041441123230341",
            "440241444241441124210141",
        ),
        (
            &JumpHash::new(),
            "130243102112204113244442",
            "130243102112204113244442",
        ),
        (
            &GrpcRingHash::by_placement(),
            "222424021303104430023330",
            "422444022001104444024441",
        ),
        (
            &GrpcRingHash::by_address(),
            "223040030413304434130313",
            "224444240444144444120014",
        ),
        (
            &Ketama::by_placement(),
            "404412323122434320141341",
            "422424424222411440121241",
        ),
    ];
    for (policy, of_equal, of_unequal) in known {
        assert_eq!(ordinals(policy, EQUAL), of_equal, "{policy:?}");
        assert_eq!(ordinals(policy, UNEQUAL), of_unequal, "{policy:?}");
    }
}

/// From the tests of other implementations (Go: lithammer's, dgryski's).
#[test]
fn jump_is_the_papers() {
    let known = [
        (1, 1, 0),
        (42, 57, 43),
        (0xdead_10cc, 1, 0),
        (0xdead_10cc, 666, 361),
        (256, 1024, 520),
    ];
    for (hash, places, place) in known {
        assert_eq!(jump(hash, places), place);
    }
}
