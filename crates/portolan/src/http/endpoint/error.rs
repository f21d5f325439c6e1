//! Why an endpoint could not be connected to, and what became of the request.

use std::{error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use super::Request;
use crate::{BoxError, Failure, Sent};

/// Why there was no connection to an endpoint.
///
/// It is the `cause` of an [`Attempt`](crate::Attempt), and the source of the
/// [`Error`](crate::Error) where that attempt was the last.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint cannot be connected to.
    #[error("cannot connect: {0}")]
    Tcp(#[source] Arc<io::Error>),
    /// The endpoint did not answer in time.
    #[error("not connected within {0:?}: the endpoint does not answer")]
    TimedOut(Duration),
    /// The endpoint did not prove to be who it should be, or does not speak TLS.
    #[cfg(feature = "tls")]
    #[error(
        "TLS failed: {source}. The certificate was checked for the name {name}; if the endpoints \
         have another one, set `server_name`"
    )]
    Tls {
        /// The name that the certificate was checked for.
        name: String,
        /// What failed.
        source: Arc<io::Error>,
    },
    /// HTTP/2 is wanted, and the endpoint's TLS did not agree to it.
    #[error("the endpoint's TLS did not agree to HTTP/2 (ALPN h2)")]
    NoHttp2,
    /// The connection was made, and HTTP failed on it at once.
    #[error("the connection failed at once: {0}")]
    Http(#[source] Arc<hyper::Error>),
    /// The endpoint takes connections and closes them at once.
    #[error("the endpoint closes connections as soon as they are made")]
    ClosedAtOnce,
    /// There are as many connections as there may be, and none came free in time.
    #[error(
        "all {connections} connections are busy: raise `max_connections_per_endpoint`, or use HTTP/2"
    )]
    Busy {
        /// How many connections there may be.
        connections: usize,
    },
    /// The client has as many connections as it may have, to all endpoints together.
    #[error(
        "there are {connections} connections already, to all endpoints together: raise `max_connections`, or take a subset"
    )]
    NoPlace {
        /// How many connections there may be.
        connections: usize,
    },
    /// The connections were closed because the endpoint is gone, or the runtime is.
    #[error("the endpoint is gone")]
    Gone,
}

impl ConnectError {
    fn sent(&self) -> Sent {
        match self {
            // These say nothing about whether the endpoint can be reached.
            Self::Busy { .. } | Self::NoPlace { .. } | Self::Gone => Sent::No,
            _ => Sent::Unreachable,
        }
    }
}

/// An endpoint did not begin its answer [in time](crate::http::HttpBuilder::response_timeout).
///
/// It is the `cause` of an [`Attempt`](crate::Attempt). The request may have been processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer did not begin within {limit:?} (`response_timeout`)")]
#[non_exhaustive]
pub struct ResponseTimedOut {
    /// How long it was given.
    pub limit: Duration,
}

/// What is made of a request that was not answered.
pub(crate) struct SendError(Box<Failure<Request>>);

impl SendError {
    /// There was no connection to send it on.
    pub(super) fn not_connected(error: ConnectError, request: Request) -> Self {
        let failure = Failure::new(error.clone()).with_sent(error.sent());
        let failure = match error {
            // A limit of this client's own says nothing against the endpoint.
            ConnectError::Busy { .. } | ConnectError::NoPlace { .. } => failure.by_caller(),
            _ => failure,
        };
        Self(Box::new(failure.with_request(request)))
    }

    /// It provably was not processed.
    pub(super) fn unsent(error: hyper::Error, request: Option<Request>) -> Self {
        Self(Box::new(
            Failure::new(NotAnswered(error))
                .with_sent(Sent::No)
                .with_request(request),
        ))
    }

    /// It may have been processed.
    pub(super) fn lost(error: hyper::Error, request: Option<Request>) -> Self {
        // The request's own body failed: no endpoint can do anything about that.
        if is_by_caller(&error) {
            return Self(Box::new(Failure::new(NotAnswered(error)).by_caller()));
        }
        Self(Box::new(
            Failure::new(NotAnswered(error)).with_request(request),
        ))
    }

    /// It may have been processed, or may be yet.
    pub(super) fn too_late(error: ResponseTimedOut, request: Option<Request>) -> Self {
        Self(Box::new(Failure::new(error).with_request(request)))
    }

    pub(crate) fn into_failure(self) -> Failure<Request> {
        *self.0
    }
}

/// Whether a request that ended with this error was certainly not processed.
///
/// HTTP/2 alone has words for it: a stream that was refused (RFC 9113, 8.7), and a connection that
/// goes away and names the last stream it has taken up (6.8). The latter reaches only the streams
/// beyond that one: those up to it go on, and fail otherwise if they do.
pub(crate) fn is_unprocessed(error: &(dyn StdError + 'static)) -> bool {
    is_refusal(error) || said_by_endpoint(error).is_some_and(h2::Error::is_go_away)
}

/// Whether a request that ended with this error never left: hyper found its connection closed before
/// it took the request up.
#[cfg(feature = "reqwest")]
pub(crate) fn never_left(error: &(dyn StdError + 'static)) -> bool {
    find_hyper_error(error).is_some_and(hyper::Error::is_canceled)
}

/// Whether the endpoint refused this one request, on a connection that goes on.
pub(super) fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    said_by_endpoint(error)
        .is_some_and(|error| error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Whether it was the caller's own doing: what is wrong with the request, or its body, which failed.
pub(crate) fn is_by_caller(error: &(dyn StdError + 'static)) -> bool {
    find_hyper_error(error).is_some_and(hyper::Error::is_user)
        || find_h2_error(error).is_some_and(is_reset_by_caller)
}

/// Whether this side reset the stream, and not because the other side broke the protocol.
fn is_reset_by_caller(error: &h2::Error) -> bool {
    error.is_reset() && !error.is_remote() && !error.is_library()
}

fn said_by_endpoint<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a h2::Error> {
    find_h2_error(error).filter(|error| error.is_remote())
}

/// The error of HTTP/2 among the causes of an error.
pub(crate) fn find_h2_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a h2::Error> {
    find(error)
}

fn find_hyper_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a hyper::Error> {
    find(error)
}

fn find<'a, E: StdError + 'static>(mut error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    loop {
        match error.downcast_ref() {
            Some(found) => return Some(found),
            None => error = error.source()?,
        }
    }
}

/// The endpoint did not answer. Hyper's errors tell half of it themselves and half in their source.
#[derive(Debug)]
struct NotAnswered(hyper::Error);

impl fmt::Display for NotAnswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match self.0.source() {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for NotAnswered {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.cause.fmt(f)
    }
}

impl StdError for SendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let cause: &BoxError = &self.0.cause;
        cause.source()
    }
}

#[cfg(test)]
#[cfg(feature = "reqwest")]
mod tests {
    use http_body_util::Empty;
    use hyper::client::conn::http1::handshake;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What clients on top of hyper do to its errors.
    #[derive(Debug, thiserror::Error)]
    #[error("wrapped")]
    struct Wrapped(#[source] hyper::Error);

    fn get() -> http::Request<Empty<bytes::Bytes>> {
        http::Request::get("/").body(Empty::new()).unwrap()
    }

    #[tokio::test]
    async fn what_closed_before_the_request_left_is_told_from_what_closed_after() {
        let (client, server) = tokio::io::duplex(1024);
        let (mut sender, connection) = handshake(TokioIo::new(client)).await.unwrap();
        drop(server);
        let _ = connection.await;
        let mut error = sender.try_send_request(get()).await.unwrap_err();
        assert!(error.take_message().is_some());
        assert!(never_left(&Wrapped(error.into_error())));

        let (client, mut server) = tokio::io::duplex(1024);
        let (mut sender, connection) = handshake(TokioIo::new(client)).await.unwrap();
        let answer = sender.try_send_request(get());
        let hang_up = async move { server.read_u8().await };
        let (answer, ..) = tokio::join!(answer, connection, hang_up);
        let mut error = answer.unwrap_err();
        assert!(error.take_message().is_none());
        assert!(!never_left(&Wrapped(error.into_error())));
        assert!(!never_left(&io::Error::other("refused")));
    }
}
