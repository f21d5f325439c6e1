//! How the state of the world is learnt, and kept.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_service_is_listed_by_streaming_and_then_watched_on_the_same_request() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
    } = server;
    let mut resolutions = follow(&Cluster::from(client));
    silence(&mut resolutions, Duration::from_secs(1)).await;
    let (service_call, slice_call) = futures::join!(services.next(), slices.next());
    assert_eq!(service_call.path, "/api/v1/namespaces/shop/services");
    assert_eq!(service_call.query["fieldSelector"], "metadata.name=orders");
    assert_eq!(
        slice_call.path,
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    );
    assert_eq!(
        slice_call.query["labelSelector"],
        "kubernetes.io/service-name=orders"
    );
    for call in [&service_call, &slice_call] {
        assert!(call.is_streaming_list());
        assert_eq!(call.query["allowWatchBookmarks"], "true");
        assert_eq!(call.query["resourceVersionMatch"], "NotOlderThan");
        assert_eq!(
            call.query["resourceVersion"], "",
            "not just what some cache has"
        );
    }
    assert_eq!(
        (
            &*slice_call.query["timeoutSeconds"],
            &*service_call.query["timeoutSeconds"]
        ),
        ("15", "60")
    );
    let (service_watch, slice_watch) = (
        service_call.answer_with_watch(),
        slice_call.answer_with_watch(),
    );
    slice_watch.event("ADDED", &slice("a", 5, &["a-0"]));
    slice_watch.end_of_initial_events(7);
    silence(&mut resolutions, Duration::from_secs(1)).await;
    service_watch.event("ADDED", &service(3));
    service_watch.end_of_initial_events(7);
    assert_eq!(next_names(&mut resolutions).await, ["a-0"]);
    slice_watch.event("MODIFIED", &slice("a", 8, &["a-0", "a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0", "a-1"]);
    slice_watch.event("ADDED", &slice("b", 9, &["b-0"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0", "a-1", "b-0"]);
    slice_watch.event("DELETED", &slice("a", 10, &["a-0", "a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["b-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streaming_lists_is_listed_by_pages() {
    for refusal in [400, 422] {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let server = async {
            stage
                .slices
                .next()
                .await
                .refuse(refusal, "sendInitialEvents is forbidden for watch");
            let page = stage.slices.next().await;
            assert!(!page.is_watch());
            assert_eq!(page.query["limit"], "500");
            let first = json!({
                "metadata": { "continue": "more", "resourceVersion": "" },
                "items": [slice("a", 5, &["a-0"])],
            });
            page.answer_with(200, &first.to_string());
            let page = stage.slices.next().await;
            assert_eq!(page.query["continue"], "more");
            page.answer_with_list(&[&slice("b", 6, &["b-0"])], 7);
            stage.slices.resume(7).await
        };
        let (names, watch) = futures::join!(next_names(&mut resolutions), server);
        assert_eq!(names, ["a-0", "b-0"]);
        watch.event("DELETED", &slice("a", 8, &["a-0"]));
        assert_eq!(next_names(&mut resolutions).await, ["b-0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_heard_of_streaming_lists_is_found_out() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        // It takes the request for a common watch: all there is, and no end of it.
        let common = stage.slices.next().await.answer_with_watch();
        common.event("ADDED", &slice("a", 5, &["a-0"]));
        common.closed().await;
        stage
            .slices
            .next()
            .await
            .answer_with_list(&[&slice("a", 5, &["a-0"])], 7);
        stage.slices.resume(7).await
    };
    let (names, _watch) = futures::join!(next_names(&mut resolutions), server);
    assert_eq!(names, ["a-0"]);
}

#[tokio::test(start_paused = true)]
async fn initial_events_that_are_cut_off_are_no_list() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        let half = stage.slices.next().await.answer_with_watch();
        half.event("ADDED", &slice("a", 5, &["a-0"]));
        half.break_off();
        let call = stage.slices.next().await;
        assert!(!call.is_watch());
        call.answer_with_list(&[&slice("a", 5, &["a-0"]), &slice("b", 6, &["b-0"])], 7);
        stage.slices.resume(7).await
    };
    let (names, _watch) = futures::join!(next_names(&mut resolutions), server);
    assert_eq!(names, ["a-0", "b-0"], "never a part of the list");
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_with_nil_items_is_an_empty_set() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        stage.slices.next().await.refuse(422, "no");
        let nil = r#"{"kind":"EndpointSliceList","metadata":{"resourceVersion":"7"},"items":null}"#;
        stage.slices.next().await.answer_with(200, nil);
    };
    let (set, ()) = futures::join!(next_set(&mut resolutions), server);
    assert!(set.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_is_absent_and_its_creation_is_seen_and_its_deletion() {
    let (server, client) = Server::start();
    let mut stage = server.with_service(Value::Null);
    let mut resolutions = follow(&Cluster::from(client));
    let (first, watch) = futures::join!(next(&mut resolutions), stage.slices.list(&[], 1));
    assert!(matches!(first, Resolution::Absent), "{first:?}");

    stage.service.send(service(2)).unwrap();
    assert!(next_set(&mut resolutions).await.is_empty());
    watch.event("ADDED", &slice("a", 3, &["a-0"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0"]);

    stage.service.send(Value::Null).unwrap();
    assert!(matches!(next(&mut resolutions).await, Resolution::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_services_ports_is_followed() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = cluster.watch(&"orders:80".parse().unwrap());
    let listed = [slice("a", 5, &["a-0"])];
    let (names, _watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
    let mut moved = service(9);
    moved["spec"]["ports"][0]["port"] = json!(81);
    stage.service.send(moved).unwrap();
    let error = next_error(&mut resolutions).await;
    assert_eq!(
        error.to_string(),
        "Service `orders.shop` has no port `80`; it has: `http` (81)"
    );
    stage.service.send(service(10)).unwrap();
    assert_eq!(next_names(&mut resolutions).await, ["a-0"]);
}

#[tokio::test(start_paused = true)]
async fn an_external_name_is_refused_in_words() {
    let (server, client) = Server::start();
    let mut external = service(1);
    external["spec"] = json!({ "type": "ExternalName", "externalName": "db.example.com" });
    let _stage = server.with_service(external);
    let error = next_error(&mut follow(&Cluster::from(client))).await;
    assert!(
        error.to_string().contains("is of type ExternalName"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn objects_that_were_not_asked_for_are_not_taken() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let mut foreign = slice("foreign", 5, &["f-0"]);
    foreign["metadata"]["labels"]["kubernetes.io/service-name"] = json!("billing");
    let listed = [slice("a", 5, &["a-0"]), foreign.clone()];
    let (names, watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
    foreign["metadata"]["resourceVersion"] = json!("8");
    watch.event("ADDED", &foreign);
    silence(&mut resolutions, Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_twice_changes_nothing() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (_, watch) = futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
    silence(&mut resolutions, Duration::from_secs(1)).await;
    watch.event("DELETED", &slice("a", 9, &["a-1"]));
    watch.event("DELETED", &slice("a", 9, &["a-1"]));
    assert!(next_set(&mut resolutions).await.is_empty());
    silence(&mut resolutions, Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_another_service_is_not_the_end_of_this_one() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
    } = server;
    let mut resolutions = follow(&Cluster::from(client));
    let (service_list, slice_list) = ([service(1)], [slice("a", 5, &["a-0"])]);
    let (_, service_watch, _slice_watch) = futures::join!(
        next_set(&mut resolutions),
        services.list(&service_list, 7),
        slices.list(&slice_list, 7)
    );
    let mut foreign = service(8);
    foreign["metadata"]["name"] = json!("billing");
    service_watch.event("DELETED", &foreign);
    foreign["metadata"]["name"] = Value::Null;
    service_watch.event("DELETED", &foreign);
    silence(&mut resolutions, Duration::from_secs(1)).await;
    service_watch.event("DELETED", &service(9));
    let resolution = next(&mut resolutions).await;
    assert!(matches!(resolution, Resolution::Absent), "{resolution:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slice_goes_by_its_name_whatever_its_labels_say_by_then() {
    // A server tells with `DELETED` that an object is no longer selected. One that selects nothing
    // tells with `MODIFIED` what has become of it.
    for kind in ["DELETED", "MODIFIED"] {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let listed = [slice("a", 5, &["a-0"]), slice("b", 6, &["b-0"])];
        let (names, watch) =
            futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
        assert_eq!(names, ["a-0", "b-0"]);
        let mut foreign = slice("foreign", 8, &["a-0"]);
        foreign["metadata"]["labels"]["kubernetes.io/service-name"] = json!("billing");
        watch.event(kind, &foreign);
        silence(&mut resolutions, Duration::from_secs(1)).await;
        foreign["metadata"]["name"] = json!("a");
        watch.event(kind, &foreign);
        assert_eq!(next_names(&mut resolutions).await, ["b-0"], "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_is_given_away_while_it_is_listed_is_not_taken() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let mut away = slice("a", 6, &["a-0"]);
    away["metadata"]["labels"] = json!({ "kubernetes.io/service-name": "billing" });
    let server = async {
        let watch = stage.slices.next().await.answer_with_watch();
        watch.event("ADDED", &slice("a", 5, &["a-0"]));
        watch.event("ADDED", &slice("b", 5, &["b-0"]));
        watch.event("MODIFIED", &away);
        watch.end_of_initial_events(7);
        watch
    };
    let (names, _watch) = futures::join!(next_names(&mut resolutions), server);
    assert_eq!(names, ["b-0"]);
}

/// Ends the watch by 410, which is answered with a list.
async fn forget(watch: server::Watch, slices: &mut server::Calls) -> server::Call {
    watch.error(410, "too old");
    slices.next().await
}

/// Lets time pass, in which the watch is opened anew as often as the client likes.
async fn pass(time: Duration, watch: server::Watch, slices: &mut server::Calls) -> server::Watch {
    let over = tokio::time::Instant::now() + time;
    let mut watch = watch;
    while let Ok(call) = tokio::time::timeout_at(over, slices.next()).await {
        assert!(call.is_watch() && !call.is_streaming_list(), "{call:?}");
        watch = call.answer_with_watch();
    }
    watch
}

#[tokio::test(start_paused = true)]
async fn initial_events_that_end_without_a_version_are_refused() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        let watch = stage.slices.next().await.answer_with_watch();
        watch.event("ADDED", &slice("a", 5, &["a-0"]));
        let annotations = json!({ "k8s.io/initial-events-end": "true" });
        watch.event(
            "BOOKMARK",
            &json!({
                "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": { "resourceVersion": "", "annotations": annotations },
            }),
        );
        watch.closed().await;
    };
    let (error, ()) = futures::join!(next_error(&mut resolutions), server);
    assert_eq!(error.kind(), portolan_core::SourceErrorKind::Corrupt);
    let listed = [slice("a", 5, &["a-0"])];
    let (names, _watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_learns_to_stream_is_found_out() {
    let refuse = |call: server::Call| call.refuse(422, "no streaming");
    // Nothing, and then the end of the connection.
    let cut_off = |call: server::Call| call.answer_with_watch().break_off();
    for turn_down in [refuse as fn(server::Call), cut_off] {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let first = slice("a", 5, &["a-0"]);
        let server = async {
            turn_down(stage.slices.next().await);
            stage.slices.next().await.answer_with_list(&[&first], 7);
            stage.slices.resume(7).await
        };
        let (_, mut watch) = futures::join!(next_names(&mut resolutions), server);
        // Soon after, it is not asked again.
        let call = forget(watch, &mut stage.slices).await;
        assert!(!call.is_watch(), "{call:?}");
        call.answer_with_list(&[&first], 8);
        watch = stage.slices.resume(8).await;
        // After a while it is.
        watch = pass(Duration::from_secs(900), watch, &mut stage.slices).await;
        let call = forget(watch, &mut stage.slices).await;
        assert!(call.is_streaming_list(), "{call:?}");
        // It may still not do so, and then the pages do.
        turn_down(call);
        let call = stage.slices.next().await;
        assert!(!call.is_watch(), "{call:?}");
        call.answer_with_list(&[&slice("b", 9, &["b-0"])], 9);
        assert_eq!(next_names(&mut resolutions).await, ["b-0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_watch_learnt_of_streaming_holds_for_all_of_the_cluster() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        stage.slices.next().await.refuse(422, "no streaming");
        stage.slices.next().await.answer_with_list(&[], 7);
        stage.slices.resume(7).await
    };
    let (_, _watch) = futures::join!(next_names(&mut resolutions), server);
    let mut other = cluster.watch(&"orders.billing:http".parse().unwrap());
    silence(&mut other, Duration::from_millis(1)).await;
    assert!(!stage.slices.next().await.is_watch());
}

#[tokio::test(start_paused = true)]
async fn that_one_list_never_began_to_stream_holds_for_all_of_the_cluster() {
    for begins in [false, true] {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let first = slice("a", 5, &["a-0"]);
        let server = async {
            let stuck = stage.slices.next().await.answer_with_watch();
            if begins {
                stuck.event("ADDED", &first);
            }
            stuck.closed().await;
            stage.slices.next().await.answer_with_list(&[&first], 7);
            stage.slices.resume(7).await
        };
        let (_, _watch) = futures::join!(next_names(&mut resolutions), server);
        let mut other = cluster.watch(&"orders.billing:http".parse().unwrap());
        silence(&mut other, Duration::from_millis(1)).await;
        assert_eq!(stage.slices.next().await.is_streaming_list(), begins);
    }
}
