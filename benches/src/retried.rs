//! A protocol in which every request may be retried.

use portolan::{BoxError, Failure, Lease, Protocol, Refusal};
use tower::Service;

/// As [`Opaque`](portolan::Opaque), but each request is idempotent, and each answer is looked at for whether it is
/// one to be retried.
#[derive(Clone, Copy, Debug)]
pub struct Retried;

impl<S> Protocol<(), S> for Retried
where
    S: Service<(), Response = ()>,
    S::Error: Into<BoxError>,
{
    type Response = ();

    fn is_idempotent(&self, (): &()) -> bool {
        true
    }

    fn refusal(&self, answer: &()) -> Option<Refusal> {
        std::hint::black_box(answer);
        None
    }

    fn again(&self, (): &mut ()) -> Option<()> {
        Some(())
    }

    fn respond(&self, (): (), mut lease: Lease) {
        lease.succeed();
    }

    fn fail(&self, error: S::Error) -> Failure<()> {
        Failure::new(error).with_request(())
    }
}
