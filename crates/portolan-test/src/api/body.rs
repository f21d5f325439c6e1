//! Bodies of requests and answers.

use std::io;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};

use super::refusal::Refusal;

/// The body of an answer: whole, or a stream of events.
pub(crate) type ApiBody = UnsyncBoxBody<Bytes, io::Error>;

/// The API's limit for the body of a request.
const LARGEST_REQUEST: usize = 3 * 1024 * 1024;

/// An answer that holds the bytes of a JSON value.
pub(crate) fn whole(code: StatusCode, bytes: Vec<u8>) -> Response<ApiBody> {
    let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    with_body(code, UnsyncBoxBody::new(body))
}

/// An answer that is a stream of JSON lines.
pub(crate) fn streamed(
    lines: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response<ApiBody> {
    use futures::TryStreamExt as _;
    let body = StreamBody::new(lines.map_ok(Frame::data));
    with_body(StatusCode::OK, UnsyncBoxBody::new(body))
}

fn with_body(code: StatusCode, body: ApiBody) -> Response<ApiBody> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// Reads the whole body of a request, up to the API's limit.
pub(crate) async fn collect<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<tower::BoxError>,
{
    let collected = Limited::new(body, LARGEST_REQUEST).collect().await;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::too_large()),
        Err(error) => Err(Refusal::bad_request(format!(
            "unable to read body: {error}"
        ))),
    }
}
