//! The guard that counts a request as in flight.

use std::{fmt, sync::Arc, time::Duration};

use super::{EndpointState, Outcome};
use crate::Time;

/// One request in flight to one endpoint, from the pick until the response is over.
///
/// It ends when it is dropped: at the end of the response *body*, not its head, or wherever the
/// caller lets go of the request. So the count can neither leak nor end early.
///
/// ```
/// use portolan_core::{Endpoint, EndpointState, InFlight, Measurement, Outcome, Placement, Time};
/// use std::{sync::Arc, time::Duration};
///
/// let endpoint = Endpoint::new(Placement::new("db-0"), "10.0.0.1:80".parse().unwrap());
/// let state = Arc::new(EndpointState::new(Arc::new(endpoint), Measurement::default()));
/// let request = InFlight::begin(Arc::clone(&state));
/// assert_eq!(state.in_flight(), 1);
/// request.record(Outcome::Success, Duration::from_millis(3), Time::ORIGIN);
/// assert_eq!(state.in_flight(), 1); // the body is still coming
/// drop(request);
/// assert_eq!(state.in_flight(), 0);
/// ```
#[must_use = "the request counts as in flight only for as long as this lives"]
pub struct InFlight(Arc<EndpointState>);

impl InFlight {
    /// Counts a request.
    pub fn begin(state: Arc<EndpointState>) -> Self {
        state.begin(u32::MAX);
        Self(state)
    }

    /// Counts a request, unless `limit` are in flight to the endpoint already.
    #[must_use]
    pub fn try_begin(state: &Arc<EndpointState>, limit: u32) -> Option<Self> {
        state.begin(limit).then(|| Self(Arc::clone(state)))
    }

    /// Records what became of the request; it stays in flight until this is dropped.
    pub fn record(&self, outcome: Outcome, took: Duration, now: Time) {
        self.0.record(outcome, took, now);
    }

    /// Records what became of a request that was not timed; it stays in flight until this is dropped.
    pub fn record_untimed(&self, outcome: Outcome) {
        self.0.record_untimed(outcome);
    }

    /// The state of the endpoint that serves the request.
    #[must_use]
    pub fn state(&self) -> &Arc<EndpointState> {
        &self.0
    }
}

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        self.0.end();
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InFlight")
            .field(&self.0.in_flight())
            .finish()
    }
}
