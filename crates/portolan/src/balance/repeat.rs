//! Requests of one's own that may be sent twice.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Balance, BalanceLayer};
use crate::{
    BoxError, Duplicate, Endpoint, Failure, Lease, MakeEndpoint, Protocol, Reachability, Refusal,
    Routing,
};

/// As a [`BalanceLayer`], for requests that can be cloned: some of them may be sent twice, and are [retried] and [hedged]
/// where that is asked for. It comes from [`BalanceLayer::repeat_if`].
///
/// [retried]: crate::BalancerBuilder::retry
/// [hedged]: crate::BalancerBuilder::hedge
pub struct RepeatLayer<P, Req, Res> {
    inner: BalanceLayer<P>,
    rules: Rules<Req, Res>,
}

struct Rules<Req, Res> {
    may_repeat: Rule<Req>,
    refuses: Option<Rule<Res>>,
}

type Rule<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

impl<P> BalanceLayer<P> {
    /// Says which requests may be sent twice. Where an endpoint does not answer one, it is sent to another, as the
    /// balancer's [`retry`](crate::BalancerBuilder::retry) has it; without that, to each other one once.
    ///
    /// ```
    /// use portolan::{Cluster, Endpoint, retry::Retry, source::Fixed};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// #[derive(Clone)]
    /// enum Command { Get(String), Increment(String) }
    /// enum Answer { Value(String), Busy }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let [a, b] = ["10.0.0.1:1", "10.0.0.2:1"].map(|at| Endpoint::new(portolan::Placement::new(at), at.parse().unwrap()));
    /// # let cluster = Cluster::from_source(Fixed::from_iter([a, b]));
    /// let layer = cluster.service("cache:tcp")?.retry(Retry::new()).layer()?;
    /// let cache = ServiceBuilder::new()
    ///     .layer(
    ///         layer
    ///             .repeat_if(|command: &Command| matches!(command, Command::Get(_)))
    ///             .refused_if(|answer: &Answer| matches!(answer, Answer::Busy)),
    ///     )
    ///     .service(|endpoint: &Endpoint| {
    ///         let is_busy = endpoint.address().to_string() == "10.0.0.1:1";
    ///         service_fn(move |_: Command| async move {
    ///             Ok::<_, std::io::Error>(if is_busy { Answer::Busy } else { Answer::Value("7".into()) })
    ///         })
    ///     });
    /// for _ in 0..10 {
    ///     let answer = cache.clone().oneshot(Command::Get("a".into())).await?;
    ///     assert!(matches!(answer, Answer::Value(_)));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn repeat_if<Req: Clone, Res>(
        self,
        may_repeat: impl Fn(&Req) -> bool + Send + Sync + 'static,
    ) -> RepeatLayer<P, Req, Res> {
        RepeatLayer {
            inner: self,
            rules: Rules {
                may_repeat: Arc::new(may_repeat),
                refuses: None,
            },
        }
    }
}

impl<P, Req, Res> RepeatLayer<P, Req, Res> {
    /// Says which answers are of an endpoint that cannot serve now, where another might. They count against the
    /// endpoint, and a request that may be sent twice goes elsewhere. Default: none.
    #[must_use]
    pub fn refused_if(mut self, refuses: impl Fn(&Res) -> bool + Send + Sync + 'static) -> Self {
        self.rules.refuses = Some(Arc::new(refuses));
        self
    }
}

impl<M, P, Req, Res> Layer<M> for RepeatLayer<P, Req, Res>
where
    M: MakeEndpoint,
    P: Clone,
    Req: 'static,
    Res: 'static,
{
    type Service = Balance<Repeater<M::Service, Req, Res>, Repeated<P, Req, Res>>;

    fn layer(&self, make: M) -> Self::Service {
        let make = MakeRepeater {
            make,
            rules: self.rules.clone(),
        };
        let protocol = Repeated {
            inner: self.inner.protocol().clone(),
            rules: self.rules.clone(),
        };
        self.inner.checked().clone().start(make, protocol)
    }
}

struct MakeRepeater<M, Req, Res> {
    make: M,
    rules: Rules<Req, Res>,
}

impl<M, Req, Res> MakeEndpoint for MakeRepeater<M, Req, Res>
where
    M: MakeEndpoint,
    Req: 'static,
    Res: 'static,
{
    type Service = Repeater<M::Service, Req, Res>;

    fn make(&self, endpoint: &Endpoint, reachability: Reachability) -> Self::Service {
        Repeater {
            inner: self.make.make(endpoint, reachability),
            rules: self.rules.clone(),
        }
    }

    fn heals(&self) -> bool {
        self.make.heals()
    }
}

/// The service of one endpoint, which keeps a clone of each request that may be sent twice.
pub struct Repeater<S, Req, Res> {
    inner: S,
    rules: Rules<Req, Res>,
}

/// An answer, and the request to it, where that may be sent again.
#[derive(Debug)]
pub struct Answered<Req, Res> {
    response: Res,
    request: Option<Req>,
}

/// A failure, and the request, where that may be sent again.
#[derive(Debug)]
pub struct Unanswered<Req, E> {
    error: E,
    request: Option<Req>,
}

impl<S, Req, Res> Service<Req> for Repeater<S, Req, Res>
where
    S: Service<Req, Response = Res>,
    Req: Clone,
{
    type Response = Answered<Req, Res>;
    type Error = Unanswered<Req, S::Error>;
    type Future = RepeaterFuture<S::Future, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| Unanswered {
            error,
            request: None,
        })
    }

    fn call(&mut self, request: Req) -> Self::Future {
        RepeaterFuture {
            request: (self.rules.may_repeat)(&request).then(|| request.clone()),
            answer: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The answer of a [`Repeater`].
    pub struct RepeaterFuture<F, Req> {
        #[pin]
        answer: F,
        request: Option<Req>,
    }
}

impl<F, Req, Res, E> Future for RepeaterFuture<F, Req>
where
    F: Future<Output = Result<Res, E>>,
{
    type Output = Result<Answered<Req, Res>, Unanswered<Req, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx));
        let request = this.request.take();
        Poll::Ready(match answer {
            Ok(response) => Ok(Answered { response, request }),
            Err(error) => Err(Unanswered { error, request }),
        })
    }
}

/// The protocol of a [`RepeatLayer`].
pub struct Repeated<P, Req, Res> {
    inner: P,
    rules: Rules<Req, Res>,
}

impl<P, S, Req, Res> Protocol<Req, Repeater<S, Req, Res>> for Repeated<P, Req, Res>
where
    S: Service<Req, Response = Res>,
    P: Protocol<Req, S>,
    Req: Clone + Send + 'static,
    Res: 'static,
{
    type Response = P::Response;

    fn is_idempotent(&self, request: &Req) -> bool {
        (self.rules.may_repeat)(request)
    }

    fn routing<'r>(&'r self, request: &'r Req) -> Routing<'r> {
        self.inner.routing(request)
    }

    fn refusal(&self, answered: &Answered<Req, Res>) -> Option<Refusal> {
        self.rules
            .refuses(&answered.response)
            .then(|| Refusal::new("it answered that it cannot serve"))
    }

    fn again(&self, answered: &mut Answered<Req, Res>) -> Option<Req> {
        answered.request.take()
    }

    fn duplicate(&self, request: &Req) -> Option<Duplicate<Req>> {
        let request = request.clone();
        Some(Duplicate::new(move || Some(request)))
    }

    fn respond(&self, answered: Answered<Req, Res>, mut lease: Lease) -> P::Response {
        if self.rules.refuses(&answered.response) {
            lease.fail_by_response();
        }
        self.inner.respond(answered.response, lease)
    }

    fn fail(&self, unanswered: Unanswered<Req, S::Error>) -> Failure<Req> {
        let failure = self.inner.fail(unanswered.error);
        match failure.request {
            Some(_) => failure,
            None => failure.with_request(unanswered.request),
        }
    }
}

impl<Req, Res> Rules<Req, Res> {
    fn refuses(&self, response: &Res) -> bool {
        let refuses = self.refuses.as_ref();
        refuses.is_some_and(|refuses| refuses(response))
    }
}

impl<Req, Res> Clone for Rules<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            may_repeat: Arc::clone(&self.may_repeat),
            refuses: self.refuses.clone(),
        }
    }
}

impl<S: Clone, Req, Res> Clone for Repeater<S, Req, Res> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            rules: self.rules.clone(),
        }
    }
}

impl<P: Clone, Req, Res> Clone for RepeatLayer<P, Req, Res> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            rules: self.rules.clone(),
        }
    }
}

impl<Req, E: Into<BoxError>> From<Unanswered<Req, E>> for BoxError {
    fn from(unanswered: Unanswered<Req, E>) -> Self {
        unanswered.error.into()
    }
}

macro_rules! debug_by_name {
    ($($name:ident<$first:ident>),*) => {$(
        impl<$first, Req, Res> fmt::Debug for $name<$first, Req, Res> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug_by_name!(RepeatLayer<P>, Repeater<S>, Repeated<P>);
