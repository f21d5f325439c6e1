//! What few endpoints have.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Kept apart from the rest of an endpoint, since among 10,000 of them every word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seldom {
    pub(super) alternate: Option<SocketAddr>,
    pub(super) host: Option<Arc<str>>,
    pub(super) labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The name of the Pod, where it is not the placement.
    pub(super) pod: Option<Arc<str>>,
    /// The ordinal, where it is not the one in the placement.
    pub(super) ordinal: Option<u32>,
    /// The flow information and the scope of an IPv6 address, where they are not zero.
    pub(super) flow_and_scope: (u32, u32),
}

impl Seldom {
    /// Changes one thing about what is kept, if anything is. What says nothing is not kept, so that
    /// endpoints that say the same are equal.
    pub(super) fn change(kept: &mut Option<Box<Self>>, change: impl FnOnce(&mut Self)) {
        let mut seldom = kept.take().unwrap_or_default();
        change(&mut seldom);
        *kept = (*seldom != Self::default()).then_some(seldom);
    }
}
