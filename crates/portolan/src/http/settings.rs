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
    pub(crate) connect_timeout: Duration,
    /// After how long without a request a connection is closed. HTTP/1.1 only.
    pub(crate) idle_timeout: Duration,
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
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            response_timeout: None,
            keep_alive: Some(KeepAlive {
                interval: Duration::from_secs(20),
                timeout: Duration::from_secs(10),
                while_idle: true,
            }),
        }
    }
}

impl ConnectionSettings {
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
