//! Whether a list is asked for as a stream.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// For how long lists go by pages after one did not stream. A control plane is upgraded, a proxy is
/// mended: whoever runs for months must not go by pages for months. The attempt costs one request
/// that is refused, or one [`request_timeout`](crate::WatchOptions::request_timeout), and lists are
/// rare.
const PUT_OFF: Duration = Duration::from_secs(600);

/// Streaming lists are tried, unless one did not work out lately.
#[derive(Debug, Default)]
pub(crate) struct Streaming {
    not_before: Mutex<Option<Instant>>,
}

impl Streaming {
    pub(super) fn is_tried(&self) -> bool {
        let not_before = self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        not_before.is_none_or(|not_before| not_before <= Instant::now())
    }

    /// It did not work out.
    pub(super) fn put_off(&self) {
        let mut not_before = self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *not_before = Some(Instant::now() + PUT_OFF);
    }
}
