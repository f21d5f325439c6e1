//! A client: the real policy over the real state, told of each request as a balancer tells them.

use std::sync::Arc;

use portolan_core::{
    Candidates, EndpointSet, InFlight, Measurement, Membership, PickContext, Picker, Policy, Time,
    Verdict, reconcile,
};

/// One process that sends requests to the Service.
#[derive(Debug)]
pub struct Client {
    policy: Arc<dyn Policy>,
    membership: Membership,
    picker: Arc<dyn Picker>,
}

impl Client {
    /// One that knows these endpoints.
    #[must_use]
    pub fn start(policy: Arc<dyn Policy>, endpoints: &EndpointSet, seed: u64) -> Self {
        let nobody = Candidates::new([], seed);
        let mut this = Self {
            picker: policy.build(&nobody),
            policy,
            membership: Membership::default(),
        };
        this.take_up(endpoints, seed);
        this
    }

    /// There are other endpoints: what stays keeps what is known of it.
    pub fn take_up(&mut self, endpoints: &EndpointSet, seed: u64) {
        let (membership, _) = reconcile(&self.membership, endpoints, Measurement::default());
        let candidates = Candidates::new(membership.members(), seed);
        self.picker = self.policy.build(&candidates);
        self.membership = membership;
    }

    /// Chooses a Pod, by its place in the order of names, and counts a request as in flight to it.
    #[must_use]
    pub fn send(&self, now: Time, entropy: u64) -> Option<(usize, InFlight)> {
        let Verdict::Use(index) = self.picker.pick(&PickContext::new(now, entropy)) else {
            return None;
        };
        let one = self.membership.members().get(index.position())?;
        Some((index.position(), InFlight::begin(Arc::clone(&one.state))))
    }
}
