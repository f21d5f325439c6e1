//! What of a [`Cluster`](crate::Cluster) can be set.

use std::{num::NonZeroUsize, time::Duration};

use crate::{resolve::FamilyOrder, service::Family};

/// Which of a Pod's addresses are used, where it has two.
///
/// In a dual-stack cluster the slices of a Service come once for each family; an endpoint is then
/// one Pod with an [`address`](portolan_core::Endpoint::address) of the preferred family and the
/// other as the [`alternate`](portolan_core::Endpoint::alternate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpFamilies {
    /// As the Service says: the first of its `spec.ipFamilies` is preferred. Whoever made the
    /// Service knows what its cluster routes, so this is the default.
    #[default]
    AsService,
    /// IPv4 where there is one, else IPv6.
    PreferV4,
    /// IPv6 where there is one, else IPv4.
    PreferV6,
    /// IPv4 only: a Pod without one is no endpoint.
    V4Only,
    /// IPv6 only: a Pod without one is no endpoint.
    V6Only,
}

impl IpFamilies {
    pub(crate) fn order(self, of_service: Option<Family>) -> FamilyOrder {
        let (first, second) = match self {
            Self::AsService if of_service == Some(Family::V6) => (Family::V6, Some(Family::V4)),
            Self::AsService | Self::PreferV4 => (Family::V4, Some(Family::V6)),
            Self::PreferV6 => (Family::V6, Some(Family::V4)),
            Self::V4Only => (Family::V4, None),
            Self::V6Only => (Family::V6, None),
        };
        FamilyOrder { first, second }
    }
}

/// Where this client stands, as far as reaching the Pods is concerned.
///
/// It decides how a Service is reached where nobody has asked for a [`Reach`](portolan_core::Reach):
///
/// | type | inside | outside |
/// |---|---|---|
/// | ClusterIP, headless or not | `Pods` | `Pods` |
/// | NodePort | `Pods` | `Nodes` |
/// | LoadBalancer | `Pods` | `LoadBalancer` |
/// | ExternalName | `ExternalName` | `ExternalName` |
///
/// Whoever gave a Service a type for clients outside has said by that how those are to come in. A ClusterIP
/// Service has no other way in, and in many networks Pods can be reached from outside the cluster, so they
/// are what is tried.
///
/// ```no_run
/// # async fn example() -> Result<(), portolan_kube::Error> {
/// use portolan_kube::{Cluster, Vantage};
///
/// // A laptop, whose VPN leads into the network of the Pods.
/// let cluster = Cluster::infer().await?.with_vantage(Vantage::Inside);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vantage {
    /// In the network of the Pods: this program is a Pod, or as good as one.
    #[default]
    Inside,
    /// Elsewhere.
    Outside,
}

/// Which addresses of the Nodes are used, for [`Reach::Nodes`](portolan_core::Reach::Nodes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeAddresses {
    /// `InternalIP`. Every Node has one, and who is in the same network, as most clients of node ports are,
    /// reaches it; so this is the default.
    #[default]
    Internal,
    /// `ExternalIP`, for clients beyond that network. A Node without one is no endpoint.
    External,
}

/// The longest time that can be set. Nobody waits longer for anything here, and moments are reckoned by adding to
/// the clock, which ends somewhere.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The timing of watches: how soon trouble is noticed, and how hard the API server is pressed.
///
/// The API server is shared by everything in the cluster, so the defaults ask little of it: while
/// nothing changes, a Service costs one request in 15 s and one in a minute.
///
/// No time can be longer than a day; what is longer counts as one.
///
/// ```
/// use portolan_kube::WatchOptions;
/// use std::time::Duration;
///
/// // Notice a dead watch within 5 s, for four times as many requests.
/// let options = WatchOptions::default().idle_timeout(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WatchOptions {
    pub(crate) idle_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) backoff_initial: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) rewatch_interval: Duration,
    pub(crate) concurrent_lists: NonZeroUsize,
    pub(crate) resync: Option<Duration>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(10),
            backoff_initial: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            rewatch_interval: Duration::from_secs(1),
            concurrent_lists: NonZeroUsize::MIN.saturating_add(15),
            resync: None,
        }
    }
}

impl WatchOptions {
    /// A watch that says nothing for this long is dead, and is opened anew where it stopped. Default:
    /// 20 s; at least 2 s.
    ///
    /// A healthy watch is never that silent, whatever the Service does: the API server is asked to
    /// end it after three quarters of this time (`timeoutSeconds`), and 2 s before it does so it
    /// sends a bookmark. That finds every kind of death (a connection that a NAT forgot, a server
    /// that hangs and still acknowledges packets, a proxy that keeps the client's side open), heals
    /// it by the very request that finds it, and keeps the resource version fresh, so that no relist
    /// follows. A request for some object would cost as much and prove less: over HTTP/1.1 it goes
    /// through another connection.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout.clamp(Duration::from_secs(2), LONGEST);
        self
    }

    /// How long the API server may take to begin an answer, and to go on with a list. Default: 10 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout.min(LONGEST);
        self
    }

    /// The delays between attempts that fail: they double from `initial` to `max`, each with a jitter
    /// of half of it, and begin anew after a success. Default: 250 ms to 30 s.
    ///
    /// It is also how soon a permission is noticed that was granted later: within `max`.
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff_initial = initial.clamp(Duration::from_millis(1), LONGEST);
        self.backoff_max = max.clamp(self.backoff_initial, LONGEST);
        self
    }

    /// The least time between two attempts to open the same watch, however politely the former one
    /// ended. Default: 1 s.
    ///
    /// A server (or a proxy before it) that ends each watch at once without an error would otherwise
    /// be asked again without pause, thousands of times a second.
    #[must_use]
    pub fn rewatch_interval(mut self, interval: Duration) -> Self {
        self.rewatch_interval = interval.min(LONGEST);
        self
    }

    /// Lists everything anew at least once in this time, however well the watch does. Default: never;
    /// at least 10 s.
    ///
    /// It finds out about an event that was lost, which otherwise shows only when its object changes
    /// again. A healthy API server loses none: it ends a watch that it cannot keep up with, and what
    /// follows a version is either sent in whole or refused (410 Gone). So it is off, and a steady
    /// hour has no list at all; client-go stopped listing in between for the same reason. It is for
    /// whoever has something before the API server that is not to be trusted.
    ///
    /// Each list comes at a random moment of the last quarter of this time, so that programs that
    /// were started together do not ask together. A server from Kubernetes 1.31 on answers from its
    /// cache. If the list fails, the watch goes on where it was.
    #[must_use]
    pub fn resync(mut self, interval: Duration) -> Self {
        self.resync = Some(interval.clamp(Duration::from_secs(10), LONGEST));
        self
    }

    /// How many lists may be asked for at once, by all watches of the cluster together. Default: 16.
    ///
    /// A list is what costs an API server most, and a program that follows 1,000 Services would ask for
    /// 2,000 at its start, and again after an outage (KEP-3157 tells of sixteen large ones that ended a server).
    /// Those that wait for their turn do not count as slow; one that waits for longer than
    /// [`request_timeout`](Self::request_timeout) says so, as [`Unavailable`], and goes on waiting.
    ///
    /// [`Unavailable`]: portolan_core::SourceErrorKind::Unavailable
    #[must_use]
    pub fn concurrent_lists(mut self, lists: NonZeroUsize) -> Self {
        self.concurrent_lists = lists;
        self
    }

    /// For how long the server is asked to keep a watch open, in the seconds of `timeoutSeconds`.
    pub(crate) fn watch_seconds(&self) -> u32 {
        u32::try_from((self.idle_timeout * 3 / 4).as_secs())
            .unwrap_or(u32::MAX)
            .max(1)
    }
}
