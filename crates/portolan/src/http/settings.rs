//! What of the connections to an endpoint can be set, and why it is as it is when it is not.

use std::time::Duration;

use crate::BuildError;

#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) version: Version,
    /// How many are dialled ahead of traffic.
    pub(crate) connections: usize,
    /// How many there may be. HTTP/1.1 only.
    pub(crate) max_connections: usize,
    /// How many there may be to all endpoints together.
    pub(crate) max_in_all: Option<usize>,
    pub(crate) connect_timeout: Duration,
    /// After how long without a request a connection is closed. HTTP/1.1 only.
    pub(crate) idle_timeout: Duration,
    /// How old a connection gets.
    pub(crate) max_age: Option<Duration>,
    /// In which time a new endpoint is connected to, before it gets requests.
    pub(crate) connect_ahead: Option<Duration>,
    /// How many dials that no request waits for may be under way, over all endpoints.
    pub(crate) dials_ahead: usize,
    /// How long an answer may take to begin.
    pub(crate) response_timeout: Option<Duration>,
    /// HTTP/2 only.
    pub(crate) keep_alive: Option<KeepAlive>,
}

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
    /// Whichever TLS agrees to; HTTP/1.1 without TLS.
    Negotiated,
}

/// HTTP/2 pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Whether a connection without any request is asked, too.
    pub(crate) while_idle: bool,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            version: Version::Negotiated,
            connections: 1,
            max_connections: 512,
            max_in_all: None,
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            max_age: None,
            connect_ahead: None,
            dials_ahead: 64,
            response_timeout: None,
            keep_alive: Some(KeepAlive {
                interval: Duration::from_secs(20),
                timeout: Duration::from_secs(10),
                while_idle: true,
            }),
        }
    }
}

/// A connection that lives for less is one that is lost at once.
const YOUNGEST: Duration = Duration::from_secs(1);

/// Nor has any process more than these, and the semaphore can count them.
const MOST_IN_ALL: usize = 1_000_000;

/// No process has more connections to spare.
const MOST_DIALS_AHEAD: usize = 65_536;

impl ConnectionSettings {
    /// How old one connection gets: another one is older, or not as old, by up to a tenth.
    pub(crate) fn life(&self) -> Option<Duration> {
        let age = self.max_age?;
        let part = 0.9 + 0.2 * fastrand::f64();
        Some(Duration::try_from_secs_f64(age.as_secs_f64() * part).unwrap_or(age))
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let refuse = |setting, value: &dyn std::fmt::Debug, expected| {
            Err(BuildError::Setting {
                setting,
                value: format!("{value:?}"),
                expected,
            })
        };
        if self.connections == 0 {
            return refuse("connections_per_endpoint", &0, "expected at least 1");
        }
        if self.max_connections < self.connections {
            return refuse(
                "max_connections_per_endpoint",
                &self.max_connections,
                "expected at least as many as connections_per_endpoint",
            );
        }
        if self
            .max_in_all
            .is_some_and(|max| !(1..=MOST_IN_ALL).contains(&max))
        {
            return refuse(
                "max_connections",
                &self.max_in_all.unwrap_or_default(),
                "expected 1 to a million",
            );
        }
        if self.connect_timeout.is_zero() {
            return refuse(
                "connect_timeout",
                &self.connect_timeout,
                "expected more than zero",
            );
        }
        if self.idle_timeout.is_zero() {
            return refuse(
                "idle_timeout",
                &self.idle_timeout,
                "expected more than zero",
            );
        }
        if let Some(age) = self.max_age.filter(|age| *age < YOUNGEST) {
            return refuse(
                "max_connection_age",
                &age,
                "expected at least 1 s, or connections are made for nothing",
            );
        }
        if self.dials_ahead == 0 || self.dials_ahead > MOST_DIALS_AHEAD {
            return refuse("dials_ahead", &self.dials_ahead, "expected 1 to 65536");
        }
        if self.response_timeout.is_some_and(|limit| limit.is_zero()) {
            return refuse(
                "response_timeout",
                &Duration::ZERO,
                "expected more than zero",
            );
        }
        match self.keep_alive {
            Some(pings) if pings.interval.is_zero() || pings.timeout.is_zero() => {
                refuse("keep_alive", &pings, "expected more than zero")
            }
            _ => Ok(()),
        }
    }
}
