//! An entry of a slice: an endpoint, at the port that is likely to be wanted.
//!
//! A slice has endpoints and ports, and which port is meant is said by who asks for it. Nearly always
//! that is one and the same port for everybody, so an entry has it already: then the slice and the set that is
//! handed out share one endpoint, and one allocation. Where another port is wanted, or the endpoint has
//! an address in another slice, too, the set has an endpoint of its own, made [from](at_port) the entry.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
};

use portolan_core::{Endpoint, Placement};

use super::Bucket;

/// The placement of an endpoint that has no name.
pub(super) fn nameless(address: SocketAddr) -> Placement {
    Placement::new(address.to_string())
}

/// The same endpoint, reached at this port.
pub(crate) fn at_port(endpoint: &Endpoint, port: u16) -> Endpoint {
    let was = endpoint.address();
    let address = SocketAddr::new(was.ip(), port);
    let moved = endpoint.clone().with_address(address);
    if *endpoint.placement() == nameless(was) {
        moved.with_placement(nameless(address))
    } else {
        moved
    }
}

/// The bucket of an endpoint: by its Pod's UID, else by its IP address, for the port is not its own.
pub(super) fn bucket(endpoint: &Endpoint) -> Bucket {
    let mut hasher = DefaultHasher::new();
    match endpoint.uid() {
        Some(uid) => uid.hash(&mut hasher),
        None => endpoint.address().ip().hash(&mut hasher),
    }
    hasher.finish() as Bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_another_port_only_an_address_is_another_name() {
        let address = "10.0.0.1:80".parse().unwrap();
        let named = Endpoint::new(Placement::new("db-0"), address)
            .with_pod("db-0")
            .with_ordinal(0);
        let moved = at_port(&named, 81);
        assert_eq!(moved.address(), "10.0.0.1:81".parse().unwrap());
        assert_eq!(moved.placement(), named.placement());
        assert_eq!((moved.pod(), moved.ordinal()), (Some("db-0"), Some(0)));
        assert_eq!(bucket(&moved), bucket(&named));

        let nameless = Endpoint::new(nameless(address), address);
        let moved = at_port(&nameless, 81);
        assert_eq!(moved.placement().as_str(), "10.0.0.1:81");
        assert_eq!(at_port(&moved, 80), nameless);
        assert_eq!(bucket(&moved), bucket(&nameless));
    }
}
