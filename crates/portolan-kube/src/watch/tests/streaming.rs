//! Whole collections, which are listed as a stream where the server can: here the Pods that have a label.

use tokio::sync::Notify;

use super::{
    super::{follow, informer::Update},
    *,
};
use crate::{
    object::{Object as _, Scope},
    pod::WirePod,
};

type Updates = Pin<Box<dyn Stream<Item = Update<WirePod>> + Send>>;

fn pods_of(cluster: &Cluster, namespace: &str) -> Updates {
    let scope = Scope::Labelled {
        namespace: namespace.into(),
        label: "role".into(),
    };
    let suspicion = std::sync::Arc::new(Notify::new());
    Box::pin(follow::informer(cluster.shared(), scope, &suspicion, 1))
}

fn start() -> (server::Calls, Cluster, Updates) {
    let (server, client) = Server::start();
    let cluster = Cluster::from(client);
    let updates = pods_of(&cluster, "shop");
    (server.pods, cluster, updates)
}

fn pod(name: &str, version: u64) -> Value {
    let labels = json!({ "role": "primary" });
    json!({ "metadata": { "name": name, "resourceVersion": version.to_string(), "labels": labels } })
}

async fn next_update(updates: &mut Updates) -> Update<WirePod> {
    let update = timeout(Duration::from_secs(3_600), updates.next()).await;
    update.expect("nothing came").expect("the stream ended")
}

/// The names of the Pods that are listed next.
async fn next_listed(updates: &mut Updates) -> Vec<String> {
    match next_update(updates).await {
        Update::Replaced(pods) => pods.iter().map(|pod| pod.meta().name.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

/// Polls without an end, for what is asked meanwhile.
async fn ask(updates: &mut Updates) -> std::convert::Infallible {
    loop {
        next_update(updates).await;
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_listed_by_streaming_and_then_watched_on_the_same_request() {
    let (mut pods, _cluster, mut updates) = start();
    let server = async {
        let call = pods.next().await;
        assert_eq!(call.path, "/api/v1/namespaces/shop/pods");
        assert_eq!(call.query["labelSelector"], "role");
        assert!(call.is_streaming_list());
        assert_eq!(call.query["allowWatchBookmarks"], "true");
        assert_eq!(call.query["resourceVersionMatch"], "NotOlderThan");
        assert_eq!(
            call.query["resourceVersion"], "",
            "not just what some cache has"
        );
        let watch = call.answer_with_watch();
        watch.event("ADDED", &pod("db-0", 5));
        watch.event("ADDED", &pod("db-1", 6));
        watch.end_of_initial_events(7);
        watch
    };
    let (listed, watch) = futures::join!(next_listed(&mut updates), server);
    assert_eq!(listed, ["db-0", "db-1"]);
    watch.event("DELETED", &pod("db-0", 8));
    let update = next_update(&mut updates).await;
    assert!(
        matches!(&update, Update::Deleted(pod) if pod.meta().name == "db-0"),
        "{update:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streaming_lists_is_listed_by_pages() {
    for refusal in [400, 422] {
        let (mut pods, _cluster, mut updates) = start();
        let server = async {
            let call = pods.next().await;
            call.refuse(refusal, "sendInitialEvents is forbidden for watch");
            let page = pods.next_list().await;
            assert_eq!(page.query["limit"], "500");
            let first = json!({
                "metadata": { "continue": "more", "resourceVersion": "" },
                "items": [pod("db-0", 5)],
            });
            page.answer_with(200, &first.to_string());
            let page = pods.next_list().await;
            assert_eq!(page.query["continue"], "more");
            assert_eq!(page.query["limit"], "500");
            page.answer_with_list(&[&pod("db-1", 6)], 7);
        };
        let (listed, ()) = futures::join!(next_listed(&mut updates), server);
        assert_eq!(listed, ["db-0", "db-1"]);
        let server = async { pods.resume(7).await.event("DELETED", &pod("db-0", 8)) };
        let (update, ()) = futures::join!(next_update(&mut updates), server);
        assert!(matches!(update, Update::Deleted(_)), "{update:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_heard_of_streaming_lists_is_found_out() {
    let (mut pods, _cluster, mut updates) = start();
    let server = async {
        // It takes the request for a common watch: all there is, and no end of it.
        let common = pods.next().await.answer_with_watch();
        common.event("ADDED", &pod("db-0", 5));
        common.closed().await;
        pods.next_list()
            .await
            .answer_with_list(&[&pod("db-0", 5)], 7);
    };
    let (listed, ()) = futures::join!(next_listed(&mut updates), server);
    assert_eq!(listed, ["db-0"]);
}

#[tokio::test(start_paused = true)]
async fn initial_events_that_are_cut_off_are_no_list() {
    let (mut pods, _cluster, mut updates) = start();
    let server = async {
        let half = pods.next().await.answer_with_watch();
        half.event("ADDED", &pod("db-0", 5));
        half.break_off();
        let call = pods.next_list().await;
        call.answer_with_list(&[&pod("db-0", 5), &pod("db-1", 6)], 7);
    };
    let (listed, ()) = futures::join!(next_listed(&mut updates), server);
    assert_eq!(listed, ["db-0", "db-1"], "never a part of the list");
}

#[tokio::test(start_paused = true)]
async fn one_that_loses_its_label_while_they_are_listed_is_not_taken() {
    let (mut pods, _cluster, mut updates) = start();
    let mut away = pod("db-0", 6);
    away["metadata"]["labels"] = json!({});
    let server = async {
        let watch = pods.next().await.answer_with_watch();
        watch.event("ADDED", &pod("db-0", 5));
        watch.event("ADDED", &pod("db-1", 5));
        watch.event("MODIFIED", &away);
        watch.end_of_initial_events(7);
        watch
    };
    let (listed, _watch) = futures::join!(next_listed(&mut updates), server);
    assert_eq!(listed, ["db-1"]);
}

#[tokio::test(start_paused = true)]
async fn initial_events_that_end_without_a_version_are_refused() {
    let (mut pods, _cluster, mut updates) = start();
    let server = async {
        let watch = pods.next().await.answer_with_watch();
        watch.event("ADDED", &pod("db-0", 5));
        let annotations = json!({ "k8s.io/initial-events-end": "true" });
        let metadata = json!({ "resourceVersion": "", "annotations": annotations });
        watch.event(
            "BOOKMARK",
            &json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata }),
        );
        watch.closed().await;
    };
    let (update, ()) = futures::join!(next_update(&mut updates), server);
    match update {
        Update::Failed(error) => {
            assert_eq!(error.kind(), portolan_core::SourceErrorKind::Corrupt);
        }
        other => panic!("{other:?}"),
    }
    let objects = [pod("db-0", 5)];
    let (listed, _watch) = futures::join!(next_listed(&mut updates), pods.stream(&objects, 7));
    assert_eq!(listed, ["db-0"]);
}

/// Lets time pass, in which the watch is opened anew as often as the client likes.
async fn pass(time: Duration, watch: server::Watch, pods: &mut server::Calls) -> server::Watch {
    let over = tokio::time::Instant::now() + time;
    let mut watch = watch;
    while let Ok(call) = tokio::time::timeout_at(over, pods.next()).await {
        assert!(call.is_watch() && !call.is_streaming_list(), "{call:?}");
        watch = call.answer_with_watch();
    }
    watch
}

#[tokio::test(start_paused = true)]
async fn a_server_that_learns_to_stream_is_found_out() {
    let refuse = |call: server::Call| call.refuse(422, "no streaming");
    // Nothing, and then the end of the connection.
    let cut_off = |call: server::Call| call.answer_with_watch().break_off();
    for turn_down in [refuse as fn(server::Call), cut_off] {
        let (mut pods, _cluster, mut updates) = start();
        let server = async {
            turn_down(pods.next().await);
            let watch = pods.list(&[pod("db-0", 5)], 7).await;
            // Soon after, it is not asked again.
            watch.error(410, "too old");
            let watch = pods.list(&[pod("db-0", 5)], 8).await;
            // After a while it is.
            let watch = pass(Duration::from_secs(900), watch, &mut pods).await;
            watch.error(410, "too old");
            let call = pods.next().await;
            assert!(call.is_streaming_list(), "{call:?}");
            // It may still not do so, and then the pages do.
            turn_down(call);
            pods.list(&[pod("db-1", 9)], 9).await
        };
        tokio::select! {
            never = ask(&mut updates) => match never {},
            _watch = server => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_watch_learnt_of_streaming_holds_for_all_of_the_cluster() {
    let (mut pods, cluster, mut updates) = start();
    let server = async {
        pods.next().await.refuse(422, "no streaming");
        pods.next_list().await.answer_with_list(&[], 7);
    };
    futures::join!(next_listed(&mut updates), server);
    let mut other = pods_of(&cluster, "billing");
    tokio::select! {
        never = ask(&mut other) => match never {},
        _list = pods.next_list() => {}
    }
}

#[tokio::test(start_paused = true)]
async fn that_one_list_never_began_to_stream_holds_for_all_of_the_cluster() {
    for begins in [false, true] {
        let (mut pods, cluster, mut updates) = start();
        let server = async {
            let stuck = pods.next().await.answer_with_watch();
            if begins {
                stuck.event("ADDED", &pod("db-0", 5));
            }
            stuck.closed().await;
            pods.next_list()
                .await
                .answer_with_list(&[&pod("db-0", 5)], 7);
        };
        futures::join!(next_listed(&mut updates), server);
        let mut other = pods_of(&cluster, "billing");
        tokio::select! {
            never = ask(&mut other) => match never {},
            call = pods.next() => assert_eq!(call.is_streaming_list(), begins),
        }
    }
}
