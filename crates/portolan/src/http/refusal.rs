//! Answers that say that an endpoint cannot serve a request now, and another might.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{Extensions, HeaderMap, StatusCode, header::RETRY_AFTER, request::Parts};

use super::{
    endpoint::{Request, Response},
    replay::Spare,
};
use crate::{Refusal, retry::Pushback};

/// Whether a status, with its headers, is such an answer.
///
/// 502, 503 and 504 are: the first and the last are a proxy's word that somebody behind it does not answer. 429 is
/// where it says when to come back. A 500 is not: what one endpoint makes of a request, the next most often makes too.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap) -> Option<Refusal> {
    let pushback = retry_after(headers, SystemTime::now());
    let refuses = match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            true
        }
        StatusCode::TOO_MANY_REQUESTS => pushback != Pushback::Unsaid,
        _ => false,
    };
    refuses.then(|| Refusal::new(Answered(status)).with_pushback(pushback))
}

/// What `Retry-After` says (RFC 9110, 10.2.3): seconds, or a date. What is neither says nothing.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Pushback {
    let Some(text) = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
    else {
        return Pushback::Unsaid;
    };
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than 64 bits of seconds is for ever.
        return Pushback::After(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    match httpdate::parse_http_date(text) {
        Ok(date) => Pushback::After(date.duration_since(now).unwrap_or_default()),
        Err(_) => Pushback::Unsaid,
    }
}

/// The status that an endpoint answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it answered {0}")]
struct Answered(StatusCode);

/// What a request that was answered can be sent again from. It is in the extensions of an answer for which it may be
/// needed, and is taken out once.
pub(crate) struct SentFrom<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> SentFrom<T> {
    pub(crate) fn keep(extensions: &mut Extensions, kept: T) {
        extensions.insert(Self(Arc::new(Mutex::new(Some(kept)))));
    }

    pub(crate) fn take(extensions: &mut Extensions) -> Option<T> {
        let Self(kept) = extensions.remove()?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The answer stands: nobody else is to find it there.
    pub(crate) fn forget(extensions: &mut Extensions) {
        if !extensions.is_empty() {
            extensions.remove::<Self>();
        }
    }
}

impl<T> Clone for SentFrom<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What a request of hyper's is made from once more.
pub(crate) type Again = (Parts, Spare);

/// Keeps it with an answer that may be a refusal, of a request that may be sent twice.
pub(super) fn keep(response: &mut Response, spare: Option<Again>) {
    let status = response.status();
    let may_be_refused = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        // A call that fails at once has its status in the headers.
        || response.headers().contains_key("grpc-status");
    if let Some(spare) = spare.filter(|_| may_be_refused) {
        SentFrom::keep(response.extensions_mut(), spare);
    }
}

/// The request of such an answer, once.
pub(crate) fn again(response: &mut Response) -> Option<Request> {
    let (head, body) = SentFrom::<Again>::take(response.extensions_mut())?;
    Some(http::Request::from_parts(head, body.rewind()?))
}

/// An answer stands, and bears nothing to send its request again from.
pub(crate) fn forget(response: &mut Response) {
    SentFrom::<Again>::forget(response.extensions_mut());
}

impl<T> fmt::Debug for SentFrom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentFrom")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn said(text: &str) -> Pushback {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::try_from(text).unwrap());
        // Sun, 06 Nov 1994 08:49:37 GMT.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        let after = |seconds| Pushback::After(Duration::from_secs(seconds));
        for (text, expected) in [
            ("0", after(0)),
            (" 120 ", after(120)),
            ("31536000", after(31_536_000)),
            ("99999999999999999999999", after(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", after(3)),
            ("Sunday, 06-Nov-94 08:49:40 GMT", after(3)),
            // It is over already.
            ("Sun, 06 Nov 1994 08:49:30 GMT", after(0)),
            ("", Pushback::Unsaid),
            ("-1", Pushback::Unsaid),
            ("1.5", Pushback::Unsaid),
            ("soon", Pushback::Unsaid),
            ("Sun, 99 Nov 1994 08:49:40 GMT", Pushback::Unsaid),
        ] {
            assert_eq!(said(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_what_another_endpoint_may_answer_better_is_a_refusal() {
        let mut headers = HeaderMap::new();
        let refuses = |headers: &HeaderMap| -> Vec<u16> {
            (100..600)
                .filter(|code| refusal(StatusCode::from_u16(*code).unwrap(), headers).is_some())
                .collect()
        };
        assert_eq!(refuses(&headers), [502, 503, 504]);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        assert_eq!(refuses(&headers), [429, 502, 503, 504]);
    }
}
