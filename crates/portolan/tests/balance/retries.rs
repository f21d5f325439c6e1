//! What is sent again, to whom, and when.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan::{
    Cluster, Endpoint, ErrorKind, Placement, Resolution, Sent, policy::RoundRobin, source::channel,
};
use tower::ServiceExt;

use crate::{
    cluster_of, endpoint, present,
    scripted::{Scripted, only_db_2},
};

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_tried_on_each_other_endpoint_once() {
    for sent in [Sent::No, Sent::Unreachable] {
        for _ in 0..50 {
            let (_teller, cluster) = cluster_of(0..6);
            let calls = Arc::default();
            let service = cluster
                .service("db")
                .unwrap()
                .build_with(only_db_2(sent, Arc::clone(&calls)), Scripted)
                .unwrap();
            assert_eq!(service.oneshot(7).await.unwrap(), 7);
            let mut calls = calls.lock().unwrap().clone();
            assert_eq!(calls.pop().as_deref(), Some("db-2"));
            let tried = calls.len();
            calls.sort();
            calls.dedup();
            assert_eq!(calls.len(), tried, "one endpoint was tried twice");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_not_sent_again_unless_it_is_idempotent() {
    let (_teller, cluster) = cluster_of([0, 1]);
    let calls = Arc::default();
    let service = cluster
        .service("db")
        .unwrap()
        .build_with(only_db_2(Sent::Maybe, Arc::clone(&calls)), Scripted)
        .unwrap();
    let error = service.clone().oneshot(7).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.attempts().len(), 1);
    assert!(!error.is_unsent());

    let error = service.oneshot(100).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.attempts().len(), 2);
    let said = error.to_string();
    assert!(said.contains("db-0 (127.0.0.1:1): refused"), "{said}");
    assert!(said.contains("db-1 (127.0.0.1:2): refused"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn when_all_are_out_of_reach_a_request_waits_for_one_that_is_not() {
    let (teller, cluster) = cluster_of([0, 1]);
    let service = cluster
        .service("db")
        .unwrap()
        .build_with(only_db_2(Sent::Unreachable, Arc::default()), Scripted)
        .unwrap();
    let request = tokio::spawn(service.oneshot(7));
    tokio::time::sleep(Duration::from_secs(1)).await;
    teller.tell(present([0, 1, 2]));
    assert_eq!(request.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn when_more_are_out_of_reach_than_are_tried_a_request_waits_as_well() {
    let others = || (0..40).filter(|ordinal| *ordinal != 2);
    let (teller, cluster) = cluster_of(others());
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let service = cluster
        .service("db")
        .unwrap()
        .build_with(only_db_2(Sent::Unreachable, Arc::clone(&calls)), Scripted)
        .unwrap();
    // Nobody listens there, as whoever dials them finds.
    let request = tokio::spawn(service.clone().oneshot(7));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!request.is_finished());
    teller.tell(present(0..40));
    assert_eq!(request.await.unwrap().unwrap(), 7);
    // It does not wait for ever, nor ask for ever.
    teller.tell(present(others()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    calls.lock().unwrap().clear();
    let began = tokio::time::Instant::now();
    let error = service.oneshot(7).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Exhausted);
    assert!(began.elapsed() <= Duration::from_millis(5_010));
    assert!(calls.lock().unwrap().len() <= 64);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_out_of_reach_is_left_alone_until_it_is_reached() {
    // db-2 answers; nothing listens where db-0 is said to be, and the driver finds that out.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let live = listener.local_addr().unwrap();
    drop(listener);
    let (teller, source) = channel();
    let endpoints = [Endpoint::new(Placement::new("db-0"), live), endpoint(2)];
    teller.tell(Resolution::Present(endpoints.into_iter().collect()));
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let service = Cluster::from_source(source)
        .service("db")
        .unwrap()
        .policy(RoundRobin::new())
        .build_with(only_db_2(Sent::Unreachable, Arc::clone(&calls)), Scripted)
        .unwrap();
    let count = |calls: &Mutex<Vec<String>>| {
        calls
            .lock()
            .unwrap()
            .iter()
            .filter(|one| *one == "db-0")
            .count()
    };
    for _ in 0..100 {
        service.clone().oneshot(1).await.unwrap();
        tokio::task::yield_now().await;
    }
    let before = count(&calls);
    assert!(before <= 2, "db-0 was asked {before} times");
    // It comes back: a probe finds it, and the next requests go there again.
    let _listener = tokio::net::TcpListener::bind(live).await.unwrap();
    for _ in 0..60_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        service.clone().oneshot(1).await.unwrap();
        if count(&calls) > before {
            return;
        }
    }
    panic!("db-0 was never tried again");
}
