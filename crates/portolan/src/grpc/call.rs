//! Calls of our own to one endpoint: for what servers say of themselves, apart from any caller's call.

use std::{future::poll_fn, pin::Pin};

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use super::{
    AGENT,
    status::{Code, GRPC_MESSAGE},
};
use crate::http::{
    ConnectError,
    endpoint::{HttpEndpoint, Request},
    whole,
};

/// A call of one message to one endpoint, and the messages that it answers.
pub(crate) struct Call {
    body: Incoming,
    read: BytesMut,
    has_ended: bool,
}

/// Why a call ended, other than well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The server does not know this method.
    #[error("UNIMPLEMENTED: the server does not know {0}")]
    Unimplemented(&'static str),
    /// There was no connection to ask on, which says nothing of the server.
    #[error("no connection is free")]
    NotSent,
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// What servers say of themselves is small.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Before each message: whether it is compressed, and its length (`PROTOCOL-HTTP2.md`).
const PREFIX: usize = 5;

impl Call {
    /// Calls a method, and waits for the beginning of the answer.
    ///
    /// # Cancel safety
    /// Dropping the future, or the call, cancels it.
    pub(crate) async fn start(
        mut endpoint: HttpEndpoint,
        method: &'static str,
        message: &[u8],
    ) -> Result<Self, CallError> {
        let response = match endpoint.call(request(method, message)).await {
            Ok(response) => response,
            Err(error) => {
                let cause = error.into_failure().cause;
                return Err(match cause.downcast_ref() {
                    Some(ConnectError::Busy { .. } | ConnectError::Gone) => CallError::NotSent,
                    _ => CallError::Failed(cause.to_string()),
                });
            }
        };
        // Whoever keeps the answer does not keep the endpoint's connections.
        drop(endpoint);
        let (head, body) = response.into_parts();
        if let Some(end) = ended(method, &head.headers) {
            end?;
        }
        if head.status != StatusCode::OK {
            return Err(match head.status {
                // As gRPC's clients read what is no gRPC (`http-grpc-status-mapping.md`).
                StatusCode::NOT_FOUND => CallError::Unimplemented(method),
                status => CallError::Failed(format!("{method} was answered with {status}")),
            });
        }
        Ok(Self {
            has_ended: body.is_end_stream(),
            body,
            read: BytesMut::new(),
        })
    }

    /// The next message; `None` where the call has ended well.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, method: &'static str) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(message) = self.message()? {
                return Ok(Some(message));
            }
            if self.has_ended {
                return Ok(None);
            }
            match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    Err(frame) => {
                        self.has_ended = true;
                        if let Some(Err(error)) = frame
                            .trailers_ref()
                            .and_then(|trailers| ended(method, trailers))
                        {
                            return Err(error);
                        }
                    }
                },
                Some(Err(error)) => {
                    self.has_ended = true;
                    return Err(CallError::Failed(format!("{method} broke off: {error}")));
                }
                None => self.has_ended = true,
            }
        }
    }

    /// A message that has been read whole.
    fn message(&mut self) -> Result<Option<Bytes>, CallError> {
        let Some(([compressed, length @ ..], _)) = self.read.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if *compressed != 0 {
            let error = "a message is compressed, though nobody said that it may be";
            return Err(CallError::Failed(error.into()));
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > LONGEST_MESSAGE {
            let error = format!("a message of {length} bytes, which is too long");
            return Err(CallError::Failed(error));
        }
        if self.read.len() < PREFIX + length {
            return Ok(None);
        }
        self.read.advance(PREFIX);
        Ok(Some(self.read.split_to(length).freeze()))
    }
}

fn request(method: &'static str, message: &[u8]) -> Request {
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.push(0);
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let mut request = Request::new(whole::of(framed.into()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(method);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, AGENT);
    request
}

/// How the call went, where these headers, or trailers, say so.
fn ended(method: &'static str, headers: &HeaderMap) -> Option<Result<(), CallError>> {
    let code = Code::of(headers)?;
    Some(match code {
        Code::OK => Ok(()),
        Code::UNIMPLEMENTED => Err(CallError::Unimplemented(method)),
        code => {
            let said = headers.get(GRPC_MESSAGE);
            let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
            let error = format!("{method} ended with status {}: {said}", code.number());
            Err(CallError::Failed(error))
        }
    })
}
