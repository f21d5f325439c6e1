//! The hold on one endpoint, for the length of one request.

use std::{net::SocketAddr, num::NonZeroU64, sync::Arc};

use portolan_core::{Endpoint, EndpointState, InFlight, LoadReport, Outcome, Time};

use tracing::{Span, field::display};

use crate::{admission::Permit, clock::Clock, seldom::Seldom};

/// One endpoint, chosen for one request.
///
/// For as long as the lease lives the request counts as in flight. What became of it is recorded by
/// [`succeed`](Self::succeed) and [`fail`](Self::fail); a lease that is dropped without either was
/// cancelled, which is held against the endpoint only if it took longer than it usually does.
///
/// ```no_run
/// # async fn example(balancer: portolan::Nodes) -> Result<(), Box<dyn std::error::Error>> {
/// let mut lease = balancer.pick(b"user:17").await?;
/// match tokio::net::TcpStream::connect(lease.address()).await {
///     Ok(connection) => {
///         // … talk any protocol …
///         # drop(connection);
///         lease.succeed();
///     }
///     Err(error) => {
///         lease.fail();
///         return Err(error.into());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the request counts as in flight only for as long as the lease lives"]
pub struct Lease {
    in_flight: InFlight,
    /// In nanoseconds; nothing where the request is not timed. (Nothing begins at zero, which is a day
    /// before the process did.)
    started: Option<NonZeroU64>,
    clock: Clock,
    phase: Phase,
    /// Nothing, for nearly every request.
    beside: Seldom<Beside>,
}

/// What goes with a lease where somebody wants it.
#[derive(Debug, Default)]
struct Beside {
    /// Where the outcome is written down.
    span: Option<Span>,
    /// The request's place among those that are let in.
    permit: Option<Permit>,
}

// As wide as its neighbours: a lease is moved right after it is made, and what was written in parts
// is slow to be read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Phase {
    /// Nothing has come back.
    Waiting,
    /// The response has begun, well.
    Answered,
    /// It is known to have failed, and whatever there was to record of that has been.
    Failed,
}

impl Lease {
    #[inline]
    pub(crate) fn new(in_flight: InFlight, started: Option<Time>, clock: Clock) -> Self {
        Self {
            in_flight,
            started: started.and_then(|started| NonZeroU64::new(started.as_nanos())),
            clock,
            phase: Phase::Waiting,
            beside: Seldom::default(),
        }
    }

    /// The endpoint that was chosen, as it was when first seen: its placement and address stay, but its
    /// conditions and, where one source knows them and another does not, its UID may be told otherwise since.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.in_flight.state().endpoint()
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.endpoint().address()
    }

    /// The name of the Pod, where the endpoint is one and that was known when it was first seen.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.endpoint().pod()
    }

    /// Records that the endpoint has answered, now, and well. The request stays in flight until the
    /// lease is dropped. The first word counts: after [`fail`](Self::fail) this does nothing.
    #[inline]
    pub fn succeed(&mut self) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Answered;
            self.record(Outcome::Success);
        }
    }

    /// Takes up what the endpoint has reported of its load, for policies that go by it. HTTP and gRPC clients
    /// [do so themselves](crate::orca), where that is wanted.
    pub fn report_load(&self, report: &LoadReport) {
        let state = self.in_flight.state();
        state.report_load(report, self.clock.now());
    }

    /// Has the outcome written down in a span.
    pub(crate) fn trace(&mut self, span: Span) {
        span.record("endpoint", display(self.endpoint().placement()));
        self.beside.get_or_insert_default().span = Some(span);
    }

    /// Has it not written down: this was one try of several.
    pub(crate) fn untrace(&mut self) {
        if let Some(beside) = &mut *self.beside {
            beside.span = None;
        }
    }

    /// Keeps the request's place among those that are let in, for as long as the lease lives.
    pub(crate) fn hold(&mut self, permit: Option<Permit>) {
        if permit.is_some() {
            self.beside.get_or_insert_default().permit = permit;
        }
    }

    /// Lets go without a word for or against the endpoint: what went wrong was not its fault.
    pub(crate) fn excuse(&mut self) {
        self.phase = Phase::Failed;
    }

    /// Records that the endpoint failed the request, even after a good beginning: it could not be reached, broke off, or
    /// was too long about it.
    pub fn fail(&mut self) {
        self.end_badly(Outcome::Failure);
    }

    /// Records that the endpoint could not be connected to.
    pub(crate) fn fail_to_reach(&mut self) {
        self.end_badly(Outcome::Unreachable);
    }

    /// Records that the endpoint has answered, and that the answer speaks against it: it cannot serve. Such answers are
    /// [counted apart](portolan_core::EndpointState::consecutive_error_responses).
    pub fn fail_by_response(&mut self) {
        self.end_badly(Outcome::ErrorResponse);
    }

    fn end_badly(&mut self, waiting: Outcome) {
        let outcome = match self.phase {
            Phase::Waiting => waiting,
            Phase::Answered => Outcome::Interrupted,
            Phase::Failed => return,
        };
        self.phase = Phase::Failed;
        self.record(outcome);
    }

    /// Whether it is on the endpoint of this state.
    pub(crate) fn is_of(&self, state: &Arc<EndpointState>) -> bool {
        Arc::ptr_eq(self.in_flight.state(), state)
    }

    /// The state of the endpoint, after what there was to record has been.
    pub(crate) fn into_state(self) -> Arc<EndpointState> {
        Arc::clone(self.in_flight.state())
    }

    fn record(&mut self, outcome: Outcome) {
        if let Some(beside) = &mut *self.beside {
            beside.note(outcome);
        }
        match self.started {
            Some(started) => {
                let started = Time::from_nanos(started.get());
                let now = self.clock.now();
                self.in_flight.record(outcome, now.since(started), now);
            }
            None => self.in_flight.record_untimed(outcome),
        }
    }
}

impl Beside {
    #[cold]
    fn note(&mut self, outcome: Outcome) {
        if let Some(span) = &self.span {
            write_down(span, outcome);
        }
        if let Some(permit) = &mut self.permit
            && outcome == Outcome::Success
        {
            permit.answered();
        }
    }
}

fn write_down(span: &Span, outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Success => "success",
        Outcome::Interrupted => "interrupted",
        Outcome::ErrorResponse => "error_response",
        Outcome::Unreachable => "unreachable",
        Outcome::Cancelled => "cancelled",
        _ => "failure",
    };
    span.record("outcome", outcome);
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        if self.phase == Phase::Waiting {
            self.record(Outcome::Cancelled);
        }
    }
}
