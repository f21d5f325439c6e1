//! Each policy in each scenario, under the same requests.

use std::{fmt, sync::Arc};

use portolan_core::{
    Policy,
    policy::{BackendWeighted, LeastRequest, PeakEwma, Prequal, RoundRobin},
};

use crate::{
    outcome::Outcome,
    scenario::{Fault, Scenario},
    simulation,
};

/// The policies that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compared {
    /// Each in turn: what knows nothing.
    RoundRobin,
    /// Power of two choices, by requests in flight.
    LeastRequest,
    /// Power of two choices, by latency and requests in flight.
    PeakEwma,
    /// In turn, by what backends report that they can take.
    BackendWeighted,
    /// By reported requests in hand and latency.
    Prequal,
}

impl Compared {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::LeastRequest,
        Self::PeakEwma,
        Self::BackendWeighted,
        Self::Prequal,
    ];

    /// The policy, with its defaults.
    #[must_use]
    pub fn policy(self) -> Arc<dyn Policy> {
        match self {
            Self::RoundRobin => Arc::new(RoundRobin::new()),
            Self::LeastRequest => Arc::new(LeastRequest::new()),
            Self::PeakEwma => Arc::new(PeakEwma::new()),
            Self::BackendWeighted => Arc::new(BackendWeighted::new()),
            Self::Prequal => Arc::new(Prequal::new()),
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RoundRobin => "RoundRobin",
            Self::LeastRequest => "LeastRequest",
            Self::PeakEwma => "PeakEwma",
            Self::BackendWeighted => "BackendWeighted",
            Self::Prequal => "Prequal",
        })
    }
}

/// How much is asked, of what the Pods can do.
pub const LOADS: [f64; 3] = [0.7, 0.9, 1.05];

/// What one policy made of one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is wrong.
    pub fault: Fault,
    /// How much is asked.
    pub load: f64,
    /// Who chose.
    pub policy: Compared,
    /// What came of it.
    pub outcome: Outcome,
}

/// All of them, in the order in which they are shown.
pub fn rows(seed: u64) -> impl Iterator<Item = Row> {
    let faults = Fault::ALL.into_iter();
    let scenarios = faults.flat_map(|fault| LOADS.map(|load| (fault, load)));
    let all = scenarios.flat_map(|(fault, load)| Compared::ALL.map(|policy| (fault, load, policy)));
    all.map(move |(fault, load, policy)| row(fault, load, policy, seed))
}

/// One of them.
#[must_use]
pub fn row(fault: Fault, load: f64, policy: Compared, seed: u64) -> Row {
    Row {
        fault,
        load,
        policy,
        outcome: simulation::run(&Scenario::new(fault, load), &|| policy.policy(), seed),
    }
}

/// The rows of each scenario, of those in the order of [`rows`].
pub fn scenarios(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, next| (one.fault, one.load) == (next.fault, next.load))
}
