//! An API server that fails, refuses, or talks nonsense.

use portolan_core::SourceErrorKind::{self, Corrupt, Forbidden, Unauthenticated, Unavailable};
use tokio::time::Instant;

use super::*;
use crate::rbac;

const FORBIDDEN: &str = "endpointslices.discovery.k8s.io is forbidden: User \
    \"system:serviceaccount:web:front\" cannot watch resource \"endpointslices\" in API group \
    \"discovery.k8s.io\" in the namespace \"shop\"";

#[tokio::test(start_paused = true)]
async fn an_outage_is_said_once_and_so_is_its_end() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (set, watch) = futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
    watch.break_off();
    let start = Instant::now();
    for _ in 0..8 {
        drop(stage.slices.next().await); // connection refused
    }
    assert!(
        start.elapsed() > Duration::from_secs(10),
        "each attempt waits longer"
    );
    let error = next_error(&mut resolutions).await;
    assert_eq!(error.kind(), Unavailable);
    assert_eq!(
        error.to_string(),
        "the API server cannot be reached, asked for endpointslices of Service `orders` in namespace \
         `shop`: connection refused"
    );
    let call = stage.slices.next().await;
    silence(&mut resolutions, Duration::from_millis(1)).await;
    let watch = call.answer_with_watch();
    // Without any event: that the watch is open again is enough.
    let again = next_set(&mut resolutions).await;
    assert!(again.is_same(&set), "nothing was lost");
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
    // After the success the backoff begins anew.
    tokio::time::sleep(Duration::from_secs(5)).await;
    watch.break_off();
    drop(stage.slices.next().await);
    let start = Instant::now();
    drop(stage.slices.next().await);
    assert!(
        start.elapsed() <= Duration::from_millis(252),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_is_slow_to_look_sees_the_last_good_set_before_the_failure() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    // Only the first poll, which starts the watch.
    silence(&mut resolutions, Duration::from_millis(1)).await;
    let watch = stage.slices.list(&[slice("a", 5, &["a-0"])], 7).await;
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    watch.break_off();
    drop(stage.slices.next().await);
    let _pending = stage.slices.next().await;
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
    assert_eq!(next_error(&mut resolutions).await.kind(), Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let start = Instant::now();
    let error = next_error(&mut resolutions).await;
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(error.kind(), Unavailable);
    assert!(
        error.to_string().contains("did not answer within 10s"),
        "{error}"
    );
    let hung = stage.slices.next().await;
    let listed = [slice("a", 5, &["a-0"])];
    let (names, _watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
    hung.refuse(500, "too late");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named_with_the_role_to_apply() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async { stage.slices.next().await.refuse(403, FORBIDDEN) };
    let (error, ()) = futures::join!(next_error(&mut resolutions), server);
    assert_eq!(error.kind(), Forbidden);
    let text = error.to_string();
    let start =
        "`system:serviceaccount:web:front` may not watch endpointslices in namespace `shop`.";
    assert!(text.starts_with(start), "{text}");
    let role = rbac::role_for("shop", Some("system:serviceaccount:web:front"));
    assert!(text.ends_with(&role), "{text}");
    // Once it is granted, it goes on by itself.
    let listed = [slice("a", 5, &["a-0"])];
    let (names, _watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_permission_to_read_services_the_slices_are_enough() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
        ..
    } = server;
    let cluster = Cluster::from(client);
    let mut resolutions = follow(&cluster);
    let forbidden = "services is forbidden: User \"u\" cannot watch resource \"services\"";
    let refused = async { services.next().await.refuse(403, forbidden) };
    let listed = [slice("a", 5, &["a-0"])];
    let (names, (), _watch) = futures::join!(
        next_names(&mut resolutions),
        refused,
        slices.list(&listed, 7)
    );
    assert_eq!(names, ["a-0"]);
    // The number of a port is written in the Service alone.
    let error = next_error(&mut cluster.watch(&"orders:80".parse().unwrap())).await;
    assert_eq!(error.kind(), Forbidden);
    assert!(
        error
            .to_string()
            .starts_with("`u` may not watch services in namespace `shop`."),
        "{error}"
    );
    // It is granted later, and the Service is not there: now that can be told.
    let (resolution, _watch) = futures::join!(next(&mut resolutions), services.list(&[], 9));
    assert!(matches!(resolution, Resolution::Absent), "{resolution:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_read_is_known_whatever_is_refused_later() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
        ..
    } = server;
    // Only the Service knows the number of its port.
    let mut resolutions = Cluster::from(client).watch(&"orders:80".parse().unwrap());
    let (service_list, slice_list) = ([service(1)], [slice("a", 5, &["a-0"])]);
    let (set, service_watch, slice_watch) = futures::join!(
        next_set(&mut resolutions),
        services.list(&service_list, 7),
        slices.list(&slice_list, 7)
    );
    drop(service_watch);
    let forbidden = "services is forbidden: User \"u\" cannot watch resource \"services\"";
    services.next().await.refuse(403, forbidden);
    assert_eq!(next_error(&mut resolutions).await.kind(), Forbidden);
    let _service_watch = services.resume(7).await;
    assert!(next_set(&mut resolutions).await.is_same(&set));
    slice_watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_told_apart_and_its_renewal_is_noticed() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (set, watch) = futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
    drop(watch);
    stage.slices.next().await.refuse(401, "Unauthorized");
    assert_eq!(next_error(&mut resolutions).await.kind(), Unauthenticated);
    stage.slices.next().await.refuse(401, "Unauthorized");
    let _watch = stage.slices.resume(7).await;
    assert!(next_set(&mut resolutions).await.is_same(&set));
}

#[tokio::test(start_paused = true)]
async fn another_reason_is_said_anew_and_the_same_is_not() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let kinds = async {
        let mut kinds: Vec<SourceErrorKind> = Vec::new();
        for _ in 0..3 {
            kinds.push(next_error(&mut resolutions).await.kind());
        }
        kinds
    };
    let server = async {
        for code in [500, 500, 401, 401, 403, 403] {
            stage.slices.next().await.refuse(code, "no");
        }
    };
    let (kinds, ()) = futures::join!(kinds, server);
    assert_eq!(kinds, [Unavailable, Unauthenticated, Forbidden]);
    silence(&mut resolutions, Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_server_may_ask_for_a_pause() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        let mut busy = server::status(429, "Too many requests, please try again later.");
        busy["details"] = json!({ "retryAfterSeconds": 7 });
        stage
            .slices
            .next()
            .await
            .answer_with(429, &busy.to_string());
        let start = Instant::now();
        stage.slices.next().await;
        start.elapsed()
    };
    let (error, paused) = futures::join!(next_error(&mut resolutions), server);
    assert_eq!(error.kind(), Unavailable);
    assert_eq!(paused.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_said_to_be_nonsense_and_takes_nothing_away() {
    let events = [
        "this is not JSON\n",
        "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":7}}}\n",
        "{\"type\":\"EXPLODED\",\"object\":{}}\n",
        "{\"type\":\"MODIFIED\"}\n",
        "[]\n",
        "\u{0}\u{1}\n",
    ];
    for event in events {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let listed = [slice("a", 5, &["a-0"])];
        let (set, watch) =
            futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
        watch.raw(event);
        let error = next_error(&mut resolutions).await;
        assert_eq!(error.kind(), Corrupt, "{event:?}");
        assert!(
            error
                .to_string()
                .contains("Service `orders` in namespace `shop`"),
            "{error}"
        );
        // The event is lost, so everything is asked anew.
        let _watch = stage.slices.list(&listed, 8).await;
        assert!(next_set(&mut resolutions).await.is_same(&set));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_nonsense_takes_nothing_away() {
    let answers = [
        "<html>It works!</html>",
        "{}",
        r#"{"metadata":{"resourceVersion":"8"},"items":[{"metadata":{}},7]}"#,
        r#"{"metadata":{"resourceVersion":"8"},"items":[{"metadata":{}} {"metadata":{}}]}"#,
        r#"{"metadata":{"resourceVersion":"8"},"items":[{"metadata":{}},]}"#,
        r#"{"metadata":{"resourceVersion":"8"},"items":[]}<html>"#,
        r#"{"metadata":{"resourceVersion":""},"items":[]}"#,
        r#"{"metadata":null,"items":"many"}"#,
        "",
    ];
    for answer in answers {
        let (mut stage, cluster) = cluster_with_service();
        let mut resolutions = follow(&cluster);
        let listed = [slice("a", 5, &["a-0"])];
        let (set, watch) =
            futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
        watch.error(410, "Expired");
        stage.slices.next().await.answer_with(200, answer);
        let error = next_error(&mut resolutions).await;
        assert_eq!(error.kind(), Corrupt, "{answer:?}: {error}");
        stage
            .slices
            .next()
            .await
            .answer_with_list(&[&slice("a", 5, &["a-0"])], 8);
        assert!(next_set(&mut resolutions).await.is_same(&set));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_end_is_given_up() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let server = async {
        let endless =
            json!({ "metadata": { "continue": "more", "resourceVersion": "7" }, "items": [] });
        loop {
            stage
                .slices
                .next()
                .await
                .answer_with(200, &endless.to_string());
        }
    };
    tokio::select! {
        error = next_error(&mut resolutions) => assert!(error.to_string().contains("without an end"), "{error}"),
        () = server => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_page_of_a_proxy_is_cut_and_escaped() {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let page = format!("<html>\u{1b}[31m{}</html>", "Bad Gateway ".repeat(1_000));
    let server = async { stage.slices.next().await.answer_with(502, &page) };
    let (error, ()) = futures::join!(next_error(&mut resolutions), server);
    let text = error.to_string();
    assert!(
        text.contains("failed with 502") && text.contains("Bad Gateway") && text.len() < 600,
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_either_watch_is_a_failure_until_both_are_well() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
        ..
    } = server;
    let mut resolutions = follow(&Cluster::from(client));
    let (service_list, slice_list) = ([service(1)], [slice("a", 5, &["a-0"])]);
    let (set, service_watch, slice_watch) = futures::join!(
        next_set(&mut resolutions),
        services.list(&service_list, 7),
        slices.list(&slice_list, 7)
    );
    let of_the_service =
        |error: SourceError| error.to_string().contains("asked for Service `orders`");
    service_watch.break_off();
    drop(services.next().await);
    assert!(of_the_service(next_error(&mut resolutions).await));
    slice_watch.event("MODIFIED", &slice("a", 8, &["a-0", "a-1"]));
    assert_eq!(
        next_names(&mut resolutions).await,
        ["a-0", "a-1"],
        "what is learnt is said"
    );
    assert!(
        of_the_service(next_error(&mut resolutions).await),
        "and that it is not all"
    );
    let _service_watch = services.resume(7).await;
    assert_ne!(next_set(&mut resolutions).await, set);
}
