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
        BackendWeighted, LeastRequest, Maglev, PeakEwma, Prequal, Progress, Random, RingHash,
        RoundRobin, WeightedRoundRobin,
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
    (nest.make)(Arc::new(Probe { says, changes }), &Progress::new())
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
        client: None,
        intent,
        not_before: None,
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
            let picker = (nest.make)(make(), &Progress::new()).build(&candidates);
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
        let told = stage::progress(&pods, &candidates);
        for nest in nests() {
            for (leaf, make) in leaves() {
                // Twins: what one explains, the other picks, each in its own turn. What is remembered they have in common.
                let policy = (nest.make)(make(), &told);
                let twins = [(), ()].map(|()| policy.build(&candidates));
                let [picks, explains] = &twins;
                for request in &requests {
                    let mut explanation = Explanation::in_brief();
                    let explained = explains.explain(&request.context(), &mut explanation);
                    let verdict = picks.pick(&request.context());
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
                        prop_assert!(
                            picks.may_pick(index, &request.context()),
                            "{:?} over {} would not pick what it picks: {:?}", layers, leaf, request
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever might be picked would be right; and who is admitted has nothing to do with who was tried.
    #[test]
    fn what_may_be_picked_is_right(pods in stage::pods(), requests in stage::requests()) {
        let (candidates, _open) = stage::candidates(&pods);
        let told = stage::progress(&pods, &candidates);
        for nest in nests() {
            let picker = (nest.make)(Arc::new(RoundRobin::new()), &told).build(&candidates);
            for request in &requests {
                let context = request.context();
                let untried = Request { tried: Tried::new(), ..request.clone() };
                for index in (0..pods.len()).map(Index::at) {
                    let admits = picker.admits(index, &context);
                    prop_assert_eq!(admits, picker.admits(index, &untried.context()), "{:?}", nest.layers);
                    if picker.may_pick(index, &context) {
                        let wrong = wrong(&nest, &pods, &candidates, &untried, index);
                        prop_assert_eq!(wrong, None, "{:?}: {:?}", nest.layers, request);
                        prop_assert!(admits, "{:?}: {:?}", nest.layers, request);
                    }
                }
            }
        }
    }

    /// A client that was served is served there again, by whatever is between it and the Pods, and whoever comes in between.
    #[test]
    fn a_client_stays(pods in stage::pods(), requests in stage::requests()) {
        let (candidates, _open) = stage::candidates(&pods);
        let told = stage::progress(&pods, &candidates);
        for nest in nests().filter(Nest::keeps_clients) {
            let policy = (nest.make)(Arc::new(RoundRobin::new()), &told);
            let (picker, built_anew) = (policy.build(&candidates), policy.build(&candidates));
            // To a policy inside of the roles, who is behind looks as one that was tried: another one is gone to meanwhile.
            let is_shown = |one: &&Request| one.not_before.is_none() || nest.layers[0] == "ClientAffinity";
            let untried = requests.iter().filter(|one| one.tried.is_empty());
            let untried: Vec<_> = untried.filter(is_shown).collect();
            for request in &requests {
                picker.pick(&request.context());
            }
            let first: Vec<_> = untried.iter().map(|one| picker.pick(&one.context())).collect();
            let again: Vec<_> = untried.iter().map(|one| built_anew.pick(&one.context())).collect();
            prop_assert_eq!(first, again, "{:?}: {:?}", nest.layers, untried);
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
    let is_behind = request
        .not_before
        .is_some_and(|wanted| pod.position < wanted);
    if by_role && request.intent == Intent::Read && is_behind && pod.role != "primary" {
        return Some("it has not got as far as the read must see");
    }
    None
}

impl Nest {
    /// By a standby, a map or a closure, and not by the label alone.
    fn is_otherwise_sharded(&self) -> bool {
        let by_label = [
            "ClientAffinity",
            "Resharding",
            "Routes",
            "PrimaryReplica",
            "Rendezvous",
        ];
        !by_label.iter().any(|layer| self.has(layer))
    }

    /// Each client stays with one Pod, or one of a shard or role. Not by zones, which are left by chance.
    fn keeps_clients(&self) -> bool {
        let mut layers = self.layers.iter();
        let outer = layers.find(|layer| ["ClientAffinity", "ZoneAware"].contains(layer));
        outer == Some(&"ClientAffinity")
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
