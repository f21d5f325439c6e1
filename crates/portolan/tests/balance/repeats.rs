//! Requests of one's own that may be sent twice, through the tower layer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portolan::{BoxError, Endpoint, ErrorKind, Routing, policy::RoundRobin, retry::Retry};
use tower::{Layer, ServiceExt, service_fn};

use crate::cluster_of;

#[derive(Clone, Debug)]
struct Command {
    key: &'static str,
    is_get: bool,
}

const GET: Command = Command {
    key: "a",
    is_get: true,
};
const ADD: Command = Command {
    key: "a",
    is_get: false,
};

#[derive(Debug)]
enum Answer {
    By(String),
    Busy,
}

/// db-0 breaks off, db-1 is busy, and db-2 answers.
fn serve(
    asked: &Arc<AtomicUsize>,
) -> impl Fn(&Endpoint) -> tower::util::BoxCloneSyncService<Command, Answer, BoxError>
+ Send
+ Sync
+ 'static {
    let asked = Arc::clone(asked);
    move |endpoint| {
        let (name, asked) = (endpoint.placement().to_string(), Arc::clone(&asked));
        tower::util::BoxCloneSyncService::new(service_fn(move |_: Command| {
            asked.fetch_add(1, Ordering::SeqCst);
            let name = name.clone();
            async move {
                match &*name {
                    "db-0" => Err(BoxError::from("it broke off")),
                    "db-1" => Ok(Answer::Busy),
                    _ => Ok(Answer::By(name)),
                }
            }
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_sent_twice_is_whether_broken_off_or_refused() {
    let (_teller, cluster) = cluster_of(0..3);
    let asked = Arc::default();
    let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
    let layer = builder.retry(Retry::new()).layer().unwrap();
    let layer = layer
        .routing_by(|command: &Command| Routing::key(command.key))
        .repeat_if(|command: &Command| command.is_get)
        .refused_if(|answer| matches!(answer, Answer::Busy));
    let service = layer.layer(serve(&asked));
    for _ in 0..9 {
        let answer = service.clone().oneshot(GET).await.unwrap();
        assert!(matches!(answer, Answer::By(name) if name == "db-2"));
    }
    asked.store(0, Ordering::SeqCst);
    let mut ends = [0; 3];
    for _ in 0..9 {
        match service.clone().oneshot(ADD).await {
            Ok(Answer::By(_)) => ends[0] += 1,
            Ok(Answer::Busy) => ends[1] += 1,
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::Failed);
                ends[2] += 1;
            }
        }
    }
    assert_eq!((ends, asked.load(Ordering::SeqCst)), ([3, 3, 3], 9));
    let view = service.observe().view();
    let errors = |one: &portolan::Candidate| one.state.consecutive_error_responses();
    assert!(view.endpoints().iter().any(|one| errors(one) > 3));
}
