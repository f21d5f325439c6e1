//! The laws.

use std::{
    collections::BTreeSet,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    Nest, Reaches, nests,
    probe::{Probe, Says},
    stage::{self, Pod, Request},
};
use crate::{
    Candidates, Explanation, Index, Intent, Policy, Time, Tried, Verdict,
    policy::{
        BackendWeighted, LeastRequest, Maglev, PeakEwma, Prequal, Random, RingHash, RoundRobin,
        WeightedRoundRobin,
        changes::{self, Reader},
    },
};

/// What may be in the innermost place, with its name.
type Leaf = (&'static str, fn() -> Arc<dyn Policy>);

fn leaves() -> [Leaf; 9] {
    [
        ("LeastRequest", || Arc::new(LeastRequest::new())),
        ("PeakEwma", || Arc::new(PeakEwma::new())),
        ("RoundRobin", || Arc::new(RoundRobin::new())),
        ("WeightedRoundRobin", || Arc::new(WeightedRoundRobin::new())),
        ("BackendWeighted", || {
            Arc::new(BackendWeighted::new().blackout(Duration::ZERO))
        }),
        ("Prequal", || Arc::new(Prequal::new())),
        ("Random", || Arc::new(Random::new())),
        ("RingHash", || {
            Arc::new(
                RingHash::new()
                    .bounded_load(1.25)
                    .without_key(Random::new()),
            )
        }),
        ("Maglev", || {
            Arc::new(
                Maglev::new()
                    .table_size(101)
                    .without_key(LeastRequest::new()),
            )
        }),
    ]
}

/// All that a part can say of itself.
fn all_says() -> impl Iterator<Item = Says> {
    (0..16_u8).map(|bits| Says {
        by_identity: bits & 1 != 0,
        timed: bits & 2 != 0,
        never_panics: bits & 4 != 0,
        admits: bits & 8 != 0,
    })
}

fn with_probe(nest: &Nest, says: Says, changes: Option<Reader<u32>>) -> Arc<dyn Policy> {
    (nest.make)(Arc::new(Probe { says, changes }))
}

/// By identity where any part is; timed where any part is; never panicking where no part does.
#[test]
fn the_whole_says_of_itself_what_its_parts_say() {
    let (candidates, _open) = stage::candidates(&stage::complete());
    for nest in nests() {
        for says in all_says() {
            let policy = with_probe(&nest, says, None);
            let picker = policy.build(&candidates);
            let (known, layers) = (nest.known, nest.layers);
            let by_identity = known.by_identity || says.by_identity;
            assert_eq!(policy.is_by_identity(), by_identity, "{layers:?} {says:?}");
            assert_eq!(
                picker.is_timed(),
                known.timed || says.timed,
                "{layers:?} {says:?}"
            );
            let never_panics = !known.may_panic && says.never_panics;
            assert_eq!(picker.never_panics(), never_panics, "{layers:?} {says:?}");
        }
    }
}

#[test]
fn the_whole_changes_when_a_part_does() {
    let mut context = Context::from_waker(Waker::noop());
    for nest in nests() {
        let says = all_says().next().unwrap();
        let (setter, reader) = changes::cell(0);
        let policy = with_probe(&nest, says, Some(reader));
        // The same through the pointers by which policies are handed on.
        let boxed: Box<dyn Policy> = Box::new(Arc::clone(&policy));
        for policy in [&*policy, &*boxed] {
            let mut changes = policy.changes().expect("a part may change");
            assert_eq!(
                changes.as_mut().poll_next(&mut context),
                Poll::Pending,
                "{:?}",
                nest.layers
            );
            setter.update(|before| (Some(before + 1), ()));
            let told = changes.as_mut().poll_next(&mut context);
            assert_eq!(told, Poll::Ready(Some(())), "{:?}", nest.layers);
        }
    }
}

/// What a part does not let go to a Pod, is not let go there by the whole.
#[test]
fn the_whole_admits_nothing_that_a_part_refuses() {
    let (candidates, _open) = stage::candidates(&stage::complete());
    for nest in nests() {
        let key = match nest.innermost {
            Reaches::WithKey => Some("4".to_owned()),
            Reaches::WithoutKey => None,
        };
        let request = request(key, Intent::Read);
        for admits in [true, false] {
            let says = Says {
                by_identity: false,
                timed: false,
                never_panics: true,
                admits,
            };
            let picker = with_probe(&nest, says, None).build(&candidates);
            let Verdict::Use(index) = picker.pick(&request.context()) else {
                panic!("{:?}: nobody reads", nest.layers);
            };
            assert_eq!(
                picker.admits(index, &request.context()),
                admits,
                "{:?}",
                nest.layers
            );
        }
    }
}

/// A request that nothing is special about.
fn request(key: Option<String>, intent: Intent) -> Request {
    let (tried, now) = (Tried::new(), Time::ORIGIN);
    Request {
        key,
        intent,
        tried,
        entropy: 7,
        now,
    }
}

/// Each layer says something, the outermost first, and nobody else does.
#[test]
fn each_layer_is_in_the_explanation() {
    let (candidates, _open) = stage::candidates(&stage::complete());
    for nest in nests() {
        for (leaf, make) in leaves() {
            let picker = (nest.make)(make()).build(&candidates);
            let key = match nest.innermost {
                Reaches::WithKey => Some("4".to_owned()),
                Reaches::WithoutKey => None,
            };
            let request = request(key, Intent::Read);
            let explanation = Explanation::of(&*picker, &candidates, &request.context());
            let mut said: Vec<_> = explanation.steps().iter().map(|step| step.policy).collect();
            said.dedup();
            let mut layers = nest.layers.to_vec();
            // Of equal weights, as here, it is that.
            layers.push(match leaf {
                "WeightedRoundRobin" => "RoundRobin",
                leaf => leaf,
            });
            layers.dedup();
            assert!(said.starts_with(&layers), "{layers:?}: {explanation}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any Pods and requests, of each nesting of each leaf.
    #[test]
    fn the_laws_hold(pods in stage::pods(), requests in stage::requests()) {
        let (candidates, _open) = stage::candidates(&pods);
        for nest in nests() {
            for (leaf, make) in leaves() {
                // Twins: what one picks, the other explains, each in its own turn.
                let twins = [(), ()].map(|()| (nest.make)(make()).build(&candidates));
                let [picks, explains] = &twins;
                for request in &requests {
                    let verdict = picks.pick(&request.context());
                    let mut explanation = Explanation::in_brief();
                    let explained = explains.explain(&request.context(), &mut explanation);
                    let layers = nest.layers;
                    prop_assert_eq!(explained, verdict, "{:?} over {}: {:?}: {}", layers, leaf, request, explanation);
                    let first = explanation.steps().first().map(|step| step.policy);
                    if let Some(first) = first {
                        let is_first = first == layers[0] || layers[0] == "ZoneAware";
                        prop_assert!(is_first, "{:?} over {}: {}", layers, leaf, explanation);
                    }
                    prop_assert!(first.is_some(), "{:?} over {}: {:?}", layers, leaf, request);
                    if let Verdict::Use(index) = verdict {
                        let wrong = wrong(&nest, &pods, &candidates, request, index);
                        prop_assert_eq!(wrong, None, "{:?} over {}: {:?}", layers, leaf, request);
                        prop_assert!(
                            picks.admits(index, &request.context()),
                            "{:?} over {} does not admit its own pick: {:?}", layers, leaf, request
                        );
                    }
                    refuses_writes_at_replicas(&nest, &pods, request, |index| {
                        picks.admits(index, &request.context())
                    })?;
                }
            }
        }
    }
}

/// What is wrong with a pick, by what the request and the Pod are.
fn wrong(
    nest: &Nest,
    pods: &[Pod],
    candidates: &Candidates,
    request: &Request,
    index: Index,
) -> Option<&'static str> {
    let Some(pod) = pods.get(index.position()) else {
        return Some("there is no such Pod");
    };
    if request.tried.contains(index) {
        return Some("it has been tried");
    }
    assert_eq!(pods.len(), candidates.len());
    let has_learnt = nest.has("Routes") && request.key.as_deref() == Some(stage::LEARNT.0);
    let by_label = nest.has("Shard") && !nest.is_otherwise_sharded();
    if let (true, false, Some(shard)) = (by_label, has_learnt, request.shard())
        && pod.shard != shard
    {
        return Some("it is of another shard");
    }
    if by_label && request.key.is_some() && request.shard().is_none() && !has_learnt {
        return Some("the key is of no shard");
    }
    // Where the roles are for requests without a key only, others know nothing of them.
    let by_role =
        nest.has("PrimaryReplica") && (nest.layers[0] != "Maglev" || request.key.is_none());
    if by_role && request.intent != Intent::Read && pod.role != "primary" {
        return Some("it is a write at a replica");
    }
    None
}

impl Nest {
    /// By a standby, a map or a closure, and not by the label alone.
    fn is_otherwise_sharded(&self) -> bool {
        let by_label = ["Resharding", "Routes", "PrimaryReplica", "Rendezvous"];
        !by_label.iter().any(|layer| self.has(layer))
    }
}

/// Whoever chose the Pod: what may write goes to no replica, of whatever shard.
fn refuses_writes_at_replicas(
    nest: &Nest,
    pods: &[Pod],
    request: &Request,
    admits: impl Fn(Index) -> bool,
) -> Result<(), TestCaseError> {
    let outermost = nest.layers[0] != "Maglev" || request.key.is_none();
    if !nest.has("PrimaryReplica") || !outermost || request.intent == Intent::Read {
        return Ok(());
    }
    let admitted: BTreeSet<_> = (0..pods.len())
        .filter(|nth| admits(Index::at(*nth)))
        .map(|nth| pods[nth].role)
        .collect();
    let only_primaries = admitted.iter().all(|role| *role == "primary");
    prop_assert!(only_primaries, "{:?}: {:?}", nest.layers, admitted);
    Ok(())
}
