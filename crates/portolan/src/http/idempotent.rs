//! Which requests may be sent again although they may have been processed.

use std::{fmt, sync::Arc};

use http::request::Parts;

/// Marks one request as safe to send twice: put it into the request's extensions.
///
/// Such a request is tried on another endpoint when the first one fails without an answer, even where
/// it may have been processed there. Requests that provably were not sent are tried elsewhere without
/// it.
///
/// ```
/// let request = http::Request::post("/orders/17/refresh")
///     .extension(portolan::http::Idempotent)
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
///
/// With tonic it goes into `Request::extensions_mut()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotent;

/// What a caller says of its own requests.
type Rule = dyn Fn(&Parts) -> bool + Send + Sync;

/// The rule of one client.
#[derive(Clone, Default)]
pub(crate) struct Idempotency {
    by_method: bool,
    by_rule: Option<Arc<Rule>>,
}

impl Idempotency {
    pub(crate) fn by_method(&mut self) {
        self.by_method = true;
    }

    pub(crate) fn by_rule(&mut self, rule: impl Fn(&Parts) -> bool + Send + Sync + 'static) {
        self.by_rule = Some(Arc::new(rule));
    }

    pub(crate) fn allows(&self, head: &Parts) -> bool {
        head.extensions.get::<Idempotent>().is_some()
            // RFC 9110, 9.2.2: PUT, DELETE and the safe methods.
            || self.by_method && head.method.is_idempotent()
            || self.by_rule.as_ref().is_some_and(|rule| rule(head))
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("by_method", &self.by_method)
            .field("by_rule", &self.by_rule.is_some())
            .finish()
    }
}
