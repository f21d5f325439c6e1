//! What the sizes of the zones say, before anything is measured.

use std::{collections::BTreeMap, sync::Arc};

use crate::Candidates;

/// By how much the endpoints of a zone may be busier than the average before requests leave it.
pub(super) const THRESHOLD: f64 = 0.1;

/// Who gets what.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The share of requests that stay in the client's zone.
    pub(super) kept: f64,
    /// The other zones, each with its share of what leaves. Endpoints of no zone are one of them.
    pub(super) others: Vec<(Option<Arc<str>>, f64)>,
}

impl Plan {
    /// Nothing where zones play no part.
    pub(super) fn of(candidates: &Candidates) -> Option<Self> {
        let own = candidates.location().zone()?;
        let mut weights: BTreeMap<Option<&str>, f64> = BTreeMap::new();
        let weighted = candidates.weights().is_some();
        for one in candidates {
            let weight = match weighted {
                true => f64::from(one.endpoint.weight().value()),
                false => 1.0,
            };
            *weights.entry(one.endpoint.zone()).or_default() += weight;
        }
        let total: f64 = weights.values().sum();
        let here = weights.remove(&Some(own)).filter(|here| *here > 0.0)?;
        // Clients are in zones that have a name.
        let zones = 1 + weights.keys().flatten().count();
        let fair = total / zones as f64;
        let kept = (here / fair * (1.0 + THRESHOLD)).min(1.0);
        let spare = |weight: f64| match kept < 1.0 {
            // Only those that have more than their own clients need.
            true => (weight - fair).max(0.0),
            false => weight,
        };
        let sum: f64 = weights.values().map(|weight| spare(*weight)).sum();
        if sum <= 0.0 {
            return None;
        }
        let others = weights
            .into_iter()
            .map(|(zone, weight)| (zone.map(Arc::from), spare(weight) / sum))
            .collect();
        Some(Self { kept, others })
    }
}
