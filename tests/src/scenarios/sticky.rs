//! Clients that stay with one Pod: by sessions of their own, or since the Service says so.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder, Nodes, Placement,
    http::HttpClient,
    policy::{ClientAffinity, RoundRobin},
    sticky::{Moved, SigningKey, Sticky},
};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    arena::Arena,
    caller::{self, Answer},
    failure::{Failure, Result},
};

const TOKEN: &str = "x-session";
const BROWSERS: usize = 12;

/// Somebody with a session.
#[derive(Clone)]
struct Browser {
    client: HttpClient,
    token: Option<HeaderValue>,
}

impl Browser {
    /// Who answers, and whether the session has moved there.
    async fn get(&mut self) -> Result<(Answer, Option<Moved>)> {
        let mut request = Request::get("/");
        if let Some(token) = &self.token {
            request = request.header(TOKEN, token);
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let (head, body) = self.client.send(request).await?.into_parts();
        if let Some(token) = head.headers.get(TOKEN) {
            self.token = Some(token.clone());
        }
        let body = body.collect().await?.to_bytes();
        Ok((
            serde_json::from_slice(&body)?,
            head.extensions.get().cloned(),
        ))
    }

    /// Goes on until it has met another life of the Pod that was the first to answer, and never another Pod.
    async fn stay(mut self, first: Answer) -> Result<usize> {
        for sent in 1..10_000 {
            let (again, moved) = self.get().await?;
            if again.pod != first.pod || moved.is_some() {
                let went = format!(
                    "a session of {} went to {}: {moved:?}",
                    first.pod, again.pod
                );
                return Err(Failure::new(went));
            }
            if again.uid != first.uid {
                return Ok(sent);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(Failure::new("its Pod never restarted"))
    }
}

/// Twelve sessions on three Pods, which are restarted one after the other: each is served by its own Pod all the time,
/// and no request fails. Then one Pod is taken away for good, and its sessions, no others, move.
pub async fn sessions_outlive_a_rolling_restart(arena: &Arena) -> Result {
    arena.headless("games").await?;
    let set = arena.stateful_set("games", 3).create().await?;
    set.wait_ready(3).await?;
    let cluster = arena.discovery()?;
    let sticky = |patience| -> Result<HttpClient> {
        let sticky = Sticky::by_header(TOKEN, SigningKey::new(&[7; 32])?).patience(patience);
        let builder: BalancerBuilder = cluster.service(arena.full("games:http"))?;
        Ok(builder.http().sticky(sticky).retry_idempotent().build()?)
    };
    let client = sticky(Duration::from_secs(60))?;
    let mut browsers = vec![
        Browser {
            client,
            token: None
        };
        BROWSERS
    ];
    let mut sessions = JoinSet::new();
    for browser in &mut browsers {
        let (first, _) = browser.get().await?;
        sessions.spawn(browser.clone().stay(first));
    }
    set.roll().await?;
    set.wait_ready(3).await?;
    let mut requests = 0;
    while let Some(session) = sessions.join_next().await {
        requests += session??;
    }
    arena.note(format_args!(
        "{BROWSERS} sessions, {requests} requests, all answered by their own Pod"
    ));

    set.scale(2).await?;
    set.wait_ready(2).await?;
    let hasty = sticky(Duration::from_millis(100))?;
    let mut observer = hasty.observe();
    while observer.view().endpoints().len() != 2 {
        observer.changed().await.ok_or("the balancer is gone")?;
    }
    let mut held = BTreeSet::new();
    for browser in &mut browsers {
        browser.client = hasty.clone();
        let (answer, moved) = browser.get().await?;
        if let Some(moved) = moved {
            assert_eq!(
                (moved.from.as_str(), moved.to.as_str()),
                ("games-2", &*answer.pod)
            );
        }
        let (again, moved) = browser.get().await?;
        assert_eq!((again.pod, moved), (answer.pod.clone(), None));
        held.insert(answer.pod);
    }
    assert!(!held.contains("games-2"));
    Ok(())
}

/// `sessionAffinity: ClientIP` is gone by where that is asked for, as long as the Service says so.
pub async fn a_service_that_wants_its_clients_to_stay(arena: &Arena) -> Result {
    let service = arena.service("web").port_to("http", 80, "http");
    let service = service
        .with(&["spec", "sessionAffinity"], "ClientIP")
        .create()
        .await?;
    let deployment = arena.deployment("web", 3).create().await?;
    deployment.wait_ready(3).await?;
    let cluster = arena.discovery()?;
    let policy = || ClientAffinity::over(RoundRobin::new());
    let stays = cluster
        .service(arena.full("web:http"))?
        .policy(policy())
        .nodes()?;
    let goes_on = cluster
        .service(arena.full("web:http"))?
        .policy(RoundRobin::new())
        .nodes()?;
    for nodes in [&stays, &goes_on] {
        caller::until(nodes.observe(), "three endpoints", |view| {
            view.endpoints().len() == 3
        })
        .await?;
    }
    // By the address of each client, where this program serves several; without one it is itself.
    for client in ["", "192.0.2.1", "192.0.2.2"] {
        assert_eq!(met(&stays, client).await?.len(), 1, "{client}");
    }
    assert_eq!(met(&goes_on, "").await?.len(), 3);

    service
        .patch(json!({"spec": {"sessionAffinity": "None"}}))
        .await?;
    let mut observer = stays.observe();
    while met(&stays, "").await?.len() == 1 {
        let changed = tokio::time::timeout(Duration::from_secs(10), observer.changed());
        changed.await?.ok_or("the balancer is gone")?;
    }
    Ok(())
}

/// Who serves twenty requests of a client.
async fn met(nodes: &Nodes, client: &str) -> Result<BTreeSet<Placement>> {
    let mut met = BTreeSet::new();
    for _ in 0..20 {
        let lease = nodes.pick(client).await?;
        met.insert(lease.endpoint().placement().clone());
    }
    Ok(met)
}
