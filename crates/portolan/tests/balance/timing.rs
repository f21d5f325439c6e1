//! Which requests are timed: each where the policy goes by latency, else a sample.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan::{
    Balance, BoxError, Endpoint, PickContext, Picker, Policy, Time, Verdict,
    policy::{Candidates, LeastRequest, PeakEwma},
};
use tower::{Layer, Service, ServiceExt};

use crate::cluster_of;

const MS: Duration = Duration::from_millis(1);

/// One endpoint, which takes as long as the request says.
fn as_slow_as_asked(
    policy: impl Policy + 'static,
) -> Balance<
    impl Service<Duration, Response = (), Error = BoxError, Future: Send> + Clone + Send + Sync,
> {
    let (_teller, cluster) = cluster_of([0]);
    let layer = cluster.service("db").unwrap().policy(policy).layer();
    layer.unwrap().layer(|_: &Endpoint| {
        tower::service_fn(async |took: Duration| {
            tokio::time::sleep(took).await;
            Ok::<_, BoxError>(())
        })
    })
}

/// The latency of the only endpoint, in whole milliseconds, after it has taken each of `requests`.
async fn latency_after(policy: impl Policy + 'static, requests: &[Duration]) -> u128 {
    let mut service = as_slow_as_asked(policy);
    for took in requests {
        service.call(*took).await.unwrap();
    }
    let view = service.observe().view();
    let latency = view.endpoints()[0].state.latency(view.taken_at());
    (latency.unwrap() + MS / 2).as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_goes_by_latency_has_each_request_timed() {
    assert_eq!(latency_after(PeakEwma::new(), &[3 * MS, 9 * MS]).await, 9);
}

#[tokio::test(start_paused = true)]
async fn others_have_the_first_request_timed_and_then_one_in_sixteen() {
    let mut requests = vec![3 * MS];
    requests.extend([9 * MS; 15]);
    assert_eq!(latency_after(LeastRequest::new(), &requests).await, 3);
    requests.push(9 * MS);
    assert_eq!(latency_after(LeastRequest::new(), &requests).await, 9);
}

/// Takes the first, and notes what the time is said to be.
#[derive(Clone, Debug)]
struct Noting {
    timed: bool,
    times: Arc<Mutex<Vec<Time>>>,
}

impl Policy for Noting {
    fn build(&self, _: &Candidates) -> Arc<dyn Picker> {
        Arc::new(self.clone())
    }
}

impl Picker for Noting {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        self.times.lock().unwrap().push(context.now);
        context.nth_untried(1, 0)
    }

    fn is_timed(&self) -> bool {
        self.timed
    }
}

#[tokio::test(start_paused = true)]
async fn a_pick_is_told_the_time_where_it_is_timed() {
    for timed in [true, false] {
        let times = Arc::default();
        let noting = Noting {
            timed,
            times: Arc::clone(&times),
        };
        let mut service = as_slow_as_asked(noting);
        service.ready().await.unwrap().call(5 * MS).await.unwrap();
        service.call(5 * MS).await.unwrap();
        let times = times.lock().unwrap().clone();
        match (timed, &*times) {
            (true, [first, second]) => assert_eq!(second.since(*first), 5 * MS),
            (false, told) => assert_eq!(told, [Time::ORIGIN; 2]),
            other => panic!("{other:?}"),
        }
    }
}
