//! What of a request decides who serves it reaches the policy; pins come before all policies.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan::{
    Error, ErrorKind, Explanation, Intent, PickContext, Picker, Policy, Reason, Routing, Verdict,
    Wait,
    policy::{Candidates, Changes, LeastRequest},
    source::{Teller, channel},
};
use tokio::time::Instant;

use crate::{cluster_of, endpoint, present};

const SECOND: Duration = Duration::from_secs(1);

/// Sends everything to the one whose number the key is, and waits for so long where there is none.
#[derive(Clone, Debug, Default)]
struct ByNumber {
    wait: Option<Duration>,
    seen: Arc<Mutex<Vec<Intent>>>,
}

#[derive(Debug)]
struct Picks(ByNumber, Candidates);

impl Policy for ByNumber {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(Picks(self.clone(), candidates.clone()))
    }

    fn is_by_identity(&self) -> bool {
        true
    }
}

impl Picker for Picks {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        self.0.seen.lock().unwrap().push(context.intent);
        let number = context.key.and_then(|key| std::str::from_utf8(key).ok());
        let name = format!("db-{}", number.unwrap_or_default());
        let found = self
            .1
            .iter()
            .position(|one| one.endpoint.placement().as_str() == name);
        match (found, self.0.wait) {
            (Some(at), _) => Verdict::Use(portolan::policy::Index::new(at as u32)),
            (None, Some(limit)) => Verdict::WaitUpTo(limit),
            (None, None) => Verdict::Wait,
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note("ByNumber", "the one whose number it is");
        self.pick(context)
    }
}

fn name(lease: Result<portolan::Lease, Error>) -> String {
    lease.unwrap().endpoint().placement().to_string()
}

#[tokio::test(start_paused = true)]
async fn key_and_intent_reach_the_policy() {
    let (_teller, cluster) = cluster_of(0..3);
    let policy = ByNumber::default();
    let nodes = cluster
        .service("db")
        .unwrap()
        .policy(policy.clone())
        .nodes()
        .unwrap();
    assert_eq!(name(nodes.pick("2").await), "db-2");
    assert_eq!(name(nodes.pick_for(Routing::key("1").read()).await), "db-1");
    assert_eq!(
        name(nodes.pick_for(Routing::key("0").write()).await),
        "db-0"
    );
    let seen = policy.seen.lock().unwrap().clone();
    assert!(
        seen.ends_with(&[Intent::Any, Intent::Read, Intent::Write]),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_layers_requests_say_it_by_a_closure() {
    use tower::{Layer, ServiceExt, service_fn};

    let (_teller, cluster) = cluster_of(0..3);
    let layer = cluster
        .service("db")
        .unwrap()
        .policy(ByNumber::default())
        .layer()
        .unwrap();
    let layer = layer.routing_by(|request: &String| Routing::key(request.as_str()));
    let service = layer.layer(|endpoint: &portolan::Endpoint| {
        let name = endpoint.placement().to_string();
        service_fn(move |_: String| std::future::ready(Ok::<_, portolan::BoxError>(name.clone())))
    });
    for number in ["2", "0", "1", "2"] {
        let answer = service.clone().oneshot(number.to_owned()).await.unwrap();
        assert_eq!(answer, format!("db-{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_kept_to_whatever_the_policy() {
    let (teller, source) = channel();
    tell_with_ordinals(&teller, 0..3);
    let cluster = portolan::Cluster::from_source(source);
    let nodes = cluster.service("db").unwrap().nodes().unwrap();
    for _ in 0..20 {
        assert_eq!(
            name(nodes.pick_for(Routing::pinned_to("db-1")).await),
            "db-1"
        );
        assert_eq!(
            name(nodes.pick_for(Routing::pinned_to_ordinal(2)).await),
            "db-2"
        );
    }
    // While its Pod restarts, a request waits for it, and nobody stands in for it.
    tell_with_ordinals(&teller, [0, 2]);
    tokio::time::sleep(SECOND / 100).await;
    let waiting = tokio::spawn({
        let nodes = nodes.clone();
        async move { name(nodes.pick_for(Routing::pinned_to("db-1")).await) }
    });
    tokio::time::sleep(SECOND).await;
    assert!(!waiting.is_finished());
    tell_with_ordinals(&teller, 0..3);
    assert_eq!(waiting.await.unwrap(), "db-1");
}

fn tell_with_ordinals(teller: &Teller, ordinals: impl IntoIterator<Item = u16>) {
    let endpoints = ordinals
        .into_iter()
        .map(|one| endpoint(one).with_ordinal(one.into()));
    teller.tell(portolan::Resolution::Present(endpoints.collect()));
}

#[tokio::test(start_paused = true)]
async fn the_error_says_for_whom_a_request_waited_and_who_was_there() {
    let (_teller, cluster) = cluster_of(0..3);
    let nodes = cluster.service("db.shop").unwrap().nodes().unwrap();
    let began = Instant::now();
    let error = nodes
        .pick_for(Routing::pinned_to("db-7"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Refused(Reason::PinNotFound));
    assert_eq!(began.elapsed(), 5 * SECOND);
    let text = error.to_string();
    assert!(
        text.contains("Pin: it must go to db-7; nobody now: waits"),
        "{text}"
    );
    assert_eq!(error.explanation().unwrap().steps().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_knows_best_how_long_waiting_makes_sense() {
    let (_teller, cluster) = cluster_of(0..3);
    for (of_policy, of_balancer) in [(2, 5), (20, 5)] {
        let policy = ByNumber {
            wait: Some(of_policy * SECOND),
            ..ByNumber::default()
        };
        let builder = cluster.service("db").unwrap().policy(policy);
        let nodes = builder
            .wait(Wait::UpTo(of_balancer * SECOND))
            .nodes()
            .unwrap();
        drop(nodes.pick("1").await.unwrap());
        let began = Instant::now();
        let error = nodes.pick("9").await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), u64::from(of_policy));
        assert!(
            error
                .to_string()
                .contains("ByNumber: the one whose number it is"),
            "{error}"
        );
    }
}

/// Sends everything to one of them, and to another once told so.
#[derive(Debug)]
struct Turns {
    turned: tokio::sync::watch::Receiver<u32>,
}

#[derive(Debug)]
struct To(u32);

impl Policy for Turns {
    fn build(&self, _: &Candidates) -> Arc<dyn Picker> {
        Arc::new(To(*self.turned.borrow()))
    }

    fn changes(&self) -> Option<Changes> {
        let turned = self.turned.clone();
        let changes = futures::stream::unfold(turned, |mut turned| async {
            turned.changed().await.ok()?;
            Some(((), turned))
        });
        Some(Box::pin(changes))
    }
}

impl Picker for To {
    fn pick(&self, _: &PickContext<'_>) -> Verdict {
        Verdict::Use(portolan::policy::Index::new(self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_has_changed_is_asked_for_a_new_picker() {
    let (teller, cluster) = cluster_of(0..3);
    let (turn, turned) = tokio::sync::watch::channel(1);
    let nodes = cluster
        .service("db")
        .unwrap()
        .policy(Turns { turned })
        .nodes()
        .unwrap();
    assert_eq!(name(nodes.pick("").await), "db-1");
    turn.send(2).unwrap();
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(name(nodes.pick("").await), "db-2");
    // What has ended changes no more, and harms nobody.
    drop(turn);
    teller.tell(present(0..4));
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(name(nodes.pick("").await), "db-2");
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_asked_why() {
    let (teller, source) = channel();
    let ends = endpoint(3).with_conditions(portolan::Conditions::new(Some(false), None, None));
    let endpoints = (0..3).map(endpoint).chain([ends]);
    teller.tell(portolan::Resolution::Present(endpoints.collect()));
    let cluster = portolan::Cluster::from_source(source);
    let nodes = cluster
        .service("db")
        .unwrap()
        .policy(LeastRequest::new())
        .nodes()
        .unwrap();
    drop(nodes.pick("").await.unwrap());
    let explanation = nodes.explain(&Routing::new());
    let removed: Vec<_> = explanation
        .steps()
        .iter()
        .flat_map(|step| &step.removed)
        .collect();
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].as_str(), "db-3");
    let (chosen, next) = (
        explanation.chosen().unwrap(),
        explanation.runner_up().unwrap(),
    );
    assert_ne!(chosen.placement(), next.placement());
    let text = explanation.to_string();
    assert!(
        text.contains("which leaves 3 (and takes off db-3)"),
        "{text}"
    );
    assert!(
        text.contains("LeastRequest: fewest in flight of two drawn from 3"),
        "{text}"
    );
}

/// Always says that it has changed.
#[derive(Debug)]
struct Restless;

impl Policy for Restless {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        LeastRequest::new().build(candidates)
    }

    fn changes(&self) -> Option<Changes> {
        Some(Box::pin(futures::stream::repeat(())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_never_rests_does_not_keep_the_driver_from_resting() {
    let (teller, cluster) = cluster_of(0..1);
    let nodes = cluster
        .service("db")
        .unwrap()
        .policy(Restless)
        .nodes()
        .unwrap();
    assert_eq!(name(nodes.pick("").await), "db-0");
    teller.tell(present(1..2));
    let mut observer = nodes.observe();
    let is_new =
        |view: &portolan::View| view.endpoints()[0].endpoint.placement().as_str() == "db-1";
    while !is_new(&observer.changed().await.unwrap()) {}
    assert_eq!(name(nodes.pick("").await), "db-1");
}
