//! Sessions stay with their Pod through a rolling restart, and move when it is gone for good.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder,
    http::HttpClient,
    sticky::{Moved, SigningKey, Sticky},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    arena::Arena,
    caller::Answer,
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
