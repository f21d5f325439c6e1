//! How an endpoint does, as far as it says or the client sees.
//!
//! A queue that was long is so no more when what was in it has been answered. The paper has probes for that, a few for
//! each request; reports come with answers, and most are older than the queue that they tell of. Going by them as they
//! are sends all clients after the same old news (simulated at 0.9 of capacity, with reports of 100 ms and requests of
//! 10 ms: a p99 of 106 ms, where least request has 92). So what an endpoint said of the requests that it had from *others*
//! counts the less the older it is, and the rest is what is usual in the fleet: the best guess of a number that wanders
//! about its mean. What this client has sent itself is known at any time, and is added. (That makes 79 ms.) Where all
//! reports are old, the client's own requests in flight are left, and where some endpoints report and others do not, they
//! can be compared.

use std::time::Duration;

use super::threshold::Usual;
use crate::{EndpointState, ReportedQueue, Time, time::saturating_nanos};

/// After so many failures in a row an endpoint comes last.
const FAILING: u32 = 3;
/// What failures count for has faded when it is down to this part of it.
const FADED: f32 = 0.1;
/// After so many times as long as a request takes, half of what was said still counts. From 0.1 to 1 the simulated tails
/// are nearly the same.
const HALVES_IN: f32 = 0.5;
/// What an endpoint of which nothing is known, and which has a request already, is taken to need: more than any.
const UNKNOWN_NANOS: f32 = 1e12;

/// How an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// How many requests it has in hand that are known of: this client's own, and what still counts of a report.
    known: f32,
    /// How much of what is usual comes on top, from 0 to 1: all, where it has reported nothing of late.
    unknown: f32,
    /// How many of others' it had when it said so last, where it did of late.
    pub(super) of_others: Option<f32>,
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
    /// That of an endpoint now, where reports count for so long.
    pub(super) fn of(state: &EndpointState, now: Time, max_age: Duration) -> Self {
        let told = told(state, now, max_age);
        let own = state.in_flight() as f32;
        let measured = state.expected_latency(now);
        let own_nanos = || match measured {
            Some(expected) if expected.answered => expected.nanos,
            in_vain => in_vain.map_or(0.0, |waited| waited.nanos) + UNKNOWN_NANOS * own,
        };
        let failing = state.consecutive_failures() >= FAILING && {
            let counts_for = saturating_nanos(state.failure_latency()) as f32;
            measured.is_some_and(|expected| expected.nanos > counts_for * FADED)
        };
        let told_nanos = told.and_then(|told| told.latency);
        let nanos = match told_nanos {
            Some(latency) if !failing => saturating_nanos(latency) as f32,
            _ => own_nanos(),
        };
        let of_others = told.and_then(|told| {
            let all = told.requests_in_flight?;
            Some(all.saturating_sub(told.own_in_flight) as f32)
        });
        let age = told.map_or(0.0, |told| saturating_nanos(now.since(told.at)) as f32);
        let counts = of_others.map_or(0.0, |_| {
            let half = (nanos * HALVES_IN).max(1.0);
            half / (half + age)
        });
        Self {
            known: own + counts * of_others.unwrap_or_default(),
            unknown: 1.0 - counts,
            of_others,
            nanos,
            failing,
        }
    }

    /// How many requests it has in hand, at a guess, where so many of others are usual.
    pub(super) fn requests(self, usual: f32) -> f32 {
        self.known + self.unknown * usual
    }

    /// Where it stands, by what is usual.
    pub(super) fn rank(self, usual: Usual) -> Rank {
        let requests = self.requests(usual.of_others);
        // None of the numbers is negative, and the bits of positive floats are in their order.
        let (in_order, nanos) = (requests.to_bits(), self.nanos.to_bits());
        if self.failing {
            Rank::Failing(nanos)
        } else if requests <= usual.most_cold {
            Rank::Cold(nanos, in_order)
        } else {
            Rank::Hot(in_order, nanos)
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
