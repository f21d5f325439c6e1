//! A pick alone, by each policy, among few endpoints and many.
//!
//! `benches/pingora` runs the same beside pingora-load-balancing, which needs more than Rust and a C
//! compiler to be built, and so stays out of this workspace.

use portolan_benches::{
    BoxError, Figures, candidates, compare, criterion, endpoints, picks, short_criterion,
    weighted_endpoints,
};
use portolan_core::policy::{
    BackendWeighted, LeastRequest, PeakEwma, Policy, Prequal, Random, RoundRobin,
    WeightedRoundRobin,
};

const SIZES: [u32; 4] = [3, 100, 10_000, 100_000];
const ROUNDS: usize = 40;

fn main() -> Result<(), BoxError> {
    let mut figures = Figures::new("pick, CPU per pick");
    for size in SIZES {
        let equal = candidates(endpoints(size));
        let weighted = candidates(weighted_endpoints(size));
        let of_equals: [(&str, &dyn Policy); 6] = [
            ("round robin", &RoundRobin::new()),
            ("random", &Random::new()),
            ("least request", &LeastRequest::new()),
            ("peak EWMA", &PeakEwma::new()),
            ("backend weighted", &BackendWeighted::new()),
            ("prequal", &Prequal::new()),
        ];
        let by_weight: [(&str, &dyn Policy); 3] = [
            ("weighted round robin", &WeightedRoundRobin::new()),
            ("random by weight", &Random::new()),
            ("least request by weight", &LeastRequest::new()),
        ];
        let mut contenders: Vec<_> = of_equals
            .iter()
            .map(|(name, policy)| picks(format!("{name}, {size}"), *policy, &equal))
            .chain(
                by_weight
                    .iter()
                    .map(|(name, policy)| picks(format!("{name}, {size}"), *policy, &weighted)),
            )
            .collect();
        criterion(&mut short_criterion(), "pick", &mut contenders)?;
        let costs = compare(ROUNDS, &mut contenders)?;
        costs.iter().for_each(|cost| figures.add_cost(cost));
    }
    figures.print()?;
    Ok(())
}
