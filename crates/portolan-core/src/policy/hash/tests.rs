//! What the algorithms have in common, and whatever compares them.

mod bounded;
mod disruption;
mod golden;
mod hosts;
mod incremental;
mod models;
mod oracles;
mod spread;

use std::sync::Arc;

use super::{GrpcRingHash, JumpHash, Ketama, Maglev, Rendezvous, RingHash};
use crate::{
    Candidate, Candidates, Endpoint, EndpointState, Index, Measurement, PickContext, Picker,
    Placement, Policy, Time, Verdict, Weight,
};

/// Endpoint `db-N`, in its first life or another.
fn endpoint(ordinal: u32, weight: u32, life: u8) -> Endpoint {
    let [.., high, low] = ordinal.to_be_bytes();
    Endpoint::new(
        Placement::new(format!("db-{ordinal}")),
        ([10, life, high, low], 80).into(),
    )
    .with_uid(format!("{life}-{ordinal}"))
    .with_ordinal(ordinal)
    .with_weight(Weight::new(weight))
}

/// Candidates as the driver makes them: in order of their placement.
fn candidates(endpoints: impl IntoIterator<Item = Endpoint>) -> Candidates {
    let mut list: Vec<_> = endpoints.into_iter().map(candidate).collect();
    list.sort_by(|one, other| one.endpoint.placement().cmp(other.endpoint.placement()));
    Candidates::new(list, 42)
}

fn candidate(endpoint: Endpoint) -> Candidate {
    let endpoint = Arc::new(endpoint);
    let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
    Candidate {
        state: Arc::new(state),
        endpoint,
    }
}

/// `db-0` to `db-N`, of weight 1.
fn equal(number: u32) -> Candidates {
    candidates((0..number).map(|ordinal| endpoint(ordinal, 1, 0)))
}

fn weighted(weights: &[u32]) -> Candidates {
    candidates(
        (0..)
            .zip(weights)
            .map(|(ordinal, &weight)| endpoint(ordinal, weight, 0)),
    )
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn pick(picker: &dyn Picker, key: &[u8]) -> Verdict {
    picker.pick(&PickContext::new(Time::ORIGIN, 1).with_key(key))
}

fn placement(candidates: &Candidates, index: Index) -> &Placement {
    candidates.get(index).unwrap().endpoint.placement()
}

/// Whose each of so many keys is, by name.
fn owners(policy: &dyn Policy, candidates: &Candidates, keys: u32) -> Vec<Placement> {
    let picker = policy.build(candidates);
    (0..keys)
        .map(|number| match pick(&*picker, &key(number)) {
            Verdict::Use(index) => placement(candidates, index).clone(),
            other => panic!("{policy:?}: {other:?}"),
        })
        .collect()
}

/// All algorithms whose hosts are any, not numbered.
fn unnumbered() -> [Arc<dyn Policy>; 5] {
    [
        Arc::new(RingHash::new()),
        Arc::new(Maglev::new()),
        Arc::new(Rendezvous::new()),
        Arc::new(GrpcRingHash::by_placement()),
        Arc::new(Ketama::by_placement()),
    ]
}

/// All algorithms, with bounds where they spill over only with them.
fn all() -> Vec<Arc<dyn Policy>> {
    let numbered: [Arc<dyn Policy>; 2] = [
        Arc::new(JumpHash::new().bounded_load(1.25)),
        Arc::new(RingHash::new().bounded_load(1.25)),
    ];
    unnumbered().into_iter().chain(numbered).collect()
}
