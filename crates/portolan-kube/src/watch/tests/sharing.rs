//! One watch per Service, and none that nobody wants.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use portolan_core::SourceErrorKind;
use tokio::{runtime::Runtime, task::yield_now};

use super::*;
use crate::{WatchOptions, watch::nodes::NodeShare};

/// How many Services the cluster watches, once all that is ready to run has run.
async fn watched(cluster: &Cluster) -> usize {
    for _ in 0..20 {
        yield_now().await;
    }
    cluster.shared().registry.len()
}

/// Answers every list with one Pod, for ever.
async fn serve(stage: &mut Stage) {
    loop {
        let call = stage.slices.next().await;
        if call.is_watch() {
            let watch = call.answer_with_watch();
            tokio::spawn(async move { watch.closed().await });
        } else {
            call.answer_with_list(&[&slice("a", 5, &["a-0"])], 7);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_the_stream_is_polled() {
    let (mut stage, cluster) = cluster_with_service();
    let resolutions = follow(&cluster);
    assert_eq!(watched(&cluster).await, 0);
    assert!(stage.slices.waiting().is_empty());
    drop(resolutions);
}

#[tokio::test(start_paused = true)]
async fn many_balancers_share_one_watch_and_late_ones_hear_at_once() {
    let (mut stage, cluster) = cluster_with_service();
    let mut first = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (set, watch) = futures::join!(next_set(&mut first), stage.slices.list(&listed, 7));

    let mut late: Vec<_> = (0..100).map(|_| follow(&cluster.clone())).collect();
    for late in &mut late {
        assert!(next_set(late).await.is_same(&set));
    }
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    let set = next_set(&mut first).await;
    for late in &mut late {
        assert!(next_set(late).await.is_same(&set));
    }
    assert!(stage.slices.waiting().is_empty(), "no further request");
    assert_eq!(watched(&cluster).await, 1);

    drop(first);
    late.truncate(1);
    watch.event("MODIFIED", &slice("a", 9, &["a-2"]));
    assert_eq!(
        next_names(&mut late[0]).await,
        ["a-2"],
        "the watch goes on for who is left"
    );
    late.clear();
    assert_eq!(watched(&cluster).await, 0);
    watch.closed().await;
}

#[tokio::test(start_paused = true)]
async fn other_ports_and_families_are_views_of_the_same_watch() {
    let (server, client) = Server::start();
    let mut both = service(1);
    both["spec"]["ports"] =
        json!([{ "name": "http", "port": 80 }, { "name": "metrics", "port": 90 }]);
    let mut stage = server.with_service(both);
    let cluster = Cluster::from(client);
    let mut http = follow(&cluster);
    let mut of_two = slice("a", 5, &["a-0"]);
    of_two["ports"] =
        json!([{ "name": "http", "port": 8080 }, { "name": "metrics", "port": 9090 }]);
    let listed = [of_two];
    let (set, _watch) = futures::join!(next_set(&mut http), stage.slices.list(&listed, 7));
    let mut metrics = cluster.watch(&"orders:metrics".parse().unwrap());
    let of_metrics = next_set(&mut metrics).await;
    assert_eq!(
        (set[0].address().port(), of_metrics[0].address().port()),
        (8080, 9090)
    );
    let mut six = follow(&cluster.clone().with_ip_families(crate::IpFamilies::V6Only));
    assert!(next_set(&mut six).await.is_empty());
    assert!(stage.slices.waiting().is_empty());
    assert_eq!(watched(&cluster).await, 1);
}

#[tokio::test(start_paused = true)]
async fn other_services_and_namespaces_are_other_watches() {
    let (_stage, cluster) = cluster_with_service();
    let mut streams = vec![
        cluster.watch(&"orders".parse().unwrap()),
        cluster.watch(&"orders.billing".parse().unwrap()),
        cluster
            .clone()
            .with_namespace("billing")
            .watch(&"invoices".parse().unwrap()),
        // The same as the first, by another name.
        cluster.watch(&"orders.shop.svc.cluster.local".parse().unwrap()),
    ];
    for stream in &mut streams {
        // The Service of the stage is not what some of them ask for; it is enough that they ask.
        drop(timeout(Duration::from_millis(1), stream.next()).await);
    }
    assert_eq!(watched(&cluster).await, 3);
    drop(streams);
    assert_eq!(watched(&cluster).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_while_it_connects_leaves_nothing_behind() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    silence(&mut resolutions, Duration::from_millis(1)).await;
    let connecting = stage.slices.next_list().await;
    drop(resolutions);
    assert_eq!(watched(&cluster).await, 0);
    // Nobody is there to hear the answer.
    connecting.answer_with_watch().closed().await;
    assert!(stage.slices.waiting().is_empty());
    assert_eq!(
        Arc::strong_count(cluster.shared()),
        1,
        "nobody else holds on to the client"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_as_it_comes_while_another_leaves_holds_no_watch_open() {
    let (mut stage, cluster) = cluster_with_service();
    let mut first = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (_, watch) = futures::join!(next_set(&mut first), stage.slices.list(&listed, 7));
    // All before the task runs, so that it is woken once for the three of them.
    drop(first);
    let mut second = cluster.watch(&"orders:80".parse().unwrap());
    let polled = second.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(second);
    assert_eq!(watched(&cluster).await, 0);
    watch.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_while_it_backs_off_leaves_nothing_behind() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let refused = async { drop(stage.slices.next().await) };
    futures::join!(next_error(&mut resolutions), refused);
    drop(resolutions);
    assert_eq!(watched(&cluster).await, 0);
    assert_eq!(Arc::strong_count(cluster.shared()), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_starts_a_new_watch() {
    let (mut stage, cluster) = cluster_with_service();
    for version in [7, 8, 9] {
        let mut resolutions = follow(&cluster);
        let listed = [slice("a", version, &["a-0"])];
        let (names, watch) = futures::join!(
            next_names(&mut resolutions),
            stage.slices.list(&listed, version)
        );
        assert_eq!(names, ["a-0"]);
        drop(resolutions);
        watch.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn joining_and_leaving_at_once_never_misses_the_task() {
    let (mut stage, cluster) = cluster_with_service();
    let churn = async {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..500 {
            let mut one = follow(&cluster);
            let mut other = follow(&cluster);
            if rng.bool() {
                assert_eq!(next_names(&mut one).await, ["a-0"]);
            } else {
                silence(&mut one, Duration::ZERO).await;
            }
            drop(one);
            if rng.bool() {
                yield_now().await;
            }
            assert_eq!(next_names(&mut other).await, ["a-0"]);
        }
        watched(&cluster).await
    };
    tokio::select! {
        left = churn => assert_eq!(left, 0),
        () = serve(&mut stage) => {}
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// The task runs on the runtime of whoever polled first; when that is shut down, the others go on.
#[test]
fn a_runtime_that_is_shut_down_takes_only_its_own_with_it() {
    let (first, second) = (runtime(), runtime());
    // The client's own worker must outlive the first runtime.
    let (mut stage, cluster) = second.block_on(async { cluster_with_service() });
    let (mut short, mut long) = (follow(&cluster), follow(&cluster));
    first.block_on(silence(&mut short, Duration::from_millis(1)));
    second.block_on(silence(&mut long, Duration::from_millis(1)));
    assert_eq!(cluster.shared().registry.len(), 1);
    drop(first);
    second.block_on(async {
        tokio::select! {
            names = next_names(&mut long) => assert_eq!(names, ["a-0"]),
            () = serve(&mut stage) => {}
        }
    });
}

#[test]
fn outside_of_a_runtime_it_says_so() {
    let runtime = runtime();
    let (_stage, cluster) = runtime.block_on(async { cluster_with_service() });
    let mut resolutions = follow(&cluster);
    let mut context = Context::from_waker(Waker::noop());
    match resolutions.poll_next_unpin(&mut context) {
        Poll::Ready(Some(Resolution::Failed(error))) => {
            assert!(
                error.to_string().contains("needs a Tokio runtime"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_none_is_said() {
    let (_stage, cluster) = cluster_with_service();
    let mut resolutions = cluster.with_namespace("Not A Namespace").watch(&orders());
    let error = next_error(&mut resolutions).await;
    assert!(
        error
            .to_string()
            .contains("`Not A Namespace` is not a Service"),
        "{error}"
    );
    silence(&mut resolutions, Duration::from_secs(1)).await;
}

/// A thousand Services are not listed all at once, and none is forgotten.
#[tokio::test(start_paused = true)]
async fn lists_wait_for_their_turn() {
    let (mut server, client) = Server::start();
    let two = NonZeroUsize::MIN.saturating_add(1);
    let options = WatchOptions::default().concurrent_lists(two);
    let cluster = Cluster::from(client).with_watch_options(options);
    let all: Vec<_> = (0..5)
        .map(|number| cluster.watch(&format!("orders-{number}:http").parse().unwrap()))
        .collect();
    let mut all = futures::stream::select_all(all);
    let polled = tokio::spawn(async move { while all.next().await.is_some() {} });

    let (mut open, mut of_services) = (Vec::new(), 0);
    loop {
        watched(&cluster).await;
        let waiting = [server.services.waiting(), server.slices.waiting()];
        for call in waiting.into_iter().flatten() {
            if call.is_watch() {
                // It takes up no turn.
                let watch = call.answer_with_watch();
                tokio::spawn(async move { watch.closed().await });
            } else {
                of_services += usize::from(call.path.ends_with("services"));
                open.push(call);
            }
        }
        assert!(open.len() <= 2, "{open:?}");
        let Some(list) = open.pop() else { break };
        list.answer_with_list(&[], 1);
    }
    assert_eq!(of_services, 5);
    polled.abort();
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_turn_does_not_come_says_so_once_and_keeps_its_place() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
        ..
    } = server;
    let options = WatchOptions::default().concurrent_lists(NonZeroUsize::MIN);
    let cluster = Cluster::from(client).with_watch_options(options);
    let mut resolutions = follow(&cluster);
    // Slow, but never silent for so long that it would be given up.
    let slow = async {
        let text = server::list(&[&service(1)], 7).to_string();
        let body = services.next_list().await.answer_with_watch();
        for part in text.as_bytes().chunks(text.len() / 3) {
            tokio::time::sleep(Duration::from_secs(8)).await;
            body.raw(std::str::from_utf8(part).unwrap());
        }
        drop(body);
        services.resume(7).await
    };
    let told = async {
        let start = tokio::time::Instant::now();
        let error = next_error(&mut resolutions).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        silence(&mut resolutions, Duration::from_secs(20)).await;
        error
    };
    let (error, _service_watch) = futures::join!(told, slow);
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    let text =
        "the list of endpointslices of Service `orders` in namespace `shop` waits for its turn";
    assert!(error.to_string().starts_with(text), "{error}");
    let listed = [slice("a", 5, &["a-0"])];
    let (names, _watch) = futures::join!(next_names(&mut resolutions), slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
}

#[test]
fn a_runtime_that_is_gone_does_not_hold_on_to_the_nodes() {
    let runtime = runtime();
    let (_server, client) = runtime.block_on(async { Server::start() });
    let cluster = Cluster::from(client);
    let handle = runtime.handle().clone();
    drop(runtime);
    let shared = Arc::clone(cluster.shared());
    let (done, joined) = std::sync::mpsc::channel();
    // On a thread of its own, so that a deadlock fails the test instead of hanging it.
    std::thread::spawn(move || {
        let _entered = handle.enter();
        drop(NodeShare::join(&shared));
        done.send(())
    });
    joined.recv_timeout(Duration::from_secs(30)).unwrap();
}
