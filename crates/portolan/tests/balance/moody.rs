//! Endpoints that do what a test tells them to, and a protocol in which an answer may say that they cannot serve.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use portolan::{
    Balance, BalancerBuilder, BoxError, Duplicate, Endpoint, Error, Failure, Lease, Protocol,
    Refusal, Routing, Sent, retry::Pushback,
};
use tower::{Service, ServiceExt};

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Serves,
    /// After so long.
    ServesAfter(Duration),
    /// It answers that it cannot.
    Refuses(Pushback),
    /// It does not answer, and may have processed the request.
    BreaksOff,
    /// After so long.
    BreaksOffAfter(Duration),
    Hangs,
}

/// A request: whether it may be sent twice, and which endpoint it must go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) idempotent: bool,
    pub(crate) routing: fn() -> Routing<'static>,
}

pub(crate) const READ: Ask = Ask {
    idempotent: true,
    routing: Routing::new,
};
pub(crate) const WRITE: Ask = Ask {
    idempotent: false,
    routing: Routing::new,
};

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) by: String,
    pub(crate) refused: Option<Pushback>,
    asked: Ask,
}

/// Who was asked, in order, and who is in which mood.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    calls: Vec<String>,
    moods: BTreeMap<String, Mood>,
}

impl World {
    pub(crate) fn set(&self, name: &str, mood: Mood) {
        self.0.lock().unwrap().moods.insert(name.into(), mood);
    }

    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn called(&self, name: &str) -> Mood {
        let mut inner = self.0.lock().unwrap();
        inner.calls.push(name.into());
        inner.moods.get(name).copied().unwrap_or(Mood::Serves)
    }

    pub(crate) fn serve(&self, builder: BalancerBuilder) -> Balance<Moody, Moods> {
        let world = self.clone();
        let make = move |endpoint: &Endpoint| Moody {
            name: endpoint.placement().to_string(),
            world: world.clone(),
        };
        builder.build_with(make, Moods).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Moody {
    name: String,
    world: World,
}

impl Service<Ask> for Moody {
    type Response = Reply;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, asked: Ask) -> Self::Future {
        let mood = self.world.called(&self.name);
        let by = self.name.clone();
        Box::pin(async move {
            let refused = match mood {
                Mood::Serves => None,
                Mood::ServesAfter(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
                Mood::Refuses(pushback) => Some(pushback),
                Mood::BreaksOff => return Err(Broken(asked).into()),
                Mood::BreaksOffAfter(time) => {
                    tokio::time::sleep(time).await;
                    return Err(Broken(asked).into());
                }
                Mood::Hangs => pending().await,
            };
            Ok(Reply { by, refused, asked })
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection broke off")]
struct Broken(Ask);

pub(crate) struct Moods;

impl Protocol<Ask, Moody> for Moods {
    type Response = Reply;

    fn is_idempotent(&self, ask: &Ask) -> bool {
        ask.idempotent
    }

    fn routing<'r>(&'r self, ask: &'r Ask) -> Routing<'r> {
        (ask.routing)()
    }

    fn refusal(&self, reply: &Reply) -> Option<Refusal> {
        let pushback = reply.refused?;
        Some(Refusal::new("it answered that it cannot").with_pushback(pushback))
    }

    fn duplicate(&self, ask: &Ask) -> Option<Duplicate<Ask>> {
        let ask = *ask;
        Some(Duplicate::new(move || Some(ask)))
    }

    fn again(&self, reply: &mut Reply) -> Option<Ask> {
        Some(reply.asked)
    }

    fn respond(&self, reply: Reply, mut lease: Lease) -> Reply {
        match reply.refused {
            Some(_) => lease.fail_by_response(),
            None => lease.succeed(),
        }
        reply
    }

    fn fail(&self, error: BoxError) -> Failure<Ask> {
        let again = error.downcast_ref::<Broken>().map(|Broken(ask)| *ask);
        Failure::new(error)
            .with_sent(Sent::Maybe)
            .with_request(again)
    }
}

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const REFUSES: Mood = Mood::Refuses(Pushback::Unsaid);

pub(crate) async fn ask(service: &Balance<Moody, Moods>, request: Ask) -> Result<Reply, Error> {
    service.clone().oneshot(request).await
}

/// How many of the calls went there.
pub(crate) fn at(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|one| *one == name).count()
}
