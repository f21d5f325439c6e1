//! What backends report of their load, by ORCA: in headers, trailers, and streams of their own.
//!
//! A client sees the requests that it sends itself; a backend sees all of them, and what they cost it. Policies that go by
//! what backends say ([`BackendWeighted`](crate::policy::BackendWeighted), [`Prequal`](crate::policy::Prequal)) need that
//! it is read:
//!
//! ```
//! use portolan::{Cluster, orca::LoadReports, policy::BackendWeighted, source::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! let orders = cluster
//!     .service("orders.shop:http")?
//!     .policy(BackendWeighted::new())
//!     .http()
//!     .load_reports(LoadReports::new())
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where it is read
//! The report is an `xds.data.orca.v3.OrcaLoadReport`, in whichever of these forms a response has:
//!
//! | header, or trailer of gRPC | value |
//! |---|---|
//! | `endpoint-load-metrics` | `TEXT cpu_utilization=0.3,rps_fractional=120,named_metrics.queue=4` |
//! | `endpoint-load-metrics` | `JSON {"cpu_utilization": 0.3, "rps_fractional": 120, "named_metrics": {"queue": 4}}` |
//! | `endpoint-load-metrics` | `BIN `, and the message in base64 |
//! | `endpoint-load-metrics-bin` | the message in base64, as [gRFC A51] has it in trailers |
//!
//! gRPC servers may also be asked for a [stream](LoadReports::out_of_band) of reports. What is read of one is
//! `application_utilization`, `cpu_utilization`, `rps_fractional`, `eps`, and the named metrics that
//! [are asked for](LoadReports::requests_in_flight_named). Headers stay in the response.
//!
//! # Garbage
//! A report that cannot be read, of which a number cannot be (a utilization that is negative, or no number), or that is longer
//! than 4 KiB counts for nothing: it is [counted](LoadReports::refused), told to `metrics`, and logged the first time. The
//! response is as good as without it.
//!
//! Where reports are not asked for, no header is looked at.
//!
//! [gRFC A51]: https://github.com/grpc/proposal/blob/master/A51-custom-backend-metrics.md

mod format;
#[cfg(feature = "grpc")]
mod out_of_band;
mod reader;

use std::{sync::Arc, time::Duration};

use crate::BuildError;
#[cfg(feature = "grpc")]
pub(crate) use out_of_band::listener;
pub(crate) use reader::Reader;

/// That reports of load are read, and what of them: see the [module](self). Cloning shares the count of those that
/// were [refused](Self::refused).
///
/// It is given to [`HttpBuilder::load_reports`](crate::http::HttpBuilder::load_reports), or that of gRPC or reqwest.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is read until a client is given it"]
pub struct LoadReports {
    names: Names,
    #[cfg_attr(
        not(feature = "grpc"),
        allow(dead_code, reason = "only gRPC has such a stream")
    )]
    out_of_band: Option<Duration>,
    refused: reader::Refused,
}

/// Which named metrics mean something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    requests_in_flight: Option<Arc<str>>,
    latency: Option<Arc<str>>,
}

impl LoadReports {
    /// Those that come with responses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which named metric (`named_metrics` of a report) is how many requests the backend has in hand, of all its
    /// clients. Default: none, as ORCA has no field for it. [`Prequal`](crate::policy::Prequal) goes by it.
    ///
    /// ```
    /// use portolan::orca::LoadReports;
    ///
    /// // endpoint-load-metrics: TEXT named_metrics.in_flight=17,named_metrics.latency_seconds=0.003
    /// let reports = LoadReports::new()
    ///     .requests_in_flight_named("in_flight")
    ///     .latency_named("latency_seconds");
    /// ```
    pub fn requests_in_flight_named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.names.requests_in_flight = Some(name.into());
        self
    }

    /// Which named metric is how long a request takes the backend, in seconds. Default: none.
    pub fn latency_named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.names.latency = Some(name.into());
        self
    }

    /// Asks each endpoint for a stream of reports besides, one in each such interval
    /// (`xds.service.orca.v3.OpenRcaService`, gRFC A51), on the connections that calls go on. It is for calls that are long, or
    /// few. gRPC only; gRFC A58 takes 10 s. A stream that breaks off is opened again, as gRPC's clients do: after 1 s,
    /// then 1.6 times as long each time, up to two minutes, give or take a fifth. A server that does not know the service is
    /// asked once in its life, which is logged once. Default: there is no such stream.
    pub fn out_of_band(mut self, interval: Duration) -> Self {
        self.out_of_band = Some(interval);
        self
    }

    /// How many reports have been refused, by all clients that were given it.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.count()
    }

    /// Whether it makes sense for a client that does, or does not, speak gRPC.
    pub(crate) fn check(&self, is_grpc: bool) -> Result<(), BuildError> {
        let refuse = |expected| {
            Err(BuildError::Setting {
                setting: "load_reports.out_of_band",
                value: format!("{:?}", self.out_of_band.unwrap_or_default()),
                expected,
            })
        };
        match self.out_of_band {
            Some(interval) if interval.is_zero() => refuse("expected more than zero"),
            Some(_) if !is_grpc => refuse("expected of gRPC clients only: HTTP has no such stream"),
            _ => Ok(()),
        }
    }
}
