//! A pick alone, by each policy, beside pingora-load-balancing in the same run.

use std::{hint::black_box, sync::Arc};

use pingora_load_balancing::{
    LoadBalancer,
    selection::{BackendIter, BackendSelection, Consistent, Random, RoundRobin},
};
use portolan_benches::{
    BoxError, Contender, Cost, Figures, Goal, Run, candidates, compare, endpoints, picks,
    weighted_endpoints,
};
use portolan_core::{Endpoint, Policy, policy};

/// pingora's lists hold 2^16 at most, so the last size is compared with that many.
const SIZES: [(u32, u32); 4] = [(3, 3), (100, 100), (10_000, 10_000), (100_000, 65_535)];
/// Its rings have 160 points for each endpoint, and take seconds to build beyond this.
const LARGEST_RING: u32 = 10_000;
const ROUNDS: usize = 40;

fn main() -> Result<(), BoxError> {
    let mut figures = Figures::new("pick, CPU per pick, beside pingora-load-balancing");
    for (size, peers_size) in SIZES {
        let equal = candidates(endpoints(size));
        let weighted = candidates(weighted_endpoints(size));
        let of_equals: [(&str, &dyn Policy); 4] = [
            ("round robin", &policy::RoundRobin::new()),
            ("random", &policy::Random::new()),
            ("least request", &policy::LeastRequest::new()),
            ("peak EWMA", &policy::PeakEwma::new()),
        ];
        let by_weight: [(&str, &dyn Policy); 2] = [
            ("weighted round robin", &policy::WeightedRoundRobin::new()),
            ("random by weight", &policy::Random::new()),
        ];
        let mut contenders = vec![
            pingora::<RoundRobin>("round robin", peers_size)?,
            pingora::<Random>("random", peers_size)?,
        ];
        if size <= LARGEST_RING {
            contenders.push(pingora::<Consistent>("consistent", peers_size)?);
        }
        let peers = contenders.len();
        contenders.extend(
            of_equals
                .map(|(name, policy)| picks(format!("portolan {name}, {size}"), policy, &equal)),
        );
        contenders
            .extend(by_weight.map(|(name, policy)| {
                picks(format!("portolan {name}, {size}"), policy, &weighted)
            }));
        let costs = compare(ROUNDS, &mut contenders)?;
        costs.iter().for_each(|cost| figures.add_cost(cost));
        let (theirs, ours) = costs.split_at(peers);
        // Against what goes through memory in the same way: what takes turns reads it in order, what
        // draws does not, and among 100,000 that is most of the cost.
        for cost in ours {
            let in_turn = theirs
                .iter()
                .find(|their| their.name.contains("round robin"));
            let drawn = theirs.iter().find(|their| their.name.contains("random"));
            let (like, name) = match cost.name.contains("round robin") {
                true => (in_turn, "round robin"),
                false => (drawn, "random"),
            };
            let ratio = |peer: Option<&Cost>| peer.and_then(|peer| cost.ratio_to(peer));
            figures.add(
                format!("{}, of pingora's {name}", cost.name),
                ratio(like),
                "",
                Goal::AtMost(1.0 / 3.0),
            );
            if size == 100_000 && name == "random" {
                let figure = format!("{}, of pingora's round robin", cost.name);
                figures.add(figure, ratio(in_turn), "", Goal::None);
            }
        }
    }
    figures.print()?;
    Ok(())
}

fn pingora<'a, S>(name: &str, size: u32) -> Result<Contender<'a>, BoxError>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    let addresses: Vec<_> = endpoints(size).map(|one: Endpoint| one.address()).collect();
    let balancer = Arc::new(LoadBalancer::<S>::try_from_iter(addresses)?);
    Ok(Contender::new(
        format!("pingora {name}, {size}"),
        move |turns| {
            let (run, done) = Run::of(|| -> Result<(), BoxError> {
                for turn in 0..turns {
                    // The key is what consistent hashing needs; the others ignore it.
                    let picked = balancer.select(&turn.to_le_bytes(), 256);
                    black_box(picked).ok_or("no backend")?;
                }
                Ok(())
            });
            done?;
            Ok(run)
        },
    ))
}
