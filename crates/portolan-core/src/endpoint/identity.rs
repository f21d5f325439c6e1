//! The two identities of an endpoint, because the workloads are stateful.

use std::{fmt, net::SocketAddr, sync::Arc};

use super::Uid;

/// *Where* an endpoint stands: the stable name that outlives the Pod.
///
/// It is the hostname of a StatefulSet's Pod (`db-0`), else the Pod's name, else the address. Rings,
/// shards, stickiness and pins key on it, so that a restart moves no key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placement(Arc<str>);

impl Placement {
    /// The placement of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ordinal that a StatefulSet Pod's name ends with: `db-12` is 12.
    ///
    /// ```
    /// use portolan_core::Placement;
    /// assert_eq!(Placement::new("db-12").ordinal(), Some(12));
    /// assert_eq!(Placement::new("web-7d4b9").ordinal(), None);
    /// assert_eq!(Placement::new("db-01").ordinal(), None);
    /// ```
    #[must_use]
    pub fn ordinal(&self) -> Option<u32> {
        let (_, digits) = self.0.rsplit_once('-')?;
        // Kubernetes writes ordinals without leading zeros; another spelling is another kind of name.
        let canonical = digits == "0" || !digits.starts_with('0');
        (canonical && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placement({})", self.0)
    }
}

/// *Which life* of an endpoint this is: the Pod's UID and its address.
///
/// Measurements, ejections and connections key on it: a restarted `db-0` does not inherit the
/// former one's latency, and a reused IP is not taken for the Pod that had it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation<'a> {
    pub(super) uid: Option<&'a Uid>,
    pub(super) address: SocketAddr,
}

impl<'a> Incarnation<'a> {
    /// The UID of the Pod, where the endpoint is one.
    #[must_use]
    pub fn uid(self) -> Option<&'a Uid> {
        self.uid
    }

    /// The address.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.address
    }
}
