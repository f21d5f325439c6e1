//! What others do with the same hosts and keys.

use std::net::SocketAddr;

use pingora_ketama::{Bucket, Continuum};

use super::{candidate, key, pick};
use crate::{
    Candidates, Endpoint, Placement, Verdict, Weight,
    policy::{GrpcRingHash, Ketama, Policy},
};

fn at(addresses: &[(SocketAddr, u32)]) -> Candidates {
    let endpoint = |(address, weight): &(SocketAddr, u32)| {
        candidate(
            Endpoint::new(Placement::new(address.to_string()), *address)
                .with_weight(Weight::new(*weight)),
        )
    };
    Candidates::new(addresses.iter().map(endpoint).collect::<Vec<_>>(), 1)
}

/// pingora-ketama, which is held against nginx's own answers.
#[test]
fn ketama_is_nginx() {
    let v4 = |one: u8| SocketAddr::from(([10, 0, one, 17], 8000 + u16::from(one)));
    let v6 = |one: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, one], 80));
    for number in [1, 2, 3, 10, 50] {
        let addresses = (0..number).map(|one| (v4(one), 1 + u32::from(one % 3)));
        let more = (0..number / 2).map(|one| (v6(u16::from(one)), 2));
        let addresses: Vec<_> = addresses.chain(more).collect();
        let buckets: Vec<_> = addresses
            .iter()
            .map(|(address, weight)| Bucket::new(*address, *weight))
            .collect();
        let theirs = Continuum::new(&buckets);
        let candidates = at(&addresses);
        let ours = Ketama::by_address().build(&candidates);
        for number in 0..10_000 {
            let key = key(number);
            let Verdict::Use(index) = pick(&*ours, &key) else {
                panic!()
            };
            let address = candidates.get(index).unwrap().endpoint.address();
            assert_eq!(Some(address), theirs.node(&key));
        }
    }
}

/// grpc-go 1.84 itself, with its usual limits: `go run . owners 1024 4096 1 1 1 1 1` in benches/go, and
/// `… 1 2 3 4 5`.
#[test]
fn the_ring_of_grpc_is_grpcs() {
    let known = [
        (
            [1; 5],
            "0003211200203242042104244100210321332210402342141000440421322004",
        ),
        (
            [1, 2, 3, 4, 5],
            "2003414244203242434102244130240320332413443342144040440424422004",
        ),
    ];
    for (weights, owners) in known {
        let host = |(host, weight)| (SocketAddr::from(([10, 0, 0, host], 80)), weight);
        let candidates = at(&(0..).zip(weights).map(host).collect::<Vec<_>>());
        let picker = GrpcRingHash::by_address().build(&candidates);
        let owner = |key: u32| match pick(&*picker, key.to_string().as_bytes()) {
            Verdict::Use(index) => index.position().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!((0..64).map(owner).collect::<String>(), owners);
    }
}
