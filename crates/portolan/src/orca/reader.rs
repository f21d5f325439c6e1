//! Reading what comes with responses, and counting what cannot be read.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName};
use portolan_core::{LoadReport, ServiceRef};

use super::{
    LoadReports, Names,
    format::{self, Garbage},
};

const TEXT: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

/// Reads the reports of one client's endpoints. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Reader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Names,
    service: ServiceRef,
    refused: Refused,
}

/// How many reports were refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused(Arc<AtomicU64>);

impl Refused {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Reader {
    pub(crate) fn new(reports: &LoadReports, service: &ServiceRef) -> Self {
        Self(Arc::new(Inner {
            names: reports.names.clone(),
            service: service.clone(),
            refused: reports.refused.clone(),
        }))
    }

    /// The report that is in these headers, or trailers, if there is one that can be read.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<LoadReport> {
        let names = &self.0.names;
        let report = match headers.get(TEXT) {
            Some(value) => format::of_header(value.as_bytes(), names),
            None => format::of_binary_header(headers.get(BINARY)?.as_bytes(), names),
        };
        self.taken(report)
    }

    /// The report that this message is.
    #[cfg(feature = "grpc")]
    pub(super) fn read_message(&self, message: &[u8]) -> Option<LoadReport> {
        self.taken(format::of_message(message, &self.0.names))
    }

    fn taken(&self, report: Result<LoadReport, Garbage>) -> Option<LoadReport> {
        report.map_err(|garbage| self.refuse(&garbage)).ok()
    }

    #[cold]
    fn refuse(&self, garbage: &Garbage) {
        let before = self.0.refused.0.fetch_add(1, Ordering::Relaxed);
        let service = &self.0.service;
        match before {
            0 => tracing::warn!(%service, %garbage, "an endpoint's report of its load is refused"),
            _ => tracing::debug!(%service, %garbage, "an endpoint's report of its load is refused"),
        }
        #[cfg(feature = "metrics")]
        {
            use crate::metrics as names;

            let (service, kind) = (service.to_string(), garbage.kind());
            metrics::counter!(names::LOAD_REPORTS_REFUSED, names::SERVICE => service, names::ERROR_TYPE => kind)
                .increment(1);
        }
    }

    #[cfg(feature = "grpc")]
    pub(super) fn service(&self) -> &ServiceRef {
        &self.0.service
    }
}
