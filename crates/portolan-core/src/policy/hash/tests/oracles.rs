//! What others do with the same hosts and keys.

use std::net::SocketAddr;

use pingora_ketama::{Bucket, Continuum};

use super::{candidate, key, pick};
use crate::{
    Candidates, Endpoint, Placement, Verdict, Weight,
    policy::{Ketama, Policy},
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
