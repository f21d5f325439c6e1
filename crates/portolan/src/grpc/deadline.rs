//! The `grpc-timeout` of a call.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Sleep;

use super::status::{Code, Status};

/// When a call must be over.
pub(super) struct Deadline {
    timeout: Duration,
    passes: Pin<Box<Sleep>>,
}

impl Deadline {
    /// The deadline that a call's headers set, by the timers that `sleep` makes. One that cannot be read is
    /// left to the server.
    pub(super) fn of(headers: &HeaderMap, sleep: impl FnOnce(Duration) -> Sleep) -> Option<Self> {
        let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
        Some(Self {
            timeout,
            passes: Box::pin(sleep(timeout)),
        })
    }

    /// The status of a call that has not ended by now. Pending for ever where there is no deadline.
    pub(super) fn poll_passed(deadline: &mut Option<Self>, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(Self { timeout, passes }) = deadline else {
            return Poll::Pending;
        };
        ready!(passes.as_mut().poll(cx));
        let message = format!("the call was not over within {timeout:?}");
        Poll::Ready(Status::new(Code::DEADLINE_EXCEEDED, message))
    }
}

/// At most 8 digits, and a unit (`PROTOCOL-HTTP2.md`, "Requests").
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * number)
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deadline").field(&self.timeout).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, nanos) in [
            ("2H", 7_200_000_000_000),
            ("1M", 60_000_000_000),
            ("99999999S", 99_999_999_000_000_000),
            ("250m", 250_000_000),
            ("3u", 3_000),
            ("4n", 4),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1 S", "1é"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
