//! HTTP/1.1 and h2c on one port, with a graceful end.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tower::{BoxError, Service, ServiceExt};

use crate::pod::{PodContext, PodFaults, PodListener, PodStream, RequestFault, Reset};

use super::Program;
use super::tasks::Tasks;
use super::tcp::accept_all;

/// A program that serves HTTP/1.1 and HTTP/2 without TLS (h2c) on all its ports.
///
/// `make` makes the service of one Pod: a tower service over `http::Request<Incoming>`, such as an
/// axum `Router` or the `Routes` of tonic. On SIGTERM the port is closed at once, HTTP/2 clients
/// get GOAWAY, HTTP/1.1 connections close when they are idle, and what is in flight finishes.
///
/// The faults of a [`PodHandle`](crate::PodHandle) act on each request.
///
/// ```
/// use http_body_util::Full;
/// use portolan_test::{Images, programs};
///
/// let images = Images::default();
/// images.register("hello", programs::http(|pod| {
///     tower::service_fn(move |_request| {
///         let body = Full::<bytes::Bytes>::from(format!("hello from {}", pod.name()));
///         async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
///     })
/// }));
/// ```
pub fn http<F, S, B>(make: F) -> impl Program
where
    F: Fn(PodContext) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Http { make }
}

/// An error of the service or of a body. Of a type of its own, as the compiler cannot see that the
/// connection's future is `Send` when it holds a bare `BoxError`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failure(BoxError);

struct Http<F> {
    make: F,
}

impl<F, S, B> Program for Http<F>
where
    F: Fn(PodContext) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn serve(&self, pod: PodContext, ports: Vec<PodListener>) -> BoxFuture<'static, ()> {
        let service = (self.make)(pod.clone());
        // The service need not be Sync; each connection gets its own.
        let service = Arc::new(std::sync::Mutex::new(service));
        accept_all(pod, ports, move |pod, stream| {
            let service = service
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            serve_connection(pod, stream, service)
        })
    }
}

async fn serve_connection<S, B>(pod: PodContext, stream: PodStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let reset = stream.reset_handle();
    let faults = Arc::clone(pod.faults());
    let service = service_fn(move |request| {
        let (service, faults, reset) = (service.clone(), Arc::clone(&faults), reset.clone());
        async move { serve_request(request, service, &faults, &reset).await }
    });
    let builder = auto::Builder::new(Tasks::default());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = pod.terminating() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(pod = pod.name(), error, "connection ended");
    }
}

async fn serve_request<S, B>(
    request: Request<Incoming>,
    service: S,
    faults: &PodFaults,
    reset: &Reset,
) -> Result<Response<UnsyncBoxBody<Bytes, Failure>>, Failure>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (fault, _in_flight) = faults.begin_request();
    faults.until_answered().await;
    match fault {
        RequestFault::None => {
            let boxed = |body: B| UnsyncBoxBody::new(body.map_err(|error| Failure(error.into())));
            match service.oneshot(request).await {
                Ok(response) => Ok(response.map(boxed)),
                Err(error) => Err(Failure(error.into())),
            }
        }
        RequestFault::Answer(status) => {
            let body = Empty::new().map_err(|never: Infallible| match never {});
            let mut response = Response::new(UnsyncBoxBody::new(body));
            *response.status_mut() = status;
            Ok(response)
        }
        RequestFault::Reset => {
            reset.reset();
            Err(Failure(
                "the connection was reset, on the test's order".into(),
            ))
        }
    }
}
