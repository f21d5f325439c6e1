//! How an endpoint does, as far as it says or the client sees.

use std::time::Duration;

use crate::{EndpointState, ReportedQueue, Time, time::saturating_nanos};

/// After so many failures in a row an endpoint comes last.
const FAILING: u32 = 3;
/// What failures count for has faded when it is down to this part of it.
const FADED: f32 = 0.1;
/// What an endpoint of which nothing is known, and which has a request already, is taken to need: more than any.
const UNKNOWN_NANOS: f32 = 1e12;

/// How an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// In hand.
    pub(super) requests: u32,
    nanos: f32,
    failing: bool,
}

/// The lesser is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// By latency, then by requests in hand.
    Cold(u32, u32),
    /// By requests in hand, then by latency.
    Hot(u32, u32),
    /// By what its failures count for, which fades.
    Failing(u32),
}

impl Load {
    pub(super) fn of(state: &EndpointState, now: Time, max_age: Duration) -> Self {
        let told = told(state, now, max_age);
        let own = state.in_flight();
        let requests = told.and_then(|told| {
            let since = own.saturating_sub(told.own_in_flight);
            let gone = told.own_in_flight.saturating_sub(own);
            Some(
                told.requests_in_flight?
                    .saturating_add(since)
                    .saturating_sub(gone),
            )
        });
        let measured = state.expected_latency(now);
        let own_nanos = || match measured {
            Some(expected) if expected.answered => expected.nanos,
            in_vain => in_vain.map_or(0.0, |waited| waited.nanos) + UNKNOWN_NANOS * own as f32,
        };
        let told_nanos = told.and_then(|told| told.latency);
        let failing = state.consecutive_failures() >= FAILING && {
            let counts_for = saturating_nanos(state.failure_latency()) as f32;
            measured.is_some_and(|expected| expected.nanos > counts_for * FADED)
        };
        Self {
            // What a client has sent itself is there, whatever the endpoint said.
            requests: requests.map_or(own, |requests| requests.max(own)),
            nanos: match told_nanos {
                Some(latency) if !failing => saturating_nanos(latency) as f32,
                _ => own_nanos(),
            },
            failing,
        }
    }

    /// Where it stands, if whoever has fewer in hand than that is cold.
    pub(super) fn rank(self, cold_below: u64) -> Rank {
        // No latency is negative, and the bits of positive floats are in their order.
        let nanos = self.nanos.to_bits();
        if self.failing {
            Rank::Failing(nanos)
        } else if u64::from(self.requests) < cold_below {
            Rank::Cold(nanos, self.requests)
        } else {
            Rank::Hot(self.requests, nanos)
        }
    }
}

fn told(state: &EndpointState, now: Time, max_age: Duration) -> Option<ReportedQueue> {
    state
        .reported_queue()
        .filter(|told| now.since(told.at) <= max_age)
}

/// Whether it has said anything of late.
pub(super) fn is_told(state: &EndpointState, now: Time, max_age: Duration) -> bool {
    told(state, now, max_age).is_some()
}
