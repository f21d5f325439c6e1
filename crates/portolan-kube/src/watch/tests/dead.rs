//! Watches that end, break, or say nothing any more.

use tokio::time::Instant;

use super::*;
use crate::WatchOptions;

/// A cluster that was listed at version 7 with the Pod `a-0`, and its watch.
async fn settled() -> (Stage, Cluster, Resolutions, server::Watch) {
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (names, watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
    (stage, cluster, resolutions, watch)
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_resumed_where_it_stopped() {
    let (mut stage, _cluster, mut resolutions, watch) = settled().await;
    watch.event("MODIFIED", &slice("a", 8, &["a-0", "a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0", "a-1"]);
    watch.bookmark(20);
    drop(watch);
    let watch = stage.slices.resume(20).await;
    watch.event("MODIFIED", &slice("a", 21, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
    watch.break_off();
    let watch = stage.slices.resume(21).await;
    watch.event("MODIFIED", &slice("a", 22, &["a-2"]));
    // An end, and a connection that breaks, are how the API works: neither is reported.
    assert_eq!(next_names(&mut resolutions).await, ["a-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_in_between_that_fails_takes_no_watch_away() {
    let (mut stage, cluster) = cluster_with_service();
    let options = WatchOptions::default()
        .idle_timeout(Duration::from_secs(3_600))
        .resync(Duration::from_secs(60));
    let mut resolutions = follow(&cluster.with_watch_options(options));
    let listed = [slice("a", 5, &["a-0"])];
    let (set, watch) = futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
    let start = Instant::now();
    let call = stage.slices.next_list().await;
    assert!((45..=60).contains(&start.elapsed().as_secs()));
    watch.closed().await;
    call.refuse(500, "busy");
    let watch = stage.slices.resume(7).await;
    next_error(&mut resolutions).await;
    assert!(next_set(&mut resolutions).await.is_same(&set));
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
    // It is tried again in its time.
    let start = Instant::now();
    let call = stage.slices.next_list().await;
    assert!((44..=60).contains(&start.elapsed().as_secs()));
    call.answer_with_list(&[&slice("b", 9, &["b-0"])], 9);
    assert_eq!(next_names(&mut resolutions).await, ["b-0"]);
    stage.slices.resume(9).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_cut_off_is_not_taken_and_not_lost() {
    let (mut stage, _cluster, mut resolutions, watch) = settled().await;
    watch.raw(r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"8","lab"#);
    drop(watch);
    let watch = stage.slices.resume(7).await;
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_dead_within_seconds_and_nothing_is_missed() {
    let (mut stage, _cluster, mut resolutions, dead) = settled().await;
    let start = Instant::now();
    let watch = stage.slices.resume(7).await;
    assert_eq!(start.elapsed().as_secs(), 20);
    dead.closed().await;
    // What happened while it was dead.
    watch.event("MODIFIED", &slice("a", 8, &["a-0", "a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-0", "a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_is_a_sign_of_life() {
    let (mut stage, _cluster, _resolutions, watch) = settled().await;
    // Not longer than the Service's watch may be silent, or that one is found dead.
    for version in 10..16 {
        tokio::time::sleep(Duration::from_secs(13)).await;
        watch.bookmark(version);
    }
    assert!(stage.slices.waiting().is_empty());
    drop(watch);
    stage.slices.resume(15).await;
}

#[tokio::test(start_paused = true)]
async fn when_the_slices_watch_is_dead_the_services_is_opened_anew() {
    let (server, client) = Server::start();
    let Server {
        mut services,
        mut slices,
        ..
    } = server;
    let mut resolutions = follow(&Cluster::from(client));
    let listed = [service(1)];
    let (_, _service_watch, _slice_watch) = futures::join!(
        next(&mut resolutions),
        services.list(&listed, 7),
        slices.list(&[], 7)
    );
    let start = Instant::now();
    let (_service_watch, _slice_watch) = futures::join!(services.resume(7), slices.resume(7));
    assert_eq!(
        start.elapsed().as_secs(),
        20,
        "though its own patience is 80 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_watch_at_once_is_not_hammered() {
    let (mut stage, _cluster, _resolutions, watch) = settled().await;
    drop(watch);
    let start = Instant::now();
    let mut asked = 0;
    while start.elapsed() < Duration::from_secs(60) {
        drop(stage.slices.resume(7).await);
        asked += 1;
    }
    // 1, 1, 1, 2, 4, 8, 16, 30 s, less their jitter.
    assert!((5..20).contains(&asked), "{asked} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_watches_after_a_while_is_asked_again_without_delay() {
    let (mut stage, _cluster, _resolutions, mut watch) = settled().await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        drop(watch);
        let start = Instant::now();
        watch = stage.slices.resume(7).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn gone_is_followed_by_a_list_after_a_jitter_and_reported_to_nobody() {
    let (mut stage, _cluster, mut resolutions, watch) = settled().await;
    watch.error(410, "too old resource version: 7 (9000)");
    let start = Instant::now();
    let watch = stage.slices.list(&[slice("b", 9001, &["b-0"])], 9002).await;
    let waited = start.elapsed();
    assert!(
        waited > Duration::ZERO && waited < Duration::from_secs(2),
        "{waited:?}"
    );
    assert_eq!(
        next_names(&mut resolutions).await,
        ["b-0"],
        "what is not in the list is gone"
    );
    // As an answer, not as an event.
    drop(watch);
    stage.slices.next().await.refuse(410, "Expired");
    stage.slices.list(&[slice("c", 9009, &["c-0"])], 9010).await;
    assert_eq!(next_names(&mut resolutions).await, ["c-0"]);
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_gone_together_do_not_list_together() {
    let mut moments = Vec::new();
    for _ in 0..20 {
        let (mut stage, _cluster, _resolutions, watch) = settled().await;
        watch.error(410, "Expired");
        let start = Instant::now();
        stage.slices.next().await;
        moments.push(start.elapsed());
    }
    let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
    assert!(*last - *first > Duration::from_millis(200), "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn gone_for_ever_is_not_a_busy_loop() {
    let (mut stage, _cluster, _resolutions, watch) = settled().await;
    watch.error(410, "Expired");
    let start = Instant::now();
    let mut asked = 0;
    while start.elapsed() < Duration::from_secs(60) {
        stage.slices.list(&[], 9).await.error(410, "Expired");
        asked += 1;
    }
    assert!((3..30).contains(&asked), "{asked} lists in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_from_a_backup_is_listed_anew() {
    let (mut stage, _cluster, mut resolutions, watch) = settled().await;
    drop(watch);
    let mut ahead = server::status(504, "Too large resource version: 7, current: 3");
    ahead["details"] =
        json!({ "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large" }] });
    stage
        .slices
        .next()
        .await
        .answer_with(504, &ahead.to_string());
    assert!(
        next_error(&mut resolutions)
            .await
            .to_string()
            .contains("Too large resource version")
    );
    let _watch = stage.slices.list(&[slice("a", 2, &["a-9"])], 3).await;
    assert_eq!(next_names(&mut resolutions).await, ["a-9"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_from_the_past_brings_nothing_back() {
    let (mut stage, _cluster, mut resolutions, watch) = settled().await;
    watch.event("MODIFIED", &slice("a", 9, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
    watch.event("MODIFIED", &slice("a", 8, &["a-0"]));
    let error = next_error(&mut resolutions).await;
    assert!(error.to_string().contains("version 8 after 9"), "{error}");
    let _watch = stage.slices.list(&[slice("a", 9, &["a-1"])], 9).await;
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn times_without_an_end_are_no_trouble() {
    let (mut stage, cluster) = cluster_with_service();
    let options = WatchOptions::default()
        .idle_timeout(Duration::MAX)
        .request_timeout(Duration::MAX)
        .backoff(Duration::MAX, Duration::MAX)
        .rewatch_interval(Duration::MAX)
        .resync(Duration::MAX);
    let mut resolutions = follow(&cluster.with_watch_options(options));
    let listed = [slice("a", 5, &["a-0"])];
    let (_, watch) = futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
    watch.event("MODIFIED", &slice("a", 8, &["a-1"]));
    assert_eq!(next_names(&mut resolutions).await, ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn patience_is_an_option() {
    let (server, client) = Server::start();
    let mut stage = server.with_service(service(1));
    let options = WatchOptions::default().idle_timeout(Duration::from_secs(4));
    let mut resolutions = follow(&Cluster::from(client).with_watch_options(options));
    let server = async {
        stage.slices.next_list().await.answer_with_list(&[], 7);
        let call = stage.slices.next().await;
        assert_eq!(call.query["timeoutSeconds"], "3");
        call.answer_with_watch()
    };
    let (_, _dead) = futures::join!(next(&mut resolutions), server);
    let start = Instant::now();
    stage.slices.resume(7).await;
    assert_eq!(start.elapsed().as_secs(), 4);
}
