//! Answers that say that an endpoint cannot serve a request now, and another might.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER, request::Parts};

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

/// What a request that was answered can be sent again from. It is in the extensions of an answer that may be such a
/// one, of a request that may be sent twice.
#[derive(Clone)]
pub(crate) struct SentFrom(Arc<Mutex<Option<(Parts, Spare)>>>);

impl SentFrom {
    /// Keeps it with an answer, if that is one for which it may be needed.
    pub(super) fn keep(response: &mut Response, spare: Option<(Parts, Spare)>) {
        let status = response.status();
        let may_be_refused = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            // A call that fails at once has its status in the headers.
            || response.headers().contains_key("grpc-status");
        if may_be_refused && spare.is_some() {
            let kept = Self(Arc::new(Mutex::new(spare)));
            response.extensions_mut().insert(kept);
        }
    }

    /// The request, once.
    pub(crate) fn again(response: &mut Response) -> Option<Request> {
        let Self(kept) = response.extensions_mut().remove()?;
        let spare = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (head, body) = spare?;
        Some(http::Request::from_parts(head, body.rewind()?))
    }

    /// The answer stands: nobody else is to find it there.
    pub(crate) fn forget(response: &mut Response) {
        if !response.extensions().is_empty() {
            response.extensions_mut().remove::<Self>();
        }
    }
}

impl fmt::Debug for SentFrom {
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
