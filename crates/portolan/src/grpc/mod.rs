//! gRPC: a channel for generated clients, of tonic or of any other library on `http` and tower.
//!
//! ```ignore
//! let channel = cluster.service("greeter.shop:grpc")?.grpc().build()?;
//! let mut greeter = GreeterClient::new(channel);
//! let reply = greeter.say_hello(HelloRequest { name: "you".into() }).await?;
//! ```
//!
//! Nothing here names a version of tonic: whichever the program uses will do.
//!
//! # Errors are statuses
//! As every gRPC channel does, this one says by a gRPC status what went wrong on this side: the call is
//! answered as if a server had done so, with the whole [`Error`](crate::Error) as the message. What did
//! not reach a server, or broke off, is `UNAVAILABLE`; a deadline that has passed is
//! `DEADLINE_EXCEEDED`; a stream that the server reset has the status that gRPC gives to the reason
//! (`PROTOCOL-HTTP2.md`, "Errors"). The [`Error`](crate::Error) itself is in the response's extensions,
//! as an `Arc`, for layers that want to look at it.
//!
//! # Deadlines
//! A `grpc-timeout` (tonic: `Request::set_timeout`) is kept to on this side too, waiting for an endpoint
//! and reading a stream of answers included.
//!
//! # Sending again
//! As with [`http`](crate::http): a call that provably was not processed goes to another endpoint; one
//! that may have been does only if it is marked [`Idempotent`](crate::http::Idempotent), or
//! [`retry_if`](GrpcBuilder::retry_if) says so. A call that was answered, with whatever status, is
//! retried only where it is such a one, was ended at once with `UNAVAILABLE`, and
//! [retries](crate::BalancerBuilder::retry) are on.
//!
//! # What counts against an endpoint
//! A call that was not answered, a stream that broke off, and the statuses `UNKNOWN`,
//! `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`. The others say
//! more about the call than about the server. (gRPC's own outlier detection, gRFC A50, counts every
//! status but `OK`.)

mod body;
mod builder;
mod call;
mod deadline;
mod protocol;
mod refusal;
mod status;

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header::USER_AGENT};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

pub use body::ResponseBody;
pub use builder::GrpcBuilder;

use crate::{
    Balance, BoxError, Drained, Explanation, Observer,
    http::{
        Sending,
        endpoint::{HttpEndpoint, Request},
    },
    sticky::Visit,
};
pub(crate) use call::{Call, CallError};
use deadline::Deadline;
use protocol::Grpc;
use status::Status;

/// A gRPC channel over all live endpoints of a Service.
///
/// Give it to a generated client. Cloning is for handing it to another task; clones share everything.
///
/// See the [module](self) for what becomes of a call, and [`GrpcBuilder`] for what can be set.
#[derive(Clone, Debug)]
pub struct GrpcClient {
    balance: Balance<HttpEndpoint, Grpc>,
    send: Sending,
}

impl GrpcClient {
    /// To look at the endpoints, and what is measured of them.
    #[must_use]
    pub fn observe(&self) -> Observer {
        self.balance.observe()
    }

    /// Ends the channel and all of its clones: new calls are refused (`UNAVAILABLE`), those under way are waited for,
    /// no longer than `within`. See [`Balance::shutdown`].
    ///
    /// # Cancel safety
    /// As there.
    pub async fn shutdown(&self, within: Duration) -> Drained {
        self.balance.shutdown(within).await
    }

    /// Why this call would go where it would go now: whom the cluster's rules take off, what each policy makes of the
    /// rest, who is chosen, and who would be next. Nothing is sent.
    #[must_use]
    pub fn explain<B>(&self, request: &http::Request<B>) -> Explanation {
        let heads = &self.balance.protocol().heads;
        self.balance.explain(&self.send.routing(request, heads))
    }

    /// What to put into a response for its client to forget its session, where sessions are kept in a cookie: see
    /// [`Sticky::forget`](crate::sticky::Sticky::forget).
    #[must_use]
    pub fn forget_session(&self) -> Option<(http::HeaderName, http::HeaderValue)> {
        self.send.forget_session()
    }
}

/// "Language and version of the library", as `PROTOCOL-HTTP2.md` wants it.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("grpc-rust-portolan/", env!("CARGO_PKG_VERSION")));

impl<B> Service<http::Request<B>> for GrpcClient
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<ResponseBody>;
    /// What goes wrong is said by a gRPC status.
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> ResponseFuture {
        let published = self.balance.published();
        let deadline = Deadline::of(request.headers(), |timeout| published.sleep(timeout));
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        let mut request = self.send.prepare(request);
        let visit = self
            .send
            .visit(&mut request, &self.balance.protocol().heads);
        ResponseFuture {
            call: self.balance.send(request),
            visit,
            deadline,
        }
    }
}

pin_project! {
    /// The response of a [`GrpcClient`].
    ///
    /// # Cancel safety
    /// Dropping it cancels the call. It may have been processed.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        call: crate::ResponseFuture<HttpEndpoint, Grpc, Request>,
        visit: Option<Box<Visit>>,
        deadline: Option<Deadline>,
    }
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = match this.call.as_mut().poll(cx) {
            Poll::Ready(Ok(mut response)) => {
                response.body_mut().set_deadline(this.deadline.take());
                if let Some(visit) = this.visit.take() {
                    visit.end(this.call.session_moves(), &mut response);
                }
                response
            }
            Poll::Ready(Err(error)) => {
                let mut response = Status::of(&error).into_response();
                response.extensions_mut().insert(Arc::new(error));
                response
            }
            Poll::Pending => {
                let status = ready!(Deadline::poll_passed(this.deadline, cx));
                this.call.give_up();
                status.into_response()
            }
        };
        Poll::Ready(Ok(response))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("call", &self.call)
            .field("deadline", &self.deadline)
            .finish()
    }
}
