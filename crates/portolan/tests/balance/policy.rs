//! Policies that misbehave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portolan::{ErrorKind, PickContext, Picker, Policy, Verdict};
use tower::ServiceExt;

use crate::{cluster_of, named, present};

#[derive(Debug)]
struct Nonsense;

impl Policy for Nonsense {
    fn build(&self, candidates: &portolan::policy::Candidates) -> Arc<dyn Picker> {
        assert!(candidates.len() != 3, "a policy that panics");
        Arc::new(Self)
    }
}

impl Picker for Nonsense {
    fn pick(&self, _: &PickContext<'_>) -> Verdict {
        Verdict::Use(portolan::policy::Index::new(1_000_000))
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_answers_nonsense_or_panics_harms_nobody_else() {
    let (teller, cluster) = cluster_of(0..2);
    let service = named(cluster.service("db").unwrap().policy(Nonsense));
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PolicyAtFault);
    teller.tell(present(0..3));
    tokio::time::sleep(Duration::from_millis(1)).await;
    // With three endpoints it panics while it is built. Nobody stands in: where another policy would send a
    // request may be where it does not belong.
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PolicyAtFault);
    teller.tell(present(0..2));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PolicyAtFault);
}

/// Panics whenever it is asked anything, but for every other pick.
#[derive(Debug, Default)]
struct Explosive(AtomicUsize);

impl Policy for Explosive {
    fn build(&self, _: &portolan::policy::Candidates) -> Arc<dyn Picker> {
        Arc::new(Self::default())
    }
}

impl Picker for Explosive {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(turn % 2 == 1, "a picker that panics");
        context.nth_untried(2, turn)
    }
}

#[tokio::test(start_paused = true)]
async fn a_picker_that_panics_costs_that_request_and_no_more() {
    let (log, _listening) = crate::spans::Log::listen(tracing::Level::ERROR);
    let (_teller, cluster) = cluster_of(0..2);
    let service = named(cluster.service("db").unwrap().policy(Explosive::default()));
    for _ in 0..3 {
        let error = service.clone().oneshot(()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::PolicyAtFault);
        service.clone().oneshot(()).await.unwrap();
    }
    let view = service.observe().view();
    let in_flight = view.endpoints().iter().map(|one| one.state.in_flight());
    assert_eq!(in_flight.sum::<u32>(), 0);
    assert_eq!(log.lines_with(&["panicked while it chose"]).len(), 3);
}
