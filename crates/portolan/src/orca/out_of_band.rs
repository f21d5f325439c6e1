//! Streams of reports, apart from calls (gRFC A51, "Out-of-band").

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portolan_core::EndpointState;
use tokio::time::{Instant, sleep, timeout_at};

use super::{LoadReports, Reader};
use crate::{
    backoff::{Backoff, BackoffSettings},
    clock::Clock,
    driver::Companion,
    grpc::{Call, CallError},
    http::endpoint::HttpEndpoint,
    protobuf,
};

const METHOD: &str = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics";

/// gRPC's own: there is nothing urgent in it.
const BACKOFF: BackoffSettings = BackoffSettings {
    first: Duration::from_secs(1),
    factor: 1.6,
    jitter: 0.2,
    max: Duration::from_secs(120),
};

/// The first stream of an endpoint is opened within this time, so that clients that see it come do not ask it in step.
const FIRST: Duration = Duration::from_secs(1);

/// Makes what listens to an endpoint, where that is wanted.
pub(crate) fn listener(reports: &LoadReports, reader: &Reader) -> Option<Companion<HttpEndpoint>> {
    let request: Arc<[u8]> = request(reports.out_of_band?).into();
    let reader = reader.clone();
    let has_complained = Arc::new(AtomicBool::new(false));
    Some(Box::new(move |state, service: &HttpEndpoint| {
        let listening = Listening {
            reader: reader.clone(),
            request: Arc::clone(&request),
            has_complained: Arc::clone(&has_complained),
            state: Arc::clone(state),
            service: service.clone(),
        };
        tokio::spawn(listening.run()).abort_handle()
    }))
}

struct Listening {
    reader: Reader,
    request: Arc<[u8]>,
    has_complained: Arc<AtomicBool>,
    state: Arc<EndpointState>,
    service: HttpEndpoint,
}

impl Listening {
    async fn run(self) {
        let mut backoff = Backoff::new(BACKOFF);
        sleep(FIRST.mul_f64(fastrand::f64())).await;
        loop {
            let ended = self.listen(&mut backoff).await;
            let endpoint = self.state.endpoint().placement();
            match ended {
                Err(CallError::Unimplemented(_)) => {
                    self.complain();
                    return;
                }
                Err(error) => {
                    tracing::debug!(%endpoint, %error, "a stream of load reports broke off")
                }
                Ok(()) => tracing::debug!(%endpoint, "a stream of load reports ended"),
            }
            sleep(backoff.next()).await;
        }
    }

    async fn listen(&self, backoff: &mut Backoff) -> Result<(), CallError> {
        let until = self
            .service
            .longest_stream()
            .map(|life| Instant::now() + life);
        let mut call = Call::start(self.service.clone(), METHOD, &self.request).await?;
        loop {
            let next = call.next(METHOD);
            let message = match until {
                None => next.await?,
                // A connection that is to end is not held on to.
                Some(until) => timeout_at(until, next).await.unwrap_or(Ok(None))?,
            };
            let Some(message) = message else {
                return Ok(());
            };
            backoff.reset();
            if let Some(report) = self.reader.read_message(&message) {
                self.state.report_load(&report, Clock::start().now());
            }
        }
    }

    fn complain(&self) {
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                service = %self.reader.service(), endpoint = %self.state.endpoint().placement(),
                "the endpoint knows no OpenRcaService, and is not asked for load reports any more; nor is any other that does not"
            );
        }
    }
}

/// `OrcaLoadReportRequest`, of which `report_interval` is the first field, a `google.protobuf.Duration`.
fn request(interval: Duration) -> Vec<u8> {
    let mut duration = Vec::new();
    protobuf::put_number(&mut duration, 1, interval.as_secs());
    protobuf::put_number(&mut duration, 2, u64::from(interval.subsec_nanos()));
    let mut request = Vec::new();
    protobuf::put_bytes(&mut request, 1, &duration);
    request
}
