//! Answers that send a request elsewhere.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use portolan::{
    BalancerBuilder, Error, ErrorKind, Follow, Misdirection, Sent, Told,
    affinity::{Affinity, header},
    http::HttpClient,
    policy::{Redirect, RoundRobin, Routes},
};

use crate::server::{Request, cluster, respond, serve};

/// Whom each server says that requests belong to; those it serves itself, it echoes.
#[derive(Clone, Default)]
struct Leader {
    header: Arc<Mutex<Option<(String, u64)>>>,
    asked: Arc<AtomicUsize>,
}

impl Leader {
    fn is(&self, name: &str, epoch: u64) {
        *self.header.lock().unwrap() = Some((name.to_owned(), epoch));
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    async fn server(&self, name: &'static str) -> SocketAddr {
        let this = self.clone();
        serve(move |request: Request| {
            let this = this.clone();
            async move {
                this.asked.fetch_add(1, Ordering::Relaxed);
                let leader = this.header.lock().unwrap().clone();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let echo = format!("{name}: {}", String::from_utf8_lossy(&body));
                let mut response = respond(Full::from(echo));
                if let Some((leader, epoch)) = leader
                    && leader != name
                {
                    *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
                    response
                        .headers_mut()
                        .insert("x-leader", leader.parse().unwrap());
                    response.headers_mut().insert("x-epoch", epoch.into());
                }
                response
            }
        })
        .await
    }

    async fn three(&self) -> BalancerBuilder {
        let names = ["orders-0", "orders-1", "orders-2"];
        let mut addresses = Vec::new();
        for name in names {
            addresses.push(self.server(name).await);
        }
        let service = cluster(addresses).service("orders.shop").unwrap();
        service.policy(RoundRobin::new())
    }
}

fn classify(status: StatusCode, headers: &HeaderMap) -> Option<Told> {
    let leader = headers.get("x-leader")?.to_str().ok()?;
    let epoch = headers.get("x-epoch")?.to_str().ok()?.parse().ok()?;
    let redirect = Redirect::to_pod(leader).at_epoch(epoch);
    Some(match status {
        StatusCode::MISDIRECTED_REQUEST => Told::Elsewhere(redirect),
        _ => Told::NextTime(redirect),
    })
}

fn by_key() -> Affinity {
    header("x-key").into()
}

async fn put(
    client: &HttpClient,
    key: &str,
    body: impl Into<Bytes>,
) -> Result<(StatusCode, String), Error> {
    let request = http::Request::put("/").header("x-key", key);
    let response = client
        .send(request.body(Full::new(body.into())).unwrap())
        .await?;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn a_request_is_sent_on_whole_and_the_way_is_remembered() {
    let leader = Leader::default();
    leader.is("orders-2", 1);
    let routes = Routes::by_key();
    let builder = leader.three().await.policy(routes.over(RoundRobin::new()));
    let refreshed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refreshed);
    let follow = Follow::new()
        .remember_in(&routes)
        .refresh(Duration::from_secs(3600), move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
    let client = builder
        .http()
        .affinity(by_key())
        .follow(follow, classify)
        .build()
        .unwrap();
    for key in ["a", "b", "c"] {
        for nth in 0..4 {
            let (status, answer) = put(&client, key, format!("{key}{nth}")).await.unwrap();
            assert_eq!(
                (status.as_u16(), answer),
                (200, format!("orders-2: {key}{nth}"))
            );
        }
        // One of them was sent on, unless all came to the leader by turns.
        assert!((4..=5).contains(&leader.asked()));
    }
    assert_eq!(refreshed.load(Ordering::Relaxed), 1);
    // The leader moves on. What is remembered is wrong once for each key, and then right.
    leader.is("orders-0", 2);
    for asked in [2, 1] {
        assert_eq!(put(&client, "a", "x").await.unwrap().1, "orders-0: x");
        assert_eq!(leader.asked(), asked);
    }
    let in_flight = client.observe().view();
    let in_flight = in_flight
        .endpoints()
        .iter()
        .map(|one| one.state.in_flight());
    assert_eq!(in_flight.sum::<u32>(), 0);
}

#[tokio::test]
async fn strangers_are_not_asked_and_circles_end() {
    let leader = Leader::default();
    let client = leader
        .three()
        .await
        .http()
        .follow(Follow::new(), classify)
        .build()
        .unwrap();
    leader.is("evil.example.com", 1);
    let error = put(&client, "a", "x").await.unwrap_err();
    let misdirected = |error: &Error| match error.kind() {
        ErrorKind::Misdirected { because, .. } => Some(*because),
        _ => None,
    };
    assert_eq!(misdirected(&error), Some(Misdirection::Stranger), "{error}");
    let text = error.to_string();
    let says =
        " says that the request belongs to evil.example.com in epoch 1, which is no endpoint";
    assert!(text.contains("orders-") && text.contains(says), "{text}");
    assert_eq!(leader.asked(), 1);

    // Each says that it is another one.
    let says = |to: &'static str| async move {
        serve(move |_: Request| async move {
            let mut response = respond(Full::from(""));
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            let location = format!("http://{to}/");
            response
                .headers_mut()
                .insert("location", location.parse().unwrap());
            response
        })
        .await
    };
    let addresses = [says("orders-1").await, says("orders-0").await];
    let builder = cluster(addresses).service("orders.shop").unwrap().http();
    let client = builder
        .follow(Follow::new(), portolan::http::by_location)
        .build()
        .unwrap();
    let error = put(&client, "a", "x").await.unwrap_err();
    assert_eq!(
        misdirected(&error),
        Some(Misdirection::TooManyHops),
        "{error}"
    );
    let requests: u64 = client
        .observe()
        .view()
        .endpoints()
        .iter()
        .map(|one| one.state.requests())
        .sum();
    assert_eq!(requests, 6, "the first one, and five that were sent on");
}

#[tokio::test]
async fn what_cannot_be_sent_again_gets_the_answer_there_was() {
    let leader = Leader::default();
    leader.is("orders-2", 1);
    let builder = leader.three().await.http().replay_limit(10);
    let client = builder.follow(Follow::new(), classify).build().unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let (status, answer) = put(&client, "a", "more than ten bytes").await.unwrap();
        assert!(answer.ends_with(": more than ten bytes"), "{answer}");
        statuses.push(status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 421, 421]);
}

#[tokio::test]
async fn an_answer_may_say_who_is_to_be_asked_the_next_time() {
    let leader = Leader::default();
    let routes = Routes::by_key();
    let builder = leader.three().await.policy(routes.over(RoundRobin::new()));
    let follow = Follow::new().remember_in(&routes);
    let says = |_: StatusCode, _: &HeaderMap| Some(Told::NextTime(Redirect::to_pod("orders-1")));
    let client = builder
        .http()
        .affinity(by_key())
        .follow(follow, says)
        .build()
        .unwrap();
    put(&client, "a", "x").await.unwrap();
    for _ in 0..5 {
        assert_eq!(put(&client, "a", "x").await.unwrap().1, "orders-1: x");
    }
    assert_eq!(leader.asked(), 6);
}

#[tokio::test]
async fn where_it_was_sent_on_to_fails_the_policy_is_asked_again() {
    let leader = Leader::default();
    let gone = crate::server::nowhere().await;
    let addresses = [leader.server("orders-0").await, gone];
    leader.is("orders-1", 1);
    let builder = cluster(addresses).service("orders.shop").unwrap();
    let builder = builder
        .wait(portolan::Wait::FailFast)
        .policy(RoundRobin::new());
    let client = builder
        .http()
        .follow(Follow::new(), classify)
        .build()
        .unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(10), put(&client, "a", "x")).await;
    let error = asked.unwrap().unwrap_err();
    let unreachable = error
        .attempts()
        .iter()
        .any(|one| one.sent == Sent::Unreachable);
    assert!(
        unreachable || matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_out_of_date_is_not_followed() {
    let leader = Leader::default();
    leader.is("orders-2", 5);
    let routes = Routes::by_key();
    let builder = leader.three().await.policy(routes.over(RoundRobin::new()));
    let follow = Follow::new().remember_in(&routes);
    let client = builder
        .http()
        .affinity(by_key())
        .follow(follow, classify)
        .build()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(put(&client, "a", "x").await.unwrap().1, "orders-2: x");
    }
    // All of a sudden it says what was true two epochs ago.
    leader.is("orders-1", 3);
    let before = requests_of(&client, "orders-1");
    let error = put(&client, "a", "x").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Misdirected { .. }),
        "{error}"
    );
    assert_eq!(requests_of(&client, "orders-1"), before);
}

fn requests_of(client: &HttpClient, name: &str) -> u64 {
    let view = client.observe().view();
    let one = view
        .endpoints()
        .iter()
        .find(|one| one.endpoint.placement().as_str() == name);
    one.unwrap().state.requests()
}

#[tokio::test]
async fn a_write_is_not_sent_on_to_a_replica() {
    use portolan::policy::{Epoch, Leadership, PrimaryReplica};

    let leader = Leader::default();
    let leadership = Leadership::new();
    leadership.announce(portolan::Placement::new("orders-1"), Epoch::new(7));
    let routes = Routes::by_key();
    let policy = routes.over(PrimaryReplica::by_leadership(&leadership));
    let builder = leader.three().await.policy(policy);
    let follow = Follow::new().remember_in(&routes);
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    // The primary says that a replica is the primary, in whatever epoch.
    leader.is("orders-0", 99);
    let affinity = by_key().intent_by_method();
    let client = builder
        .http()
        .affinity(affinity)
        .follow(follow, classify)
        .learn(move |endpoint, headers| {
            assert_eq!(endpoint.placement().as_str(), "orders-1");
            count.fetch_add(headers.len().min(1), Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let error = put(&client, "a", "x").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Misdirected { .. }),
        "{error}"
    );
    assert_eq!(requests_of(&client, "orders-0"), 0);
    // Whoever learns from heads sees those of answers that send a request on, too.
    assert_eq!(heard.load(Ordering::Relaxed), 6);
}
