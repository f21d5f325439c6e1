//! Policies that misbehave.

use std::{sync::Arc, time::Duration};

use portolan::{ErrorKind, PickContext, Picker, Policy, Verdict};
use tower::ServiceExt;

use crate::{cluster_of, named, present, spread};

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
    // With three endpoints it panics while it is built: the default policy stands in.
    assert_eq!(spread(&service, 300).await.len(), 3);
}
