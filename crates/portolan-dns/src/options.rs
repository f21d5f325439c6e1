//! What of [`Dns`](crate::Dns) can be set.

use std::time::Duration;

/// Which addresses are used, where a name has both IPv4 and IPv6.
///
/// Where a Pod has a stable name, or a name leads to a single address of each family, the address of
/// the preferred family is [`address`](portolan_core::Endpoint::address) and the other one the
/// [`alternate`](portolan_core::Endpoint::alternate). Elsewhere nothing tells which two addresses
/// belong together, and to use both families would count each Pod twice: only the preferred one
/// counts, and the other one where there is none of that.
///
/// Each family that is wanted is asked for, and where one of them cannot be, that is a failure of the
/// whole. If a server only ever fails for AAAA records, choose [`V4Only`](Self::V4Only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpFamilies {
    /// IPv4 where there is one, else IPv6. The default, as it is what nearly every cluster routes.
    #[default]
    PreferV4,
    /// IPv6 where there is one, else IPv4.
    PreferV6,
    /// IPv4 only: no AAAA record is asked for.
    V4Only,
    /// IPv6 only: no A record is asked for.
    V6Only,
}

impl IpFamilies {
    pub(crate) fn wants_v4(self) -> bool {
        self != Self::V6Only
    }

    pub(crate) fn wants_v6(self) -> bool {
        self != Self::V4Only
    }

    pub(crate) fn prefers_v6(self) -> bool {
        matches!(self, Self::PreferV6 | Self::V6Only)
    }
}

/// How often DNS is asked, and for how long an answer is waited for.
///
/// Every time that is set is held between 10 ms and a day.
///
/// ```
/// use portolan_dns::DnsOptions;
/// use std::time::Duration;
///
/// // Never look more than every 5 s, and never less than every 10 s.
/// let options = DnsOptions::default()
///     .refresh_between(Duration::from_secs(5), Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DnsOptions {
    pub(crate) floor: Duration,
    pub(crate) cap: Duration,
    pub(crate) jitter: f64,
    pub(crate) backoff_initial: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) deadline: Duration,
    pub(crate) query_timeout: Duration,
    pub(crate) suspect_interval: Duration,
    pub(crate) max_records: usize,
}

/// Below this a floor is no floor: it is there so that a TTL of 0 is no endless loop.
const LEAST: Duration = Duration::from_millis(10);
/// Longer is for ever, and some times cannot be added up.
const MOST: Duration = Duration::from_secs(86_400);

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            jitter: 0.2,
            backoff_initial: Duration::from_millis(250),
            backoff_max: Duration::from_secs(10),
            deadline: Duration::from_secs(10),
            query_timeout: Duration::from_secs(2),
            suspect_interval: Duration::from_secs(1),
            max_records: 65_536,
        }
    }
}

impl DnsOptions {
    /// The answer is asked for again when it expires, but never sooner than after `floor` nor later
    /// than after `cap`. Default: 1 s to 30 s.
    ///
    /// CoreDNS gives its records 5 s unless told otherwise. The floor is for a TTL of 0, which would
    /// have DNS asked without pause; the cap, for one of hours, which would hide that Pods come and
    /// go. That there is no such Service holds as long as its own TTL says, within the same bounds. The
    /// cap is at least the floor.
    #[must_use]
    pub fn refresh_between(mut self, floor: Duration, cap: Duration) -> Self {
        self.floor = floor.clamp(LEAST, MOST);
        self.cap = cap.clamp(self.floor, MOST);
        self
    }

    /// Each refresh is late by chance, by up to this share of the wait. Default: 0.2; at most 1.
    ///
    /// The clients of one caching server see its record expire at the same moment, and would all
    /// come back at once. Late rather than early, because before that moment the cache would only
    /// give the old answer again.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self
    }

    /// The delays between attempts that fail: they double from `initial` to `max`, half of each by
    /// chance, and begin anew after a success. Default: 250 ms to 10 s.
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff_initial = initial.clamp(LEAST, MOST);
        self.backoff_max = max.clamp(self.backoff_initial, MOST);
        self
    }

    /// How long one resolution may take with all its queries, of which SRV records without addresses
    /// need one or two for each Pod. Default: 10 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.clamp(LEAST, MOST);
        self
    }

    /// How long one server may take for one query before the next one is asked: half of it by UDP,
    /// packets that were lost and sent again included, and half by TCP where that is needed. Default:
    /// 2 s: cluster DNS answers in milliseconds.
    #[must_use]
    pub fn query_timeout(mut self, timeout: Duration) -> Self {
        self.query_timeout = timeout.clamp(LEAST, MOST);
        self
    }

    /// How soon after a look the next one may come, when connections to endpoints fail. Default: 1 s.
    ///
    /// A connection that fails is often the first sign that a Pod is gone, so the Service is looked
    /// up at once rather than when the answer expires. While DNS itself fails the
    /// [`backoff`](Self::backoff) holds.
    #[must_use]
    pub fn suspect_interval(mut self, interval: Duration) -> Self {
        self.suspect_interval = interval.clamp(LEAST, MOST);
        self
    }

    /// How many records one resolution may take in, the addresses of SRV targets included. With more
    /// it is a failure. Default: 65,536, more than a Service can have Pods.
    #[must_use]
    pub fn max_records(mut self, max: usize) -> Self {
        self.max_records = max;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_put_right() {
        let options = DnsOptions::default()
            .refresh_between(Duration::ZERO, Duration::ZERO)
            .jitter(f64::NAN)
            .backoff(Duration::ZERO, Duration::ZERO)
            .suspect_interval(Duration::ZERO);
        assert_eq!((options.floor, options.cap), (LEAST, LEAST));
        assert!(options.jitter.abs() < f64::EPSILON);
        assert_eq!(
            (options.backoff_initial, options.backoff_max),
            (LEAST, LEAST)
        );
        assert_eq!(options.suspect_interval, LEAST);
        assert!((DnsOptions::default().jitter(7.0).jitter - 1.0).abs() < f64::EPSILON);
        let options = DnsOptions::default()
            .refresh_between(Duration::MAX, Duration::MAX)
            .backoff(Duration::MAX, Duration::MAX)
            .suspect_interval(Duration::MAX);
        assert_eq!((options.floor, options.cap), (MOST, MOST));
        assert_eq!((options.backoff_initial, options.backoff_max), (MOST, MOST));
        assert_eq!(options.suspect_interval, MOST);
    }
}
