//! Checks by `grpc.health.v1`.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::{answer::Answer, asker::Poll, monitor::Rounds};
use crate::{
    Endpoint, MakeEndpoint, Reachability,
    grpc::{Call, CallError},
    http::endpoint::{HttpEndpoint, MakeHttp},
    protobuf::{self, Fields},
};

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckRequest.service`, and `HealthCheckResponse.status`.
const FIELD: u64 = 1;

/// `ServingStatus` of `HealthCheckResponse`.
const SERVING: u64 = 1;

/// A stream that lived so long was a good one: when it ends, the next is opened at once.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// Within this time, so that a server that comes back is not asked by all its clients in step.
const AT_ONCE: Duration = Duration::from_millis(100);

/// As good as that: a stream that is opened again once in a year does no harm.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// Has one endpoint say how it is whenever that changes.
pub(super) struct Watcher {
    service: HttpEndpoint,
    request: Arc<[u8]>,
}

/// How a stream of one endpoint's word ended.
struct Ended {
    because: Result<(), CallError>,
    /// Whether it had said anything.
    has_spoken: bool,
}

impl Watcher {
    /// Over the endpoint's own connections.
    pub(super) fn over(service: &HttpEndpoint, name: &str) -> Self {
        let mut request = Vec::new();
        if !name.is_empty() {
            protobuf::put_bytes(&mut request, FIELD, name.as_bytes());
        }
        Self {
            service: service.clone(),
            request: request.into(),
        }
    }

    /// On a connection made for it.
    pub(super) fn apart(make: &MakeHttp, endpoint: &Endpoint, name: &str) -> Self {
        let service = make.make(endpoint, Reachability::unwatched());
        Self::over(&service, name)
    }

    /// Listens to the endpoint until it turns out that it cannot be listened to, but has to be asked.
    pub(super) async fn follow(self, rounds: &Rounds) -> Poll {
        loop {
            let since = Instant::now();
            let Ended {
                because,
                has_spoken,
            } = self.listen(rounds).await;
            match because {
                Err(CallError::Unimplemented(_)) => return self.into_poll(),
                // Servers end streams when they limit the age of a connection, or stop: the next one tells.
                _ if has_spoken && since.elapsed() >= GOOD_LIFE => {
                    sleep(AT_ONCE.mul_f64(fastrand::f64())).await;
                    continue;
                }
                Err(CallError::NotSent) => rounds.hear(&Answer::NotAsked),
                Err(error) => rounds.hear(&Answer::Ill(error.to_string())),
                Ok(()) if has_spoken => {}
                Ok(()) => rounds.hear(&Answer::Ill(format!("{WATCH} ended without a word"))),
            }
            rounds.pause(Instant::now()).await;
        }
    }

    async fn listen(&self, rounds: &Rounds) -> Ended {
        let mut call = None;
        let opening = async {
            let started = Call::start(self.service.clone(), WATCH, &self.request).await?;
            call.insert(started).next(WATCH).await
        };
        let until = Instant::now() + self.service.longest_stream().unwrap_or(FOR_EVER);
        let place = rounds.place().await;
        let limit = rounds.timeout();
        let first = tokio::time::timeout(limit, opening).await;
        drop(place);
        let first =
            first.unwrap_or_else(|_| Err(CallError::Failed(format!("no answer within {limit:?}"))));
        let mut ended = Ended {
            because: Ok(()),
            has_spoken: false,
        };
        let mut next = first;
        loop {
            match (next, &mut call) {
                (Ok(Some(message)), Some(call)) => {
                    ended.has_spoken = true;
                    rounds.settle(&read(&message));
                    // A connection that is to end is not held on to.
                    match timeout_at(until, call.next(WATCH)).await {
                        Ok(said) => next = said,
                        Err(_) => return ended,
                    }
                }
                (Err(error), _) => {
                    ended.because = Err(error);
                    return ended;
                }
                _ => return ended,
            }
        }
    }

    fn into_poll(self) -> Poll {
        Box::new(move || {
            let (service, request) = (self.service.clone(), Arc::clone(&self.request));
            async move {
                let answer = async {
                    let mut call = Call::start(service, CHECK, &request).await?;
                    call.next(CHECK).await
                };
                match answer.await {
                    Ok(Some(message)) => read(&message),
                    Ok(None) => Answer::Ill(format!("{CHECK} was answered without a message")),
                    Err(error @ CallError::Unimplemented(_)) => Answer::Unknown(error.to_string()),
                    Err(CallError::NotSent) => Answer::NotAsked,
                    Err(error) => Answer::Ill(error.to_string()),
                }
            }
            .boxed()
        })
    }
}

/// Reads a `HealthCheckResponse`.
fn read(message: &[u8]) -> Answer {
    let mut status = 0;
    for field in Fields::of(message) {
        match field {
            Ok((FIELD, value)) => status = value.number().unwrap_or_default(),
            Ok(_) => {}
            Err(_) => return Answer::Ill("what it says of its health cannot be read".into()),
        }
    }
    let said = match status {
        SERVING => return Answer::Well,
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "something that this version does not know",
    };
    Answer::Ill(format!("the endpoint says that it is {said}"))
}
