//! How the state of the world is learnt, and kept.

use portolan_core::SourceErrorKind;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_service_is_listed_at_once_and_then_watched_from_its_version() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
        ..
    } = server;
    let mut resolutions = follow(&Cluster::from(client));
    silence(&mut resolutions, Duration::from_secs(1)).await;
    let (service_list, slice_list) = futures::join!(services.next_list(), slices.next_list());
    let is_plain = |call: &server::Call| {
        // As of now, and not just what some cache has; all at once.
        let unset = ["resourceVersion", "resourceVersionMatch", "limit"];
        assert!(
            unset.iter().all(|name| !call.query.contains_key(*name)),
            "{call:?}"
        );
    };
    let selects = |call: &server::Call, path: &str, selector: [&str; 2]| {
        assert_eq!(
            (&*call.path, &*call.query[selector[0]]),
            (path, selector[1])
        );
    };
    let of_service = (
        "/api/v1/namespaces/shop/services",
        ["fieldSelector", "metadata.name=orders"],
    );
    let of_slices = (
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
        ["labelSelector", "kubernetes.io/service-name=orders"],
    );
    is_plain(&service_list);
    is_plain(&slice_list);
    selects(&service_list, of_service.0, of_service.1);
    selects(&slice_list, of_slices.0, of_slices.1);
    slice_list.answer_with_list(&[&slice("a", 5, &["a-0"])], 7);
    silence(&mut resolutions, Duration::from_secs(1)).await;
    service_list.answer_with_list(&[&service(3)], 8);
    // It is there before anybody watches.
    assert_eq!(next_names(&mut resolutions).await, ["a-0"]);

    let (service_watch, slice_watch) = futures::join!(services.next(), slices.next());
    selects(&service_watch, of_service.0, of_service.1);
    selects(&slice_watch, of_slices.0, of_slices.1);
    for (call, version, seconds) in [(&service_watch, "8", "60"), (&slice_watch, "7", "15")] {
        assert!(call.is_watch() && !call.is_streaming_list());
        assert_eq!(call.query["allowWatchBookmarks"], "true");
        assert_eq!(call.query["resourceVersion"], version);
        assert_eq!(call.query["timeoutSeconds"], seconds);
    }
    let (slice_watch, _service_watch) = (
        slice_watch.answer_with_watch(),
        service_watch.answer_with_watch(),
    );
    slice_watch.event("MODIFIED", &slice("a", 8, &["a-0", "a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0", "a-1"]);
    slice_watch.event("ADDED", &slice("b", 9, &["b-0"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0", "a-1", "b-0"]);
    slice_watch.event("DELETED", &slice("a", 10, &["a-0", "a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["b-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lists_by_pages_unasked_is_followed() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        let first = json!({
            "metadata": { "continue": "more", "resourceVersion": "" },
            "items": [slice("a", 5, &["a-0"])],
        });
        let page = stage.slices.next_list().await;
        page.answer_with(200, &first.to_string());
        let page = stage.slices.next_list().await;
        assert_eq!(page.query["continue"], "more");
        page.answer_with_list(&[&slice("b", 6, &["b-0"])], 7);
        stage.slices.resume(7).await
    };
    let (names, watch) = futures::join!(next_names(&mut resolutions), server);
    assert_eq!(names, ["a-0", "b-0"]);
    watch.event("DELETED", &slice("a", 8, &["a-0"]));
    assert_eq!(next_names(&mut resolutions).await, ["b-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_the_same_however_it_was_cut_in_parts() {
    let text = server::list(&[&slice("a", 5, &["a-0"]), &slice("b", 6, &["b-0"])], 7).to_string();
    for length in [1, 7, 100, text.len()] {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let server = async {
            let body = stage.slices.next_list().await.answer_with_watch();
            for part in text.as_bytes().chunks(length) {
                body.raw(std::str::from_utf8(part).unwrap());
            }
            drop(body);
            stage.slices.resume(7).await
        };
        let (names, _watch) = futures::join!(next_names(&mut resolutions), server);
        assert_eq!(names, ["a-0", "b-0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_cut_off_is_none() {
    type End = fn(server::Watch);
    let ends: [(End, _); 2] = [
        (server::Watch::break_off, SourceErrorKind::Unavailable),
        (drop, SourceErrorKind::Corrupt),
    ];
    let text = server::list(&[&slice("a", 5, &["a-0"]), &slice("b", 6, &["b-0"])], 7).to_string();
    let second = text.rfind("targetRef").unwrap();
    for length in [0, 3, second, text.len() - 2] {
        for (end, kind) in ends {
            let (mut stage, cluster) = cluster_with_service();
            let mut resolutions = follow(&cluster);
            let server = async {
                let body = stage.slices.next_list().await.answer_with_watch();
                body.raw(&text[..length]);
                end(body);
            };
            let (error, ()) = futures::join!(next_error(&mut resolutions), server);
            assert_eq!(error.kind(), kind, "never a part of the list: {error}");
            let listed = [slice("a", 5, &["a-0"])];
            let list = stage.slices.list(&listed, 7);
            let (names, _watch) = futures::join!(next_names(&mut resolutions), list);
            assert_eq!(names, ["a-0"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_falls_silent_is_given_up() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let text = server::list(&[&slice("a", 5, &["a-0"])], 7).to_string();
    let parts: Vec<_> = text.as_bytes().chunks(text.len() / 3).collect();
    let part = |at: usize| std::str::from_utf8(parts[at]).unwrap();
    let server = async {
        let body = stage.slices.next_list().await.answer_with_watch();
        body.raw(part(0));
        body.closed().await;
        // One that is slow, and goes on all the same, is waited for.
        let body = stage.slices.next_list().await.answer_with_watch();
        for at in 0..parts.len() {
            body.raw(part(at));
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
    };
    let both = async {
        (
            next_error(&mut resolutions).await,
            next_names(&mut resolutions).await,
        )
    };
    let ((error, names), ()) = futures::join!(both, server);
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    assert!(error.to_string().contains("within 10s"), "{error}");
    assert_eq!(names, ["a-0"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_with_nil_items_is_an_empty_set() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        let nil = r#"{"kind":"EndpointSliceList","metadata":{"resourceVersion":"7"},"items":null}"#;
        stage.slices.next_list().await.answer_with(200, nil);
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
        ..
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
