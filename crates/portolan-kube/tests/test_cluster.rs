//! Discovery against `portolan-test`: a whole cluster in this process, whose controllers write the
//! slices as the real ones do, under paused time.

#![cfg(test)]

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::{discovery::v1::EndpointSlice, rbac::v1::Role};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use portolan_core::{EndpointSet, Resolution, Source as _, SourceError, SourceErrorKind};
use portolan_kube::{Cluster, WatchOptions, kube};
use portolan_test::{Corruption, TestCluster, User, Verb};
use serde_json::json;
use tokio::time::timeout;

type Resolutions = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

fn watch(client: Client, service: &str) -> Resolutions {
    Cluster::from(client).watch(&service.parse().unwrap())
}

async fn next(resolutions: &mut Resolutions) -> Resolution {
    let patience = Duration::from_secs(300);
    timeout(patience, resolutions.next())
        .await
        .expect("nothing came")
        .expect("the stream ended")
}

/// The first set that has these placements; sets on the way there are passed over, failures too.
async fn until(resolutions: &mut Resolutions, names: &[&str]) -> EndpointSet {
    loop {
        if let Resolution::Present(set) = next(resolutions).await {
            let found: Vec<_> = set
                .iter()
                .map(|endpoint| endpoint.placement().as_str())
                .collect();
            if found == names && set.iter().all(|endpoint| endpoint.conditions().is_ready()) {
                return set;
            }
        }
    }
}

async fn until_failed(resolutions: &mut Resolutions) -> SourceError {
    loop {
        if let Resolution::Failed(error) = next(resolutions).await {
            return error;
        }
    }
}

async fn until_absent(resolutions: &mut Resolutions) {
    while !matches!(next(resolutions).await, Resolution::Absent) {}
}

/// A Service without a selector, with one slice that was made by hand.
async fn by_hand(cluster: &TestCluster) {
    let service = cluster
        .service("shop", "orders")
        .port("http", 80)
        .without_selector();
    service.create().await.unwrap();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": "by-hand", "labels": { "kubernetes.io/service-name": "orders" } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": [{ "addresses": ["10.0.0.1"], "targetRef": { "kind": "Pod", "name": "a", "uid": "u-a" } }],
    });
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client(), "shop");
    slices.create(&PostParams::default(), &slice).await.unwrap();
    cluster.requests().reset();
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_through_its_life() {
    let cluster = TestCluster::start().await.unwrap();
    let mut resolutions = watch(cluster.client(), "db.shop:http");
    assert!(matches!(next(&mut resolutions).await, Resolution::Absent));

    let service = cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let db = cluster
        .stateful_set("shop", "db", 3)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let set = until(&mut resolutions, &["db-0", "db-1", "db-2"]).await;
    for (ordinal, endpoint) in (0..).zip(set.iter()) {
        assert_eq!(endpoint.ordinal(), Some(ordinal));
        assert_eq!(endpoint.pod(), Some(endpoint.placement().as_str()));
        assert_eq!(endpoint.address().port(), 8080);
        assert!(endpoint.uid().is_some() && endpoint.node().is_some() && endpoint.zone().is_some());
    }
    db.scale(6).await.unwrap();
    let six = until(
        &mut resolutions,
        &["db-0", "db-1", "db-2", "db-3", "db-4", "db-5"],
    )
    .await;
    db.roll().await.unwrap();
    let rolled = loop {
        let set = until(
            &mut resolutions,
            &["db-0", "db-1", "db-2", "db-3", "db-4", "db-5"],
        )
        .await;
        if set
            .iter()
            .zip(six.iter())
            .all(|(after, before)| after.uid() != before.uid())
        {
            break set;
        }
    };
    assert_eq!(rolled.len(), 6);
    db.scale(2).await.unwrap();
    until(&mut resolutions, &["db-0", "db-1"]).await;
    db.scale(0).await.unwrap();
    until(&mut resolutions, &[]).await;
    db.scale(1).await.unwrap();
    until(&mut resolutions, &["db-0"]).await;

    service.delete().await.unwrap();
    until_absent(&mut resolutions).await;
    cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    until(&mut resolutions, &["db-0"]).await;
}

#[tokio::test(start_paused = true)]
async fn one_watch_for_any_number_of_streams_and_none_after_the_last() {
    let cluster = TestCluster::start().await.unwrap();
    by_hand(&cluster).await;
    let source = Cluster::from(cluster.client());
    let mut streams: Vec<Resolutions> = (0..10)
        .map(|_| source.watch(&"orders.shop:http".parse().unwrap()))
        .collect();
    for stream in &mut streams {
        until(stream, &["a"]).await;
    }
    let requests = cluster.requests();
    assert_eq!(
        (
            requests.open_watches("endpointslices"),
            requests.open_watches("services")
        ),
        (1, 1)
    );
    assert_eq!(
        requests.count(Verb::Watch, "endpointslices"),
        1,
        "the list and the watch are one request"
    );
    assert_eq!(requests.watches()[0].namespace, "shop");
    // Hours in which nothing happens.
    requests.reset();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(
        requests.count(Verb::List, "endpointslices"),
        0,
        "no list is ever needed again"
    );
    let asked = requests.total();
    assert!(
        asked <= 3_600 / 15 + 3_600 / 60 + 1,
        "{asked} requests in an hour"
    );
    streams.clear();
    while requests.open_watches("endpointslices") + requests.open_watches("services") > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_through_any_fault_of_the_api() {
    let cluster = TestCluster::start().await.unwrap();
    cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let db = cluster
        .stateful_set("shop", "db", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let faults = cluster.faults();
    let mut resolutions = watch(cluster.client(), "db.shop:http");
    let mut good = until(&mut resolutions, &["db-0"]).await;
    // Each fault, with a change behind the client's back that it must find out about.
    for round in 0..40 {
        match round % 10 {
            0 => faults.api_down(),
            1 => faults.hang_api(),
            2 => faults.cut_watches(),
            3 => faults.end_watches(),
            4 => {
                faults.compact();
                faults.cut_watches();
            }
            5 => faults.corrupt_next_answer(Corruption::Garbage),
            6 => faults.corrupt_next_answer(Corruption::WrongTypes),
            7 => faults.corrupt_next_answer(Corruption::Truncated),
            8 => {
                faults.double_events();
                faults.delay_events(Duration::from_secs(3));
            }
            _ => {
                faults.answer_status(http::StatusCode::SERVICE_UNAVAILABLE, 4);
                faults.cut_watches();
            }
        }
        let names: &[&str] = if round % 2 == 0 {
            &["db-0", "db-1", "db-2"]
        } else {
            &["db-0"]
        };
        db.scale(names.len().try_into().unwrap()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(40)).await;
        faults.heal();
        let set = until(&mut resolutions, names).await;
        assert!(
            std::sync::Arc::ptr_eq(&set[0], &good[0]),
            "`db-0` never changed"
        );
        good = set;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_lost_is_made_up_for_where_that_is_asked_for() {
    for lists_stream in [true, false] {
        let cluster = TestCluster::start().await.unwrap();
        by_hand(&cluster).await;
        let options = WatchOptions::default().resync(Duration::from_secs(600));
        let source = Cluster::from(cluster.client()).with_watch_options(options);
        let never = Cluster::from(cluster.client());
        let service = "orders.shop:http".parse().unwrap();
        if !lists_stream {
            let refused = http::StatusCode::UNPROCESSABLE_ENTITY;
            cluster.faults().answer_status(refused, 2);
        }
        let mut resolutions = source.watch(&service);
        let set = until(&mut resolutions, &["a"]).await;
        let mut unhealed = never.watch(&service);
        until(&mut unhealed, &["a"]).await;
        // The slice goes, and nobody is told.
        cluster.faults().drop_events(2);
        let slices: Api<EndpointSlice> = Api::namespaced(cluster.client(), "shop");
        slices
            .delete("by-hand", &DeleteParams::default())
            .await
            .unwrap();
        let start = tokio::time::Instant::now();
        let healed = timeout(Duration::from_secs(700), resolutions.next()).await;
        let Ok(Some(Resolution::Present(none))) = healed else {
            panic!("{healed:?}");
        };
        assert!(none.is_empty());
        let healed_after = start.elapsed().as_secs();
        assert!((450..=601).contains(&healed_after), "{healed_after} s");
        assert_eq!(set.len(), 1);
        let still = timeout(Duration::from_secs(3_600), unhealed.next()).await;
        assert!(
            still.is_err(),
            "the default trusts the API server: {still:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_and_takes_nothing_away() {
    let cluster = TestCluster::start().await.unwrap();
    by_hand(&cluster).await;
    let mut resolutions = watch(cluster.client(), "orders.shop:http");
    let set = until(&mut resolutions, &["a"]).await;
    cluster.faults().api_down();
    assert_eq!(
        until_failed(&mut resolutions).await.kind(),
        SourceErrorKind::Unavailable
    );
    cluster.faults().api_up();
    let again = until(&mut resolutions, &["a"]).await;
    assert!(again.is_same(&set));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_api_server_is_noticed_in_seconds() {
    let cluster = TestCluster::start().await.unwrap();
    by_hand(&cluster).await;
    let options = WatchOptions::default()
        .idle_timeout(Duration::from_secs(5))
        .request_timeout(Duration::from_secs(2));
    let source = Cluster::from(cluster.client()).with_watch_options(options);
    let mut resolutions = source.watch(&"orders.shop:http".parse().unwrap());
    let set = until(&mut resolutions, &["a"]).await;
    cluster.faults().hang_api();
    let start = tokio::time::Instant::now();
    let error = until_failed(&mut resolutions).await;
    assert!(
        error.to_string().contains("did not answer within 2s"),
        "{error}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    cluster.faults().api_up();
    assert!(until(&mut resolutions, &["a"]).await.is_same(&set));
}

#[tokio::test(start_paused = true)]
async fn the_role_that_a_refusal_prints_is_the_one_that_is_missing() {
    const NAME: &str = "system:serviceaccount:web:front";
    let cluster = TestCluster::start().await.unwrap();
    by_hand(&cluster).await;
    let nobody = cluster.sign_in(User::new(NAME));
    let error = until_failed(&mut watch(cluster.client_as(&nobody), "orders.shop:http")).await;
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
    let text = error.to_string();
    let start = format!("`{NAME}` may not list endpointslices in namespace `shop`");
    assert!(text.starts_with(&start), "{text}");

    let manifest = text.get(text.find("apiVersion:").unwrap()..).unwrap();
    let role: Role = serde_saphyr::from_str(manifest.split("\n---\n").next().unwrap()).unwrap();
    let namespace = role.metadata.namespace.clone().unwrap();
    let somebody = User::new(NAME)
        .rules_in(namespace, &serde_json::to_value(role).unwrap())
        .unwrap();
    let somebody = cluster.sign_in(somebody);
    until(
        &mut watch(cluster.client_as(&somebody), "orders.shop:http"),
        &["a"],
    )
    .await;
    // And not one namespace further.
    let error = until_failed(&mut watch(
        cluster.client_as(&somebody),
        "orders.billing:http",
    ))
    .await;
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_told() {
    let cluster = TestCluster::start().await.unwrap();
    by_hand(&cluster).await;
    let token = cluster.rotate(cluster.admin_token());
    let mut resolutions = watch(cluster.client_as(&token), "orders.shop:http");
    until(&mut resolutions, &["a"]).await;
    cluster.expire(&token);
    // The open watch goes on for as long as it is open.
    assert_eq!(
        until_failed(&mut resolutions).await.kind(),
        SourceErrorKind::Unauthenticated
    );
}
