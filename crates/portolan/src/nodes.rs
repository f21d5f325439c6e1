//! Choosing an endpoint for anything that is not a request of a known protocol.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use tracing::{field, level_filters::LevelFilter};

use crate::{
    Balance, Drained, Endpoint, Error, ErrorKind, Explanation, Lease, Observer, Opaque, Routing,
    balance::{Journey, Step},
    builder::Checked,
};

/// The live endpoints of a Service, to choose from.
///
/// Talk any protocol to the one that is chosen, and say how it went: see [`Lease`].
///
/// Cloning is for handing it to another task; clones share everything.
#[derive(Clone, Debug)]
pub struct Nodes {
    balance: Balance<(), Opaque>,
}

impl Nodes {
    pub(crate) fn new(checked: Checked) -> Self {
        let nothing = |_: &Endpoint| ();
        Self {
            balance: checked.start(nothing, Opaque),
        }
    }

    /// Chooses an endpoint for `key`: what the caller is about to do is about this key, and a policy
    /// that keys on it sends the same key to the same place. Policies that do not, ignore it.
    ///
    /// # Errors
    /// Where there is no endpoint for as long as the balancer waits for one.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready chooses nothing.
    pub async fn pick(&self, key: impl AsRef<[u8]>) -> Result<Lease, Error> {
        self.pick_for(Routing::key(key.as_ref())).await
    }

    /// Chooses an endpoint by whatever is to decide: a key, an intent, a pin, several of them or none.
    ///
    /// ```
    /// # use portolan::{Error, Lease, Nodes, Routing};
    /// # async fn example(nodes: Nodes) -> Result<(), Error> {
    /// let primary: Lease = nodes.pick_for(Routing::key("user:17").write()).await?;
    /// let third: Lease = nodes.pick_for(Routing::pinned_to("db-2")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where there is no endpoint for as long as the balancer waits for one.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready chooses nothing.
    pub async fn pick_for(&self, routing: Routing<'_>) -> Result<Lease, Error> {
        let published = self.balance.published();
        let mut permit = None;
        if let Some(gate) = &published.gate {
            let mut entrance = gate.enter(Some(&published.runtime));
            permit = poll_fn(|cx| match entrance.is_queue() && published.is_closed() {
                true => Poll::Ready(Err(ErrorKind::Closed)),
                false => entrance.poll(cx).map_err(ErrorKind::Shed),
            })
            .await
            .map_err(|kind| Journey::<()>::default().error(published, kind))?;
        }
        let mut journey = Journey::<()>::default();
        let mut lease = None;
        loop {
            if let Some(mut lease) = lease {
                self.trace(&mut lease);
                lease.hold(permit);
                return Ok(lease);
            }
            match journey.next(published, routing.as_seen(), &mut lease)? {
                Step::Go((), _) => {}
                Step::Wait(generation, deadline) => {
                    let how = Arc::clone(published).wait(generation, deadline).await;
                    journey.after(published, routing.as_seen(), how)?;
                }
            }
        }
    }

    /// A span for as long as the lease, with its endpoint and outcome, where anybody wants one.
    fn trace(&self, lease: &mut Lease) {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return;
        }
        let span = tracing::debug_span!(
            "lease",
            service = %self.balance.published().service,
            endpoint = field::Empty,
            outcome = field::Empty,
        );
        if !span.is_disabled() {
            lease.trace(span);
        }
    }

    /// Why [`pick_for`](Self::pick_for) would choose whom it would choose now. Nobody is chosen, or asked.
    #[must_use]
    pub fn explain(&self, routing: &Routing<'_>) -> Explanation {
        self.balance.explain(routing)
    }

    /// Ends the balancer and all of its clones: new picks are refused, leases that are held are waited for,
    /// no longer than `within`. See [`Balance::shutdown`].
    ///
    /// # Cancel safety
    /// As there.
    pub async fn shutdown(&self, within: Duration) -> Drained {
        self.balance.shutdown(within).await
    }

    /// Looks at the balancer from outside.
    #[must_use]
    pub fn observe(&self) -> Observer {
        self.balance.observe()
    }

    /// Gives a lease back because its endpoint could not be connected to. The endpoint is left out
    /// of the choice until it can be.
    pub fn unreachable(&self, mut lease: Lease) {
        lease.fail_to_reach();
        self.balance
            .published()
            .report_unreachable(&lease.into_state());
    }
}
