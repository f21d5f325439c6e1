//! The client: which side of the resharding to ask, and what to do with two answers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use portolan::{
    Intent, Routing,
    http::HttpClient,
    policy::{Resharding, ReshardingPhase, Side},
};

use crate::Result;

/// The store, wherever its keys are at present.
#[derive(Clone)]
pub(crate) struct Store {
    old: HttpClient,
    new: HttpClient,
    resharding: Resharding,
    requests: Arc<AtomicU64>,
}

impl Store {
    pub(crate) fn new(old: HttpClient, new: HttpClient, resharding: Resharding) -> Self {
        Self {
            old,
            new,
            resharding,
            requests: Arc::default(),
        }
    }

    /// How many requests have been answered.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Writes, wherever that is to be written now: it is written when all have it.
    pub(crate) async fn put(&self, key: &str, value: &str) -> Result {
        loop {
            let phase = self.resharding.phase();
            let written = self.put_in(phase, key, value).await;
            // Where the phase has changed meanwhile, somebody else has to have it, or may not be asked any more.
            if self.resharding.phase() == phase {
                return written;
            }
        }
    }

    async fn put_in(&self, phase: ReshardingPhase, key: &str, value: &str) -> Result {
        for side in phase.sides(Intent::Write) {
            let routing = Routing::key(key.to_owned()).write();
            self.expect(*side, Method::PUT, routing, key, value).await?;
        }
        Ok(())
    }

    /// Reads the first place that has it.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>> {
        loop {
            let phase = self.resharding.phase();
            let found = self.get_in(phase, key).await;
            if self.resharding.phase() == phase {
                return found;
            }
        }
    }

    async fn get_in(&self, phase: ReshardingPhase, key: &str) -> Result<Option<String>> {
        for side in phase.sides(Intent::Read) {
            let routing = Routing::key(key.to_owned()).read();
            let (status, body) = self.send(*side, Method::GET, routing, key, "").await?;
            match status {
                StatusCode::OK => return Ok(Some(body)),
                StatusCode::NOT_FOUND => {}
                other => return Err(format!("GET {key}: {other}").into()),
            }
        }
        Ok(None)
    }

    /// Copies what moves from each of the old Pods, unless the new place has something newer. How many keys.
    pub(crate) async fn copy(&self, pods: u32) -> Result<usize> {
        let mut copied = 0;
        for pod in 0..pods {
            for key in self.keys(pod).await? {
                if !self.resharding.moves(key.as_bytes()) {
                    continue;
                }
                let routing = Routing::key(key.clone()).read();
                let (_, value) = self.send(Side::Old, Method::GET, routing, &key, "").await?;
                let routing = Routing::key(key.clone()).write();
                self.expect(Side::New, Method::POST, routing, &key, &value)
                    .await?;
                copied += 1;
            }
        }
        Ok(copied)
    }

    /// Deletes what is not of its Pod's shard any more. How many keys.
    pub(crate) async fn sweep(&self, pods: u32) -> Result<usize> {
        let mut swept = 0;
        for pod in 0..pods {
            for key in self.keys(pod).await? {
                let owner = self.new.explain(&request(
                    Method::GET,
                    Routing::key(key.clone()).read(),
                    &key,
                    "",
                ));
                let owner = owner.chosen().and_then(|one| one.ordinal());
                if owner.is_some_and(|owner| owner != pod) {
                    let there = Routing::pinned_to_ordinal(pod).write();
                    self.expect(Side::New, Method::DELETE, there, &key, "")
                        .await?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    /// How many keys each Pod has.
    pub(crate) async fn spread(&self, pods: u32) -> Result<String> {
        let mut spread = Vec::new();
        for pod in 0..pods {
            spread.push(format!("kv-{pod} has {}", self.keys(pod).await?.len()));
        }
        Ok(spread.join(", "))
    }

    /// What one Pod has.
    async fn keys(&self, pod: u32) -> Result<Vec<String>> {
        let side = self.resharding.sides(Intent::Read).first().copied();
        let there = Routing::pinned_to_ordinal(pod).read();
        let (_, keys) = self
            .send(side.unwrap_or(Side::New), Method::GET, there, "", "")
            .await?;
        Ok(keys.lines().map(str::to_owned).collect())
    }

    async fn expect(
        &self,
        side: Side,
        method: Method,
        routing: Routing<'static>,
        key: &str,
        value: &str,
    ) -> Result {
        let what = format!("{method} {key}");
        let (status, _) = self.send(side, method, routing, key, value).await?;
        match status {
            StatusCode::OK => Ok(()),
            other => Err(format!("{what}: {other}").into()),
        }
    }

    async fn send(
        &self,
        side: Side,
        method: Method,
        routing: Routing<'static>,
        key: &str,
        value: &str,
    ) -> Result<(StatusCode, String)> {
        let client = match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        };
        let response = client.send(request(method, routing, key, value)).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn request(
    method: Method,
    routing: Routing<'static>,
    key: &str,
    value: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(value.to_owned()));
    *request.method_mut() = method;
    // Every key here is a header's value as well.
    if let Ok(key) = key.parse() {
        request.headers_mut().insert("x-key", key);
    }
    request.extensions_mut().insert(routing);
    request
}
