//! Endpoints in any number.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use portolan_core::{
    Candidate, Candidates, Endpoint, EndpointState, Measurement, Placement, Weight,
};

/// The endpoint of this number, after its Pod has restarted so many times: each time it has the same
/// name and address, and another UID, a UUID as all of Kubernetes' are. It is never connected to.
#[must_use]
pub fn endpoint(number: u32, restarts: u32) -> Endpoint {
    // 10.0.0.0/8 has room for 16 million.
    let address = Ipv4Addr::from_bits(0x0a00_0000 + 1 + number);
    Endpoint::new(
        Placement::new(format!("search-{number:06}")),
        SocketAddr::from((address, 8080)),
    )
    .with_uid(uid(number, restarts))
    .with_pod(format!("search-{number:06}"))
    .with_node(format!("node-{}", number / 30))
    .with_zone(format!("zone-{}", number % 3))
}

fn uid(number: u32, restarts: u32) -> String {
    let (high, low) = (restarts >> 16, restarts & 0xffff);
    format!("0f9c2f14-6a1e-{high:04x}-{low:04x}-{number:012x}")
}

/// How often the Pod of an endpoint has restarted, which its UID tells.
#[must_use]
pub fn restarts(endpoint: &Endpoint) -> Option<u32> {
    let uid = endpoint.uid()?.to_string();
    let mut groups = uid.split('-').skip(2);
    let mut group = || u32::from_str_radix(groups.next()?, 16).ok();
    Some(group()? << 16 | group()?)
}

/// So many endpoints, all of the same weight.
pub fn endpoints(number: u32) -> impl Iterator<Item = Endpoint> {
    (0..number).map(|one| endpoint(one, 0))
}

/// So many endpoints, of weights 1 to 5.
pub fn weighted_endpoints(number: u32) -> impl Iterator<Item = Endpoint> {
    (0..number).map(|one| endpoint(one, 0).with_weight(Weight::new(1 + one % 5)))
}

/// These endpoints as a policy sees them.
pub fn candidates(endpoints: impl Iterator<Item = Endpoint>) -> Candidates {
    let list: Vec<Candidate> = endpoints
        .map(|endpoint| {
            let endpoint = Arc::new(endpoint);
            let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
            Candidate {
                endpoint,
                state: Arc::new(state),
            }
        })
        .collect();
    Candidates::new(list, 1)
}
