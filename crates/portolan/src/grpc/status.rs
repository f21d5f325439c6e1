//! gRPC statuses, as headers say them (`PROTOCOL-HTTP2.md`).

use std::{error::Error as StdError, fmt::Write};

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use super::ResponseBody;
use crate::{Error, ErrorKind, http::endpoint::find_h2_error};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u8);

impl Code {
    pub(super) const OK: Self = Self(0);
    const CANCELLED: Self = Self(1);
    const UNKNOWN: Self = Self(2);
    pub(super) const DEADLINE_EXCEEDED: Self = Self(4);
    const PERMISSION_DENIED: Self = Self(7);
    const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(super) const UNIMPLEMENTED: Self = Self(12);
    const INTERNAL: Self = Self(13);
    pub(super) const UNAVAILABLE: Self = Self(14);
    const DATA_LOSS: Self = Self(15);

    /// The code in the headers, or trailers, of a response.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(GRPC_STATUS)?.to_str().ok()?;
        // What is no number is no status that a server should send.
        Some(text.parse().map_or(Self::UNKNOWN, Self))
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// Whether it counts against the endpoint.
    pub(super) fn is_failure(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN
                | Self::DEADLINE_EXCEEDED
                | Self::RESOURCE_EXHAUSTED
                | Self::INTERNAL
                | Self::UNAVAILABLE
                | Self::DATA_LOSS
        )
    }

    /// What a broken stream means: by the reason that the server gave, if it gave one.
    fn of_broken_stream(error: &(dyn StdError + 'static)) -> Self {
        let reset = find_h2_error(error)
            .filter(|error| error.is_reset() && error.is_remote())
            .and_then(h2::Error::reason);
        match reset {
            None | Some(h2::Reason::REFUSED_STREAM) => Self::UNAVAILABLE,
            Some(h2::Reason::CANCEL) => Self::CANCELLED,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Self::RESOURCE_EXHAUSTED,
            Some(h2::Reason::INADEQUATE_SECURITY) => Self::PERMISSION_DENIED,
            Some(_) => Self::INTERNAL,
        }
    }
}

/// A code, and why.
#[derive(Clone, Debug)]
pub(super) struct Status {
    code: Code,
    message: String,
}

impl Status {
    pub(super) fn new(code: Code, message: String) -> Self {
        Self { code, message }
    }

    /// What a call that was not answered ends with.
    pub(super) fn of(error: &Error) -> Self {
        let code = match error.kind() {
            ErrorKind::PolicyAtFault => Code::INTERNAL,
            ErrorKind::DeadlineExceeded => Code::DEADLINE_EXCEEDED,
            ErrorKind::Failed => error
                .source()
                .map_or(Code::UNAVAILABLE, Code::of_broken_stream),
            // Whatever else there is, it has not reached a server, and may be tried again. (Limits
            // that are reached are UNAVAILABLE as well: gRFC A32.)
            _ => Code::UNAVAILABLE,
        };
        Self::new(code, error.to_string())
    }

    /// What a stream that broke off ends with.
    pub(super) fn of_broken_stream(error: &(dyn StdError + 'static)) -> Self {
        let code = Code::of_broken_stream(error);
        let mut message = format!("the stream broke off: {error}");
        if let Some(source) = error.source() {
            let _ = write!(message, ": {source}");
        }
        Self::new(code, message)
    }

    pub(super) fn into_trailers(self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(self.code.0)));
        if let Ok(message) = HeaderValue::try_from(encode(&self.message)) {
            headers.insert(GRPC_MESSAGE, message);
        }
        headers
    }

    /// A response that consists of a status alone.
    pub(super) fn into_response(self) -> http::Response<ResponseBody> {
        let mut response = http::Response::new(ResponseBody::empty());
        *response.headers_mut() = self.into_trailers();
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, grpc);
        response
    }
}

/// Percent-encodes what is not printable ASCII ("Percent-Encoded" in `PROTOCOL-HTTP2.md`).
fn encode(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_as_grpc_wants_them() {
        assert_eq!(encode("100% of \u{e9}\n"), "100%25 of %C3%A9%0A");
    }

    #[test]
    fn codes_are_read_back() {
        let headers = Status::new(Code::UNAVAILABLE, "gone".into()).into_trailers();
        assert_eq!(Code::of(&headers), Some(Code::UNAVAILABLE));
        assert_eq!(headers[GRPC_MESSAGE], "gone");
        assert_eq!(Code::of(&HeaderMap::new()), None);
    }

    #[test]
    fn what_the_caller_did_wrong_does_not_count_against_the_endpoint() {
        let failures: Vec<u8> = (0..=16).filter(|&code| Code(code).is_failure()).collect();
        assert_eq!(failures, [2, 4, 8, 13, 14, 15]);
    }
}
