//! What of an HTTP request decides who serves it: its key, whose it is, whether it writes, the Pod it is pinned to.
//!
//! Policies that send the same key to the same place need to know the key. An [`Affinity`] says where a
//! request has it; it is set on the builder of a client for [HTTP](crate::http::HttpBuilder::affinity),
//! [gRPC](mod@crate::grpc) or [reqwest](mod@crate::reqwest):
//!
//! ```
//! use portolan::{Cluster, affinity::{Affinity, cookie, header}, source::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! let orders = cluster
//!     .service("orders.shop:http")?
//!     .http()
//!     .affinity(
//!         Affinity::by(header("x-tenant").or(cookie("tenant")))
//!             .intent_by_method()
//!             .pin(header("x-debug-pod")),
//!     )
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # One call
//! What a request's own extensions say goes before: a [`Routing`] there is of that request alone. With tonic:
//!
//! ```ignore
//! let mut request = tonic::Request::new(GetOrder { id: 17 });
//! request.extensions_mut().insert(Routing::key("tenant-7").read());
//! ```
//!
//! # What a key is
//! Bytes, just as they are in the request (path and query: percent-decoded, as the server sees them). Two
//! clients, or two releases, that find the same bytes agree where they belong:
//! [`key_hash`](crate::policy::key_hash). A key that is there and empty is a key.
//!
//! # Who sets it
//! Whoever sends the request chooses the key, and with a pin even the Pod. Where requests are passed on for
//! somebody outside, take keys only from what cannot be made up there, or does no harm.

mod extract;
mod head;

use std::sync::Arc;

use portolan_core::{Intent, Pin, Placement, policy::Position};

pub(crate) use extract::cookies;
pub use extract::{Extract, cookie, extension, header, key_by, path_segment, query};
pub use head::Head;

use crate::{BuildError, Routing};

/// Where a request has what decides who serves it. See the [module](self).
#[derive(Clone, Debug, Default)]
#[must_use = "an affinity does nothing until a client's builder has it"]
pub struct Affinity {
    /// There is anything to look for.
    any: bool,
    key: Option<Extract>,
    client: Option<Extract>,
    intent: Option<IntentRule>,
    pin: Option<Extract>,
    pin_ordinal: Option<Extract>,
    not_before: Option<Extract>,
}

#[derive(Clone)]
struct IntentRule(Arc<dyn Fn(&Head<'_>) -> Intent + Send + Sync>);

impl Affinity {
    /// Nothing decides.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key decides, which is found there. The same as `Affinity::from(key)`.
    pub fn by(key: Extract) -> Self {
        Self::new().key(key)
    }

    /// Where the key is.
    pub fn key(mut self, key: Extract) -> Self {
        self.any = true;
        self.key = Some(key);
        self
    }

    /// Where a request says whose it is, for [`ClientAffinity`](crate::policy::ClientAffinity): by which whoever is served by this
    /// program stays with one endpoint, or with one of each shard, whatever the key is. Default: whose the key is.
    ///
    /// ```
    /// use portolan::affinity::{Affinity, header};
    ///
    /// let affinity = Affinity::by(header("x-tenant")).client(header("x-real-ip"));
    /// ```
    pub fn client(mut self, client: Extract) -> Self {
        self.any = true;
        self.client = Some(client);
        self
    }

    /// The safe methods (RFC 9110, 9.2.1: GET, HEAD, OPTIONS, TRACE) read, all others write.
    ///
    /// Not for gRPC, all of whose calls are POST: say there [by what](Self::intent_by) a read is known.
    pub fn intent_by_method(self) -> Self {
        self.intent_by(|head| match head.method().is_safe() {
            true => Intent::Read,
            false => Intent::Write,
        })
    }

    /// Whether a request reads or writes.
    ///
    /// ```
    /// use portolan::{Intent, affinity::Affinity};
    ///
    /// let affinity = Affinity::new().intent_by(|call| match call.path() {
    ///     "/kv.Store/Get" | "/kv.Store/Scan" => Intent::Read,
    ///     _ => Intent::Write,
    /// });
    /// ```
    pub fn intent_by(mut self, rule: impl Fn(&Head<'_>) -> Intent + Send + Sync + 'static) -> Self {
        self.any = true;
        self.intent = Some(IntentRule(Arc::new(rule)));
        self
    }

    /// Where the name of the Pod is that a request must go to, and to no other.
    pub fn pin(mut self, name: Extract) -> Self {
        self.any = true;
        self.pin = Some(name);
        self
    }

    /// Where the ordinal is of the Pod that a request must go to, as a decimal number. What is no such number
    /// is taken for a name, so that the request does not go anywhere else.
    pub fn pin_ordinal(mut self, ordinal: Extract) -> Self {
        self.any = true;
        self.pin_ordinal = Some(ordinal);
        self
    }

    /// Where a read has [up to where](Routing::not_before) it must see what was written, as a decimal number. What is no such
    /// number is taken for the highest there is, so that only the primary will do.
    pub fn not_before(mut self, position: Extract) -> Self {
        self.any = true;
        self.not_before = Some(position);
        self
    }

    /// What decides for a request: what it says itself, and for the rest what is found in it.
    #[inline]
    pub(crate) fn of<'r, B>(&self, request: &'r http::Request<B>) -> Routing<'r> {
        let own = request.extensions().get::<Routing<'static>>();
        let found = self.any.then(|| self.routing(&Head::of(request)));
        match (own, found) {
            (None, None) => Routing::new(),
            (None, Some(found)) => found,
            (Some(own), found) => own.borrowed().or(found.unwrap_or_default()),
        }
    }

    /// What is found in a request.
    pub(crate) fn routing<'r>(&self, head: &Head<'r>) -> Routing<'r> {
        let mut routing = Routing::new();
        if let Some(key) = self.key.as_ref().and_then(|key| key.find(head)) {
            routing = routing.with_key(key);
        }
        if let Some(client) = self.client.as_ref().and_then(|client| client.find(head)) {
            routing = routing.with_client(client);
        }
        if let Some(IntentRule(rule)) = &self.intent {
            routing = routing.with_intent(rule(head));
        }
        let ordinal = || Some(ordinal_pin(self.pin_ordinal.as_ref()?.find(head)?.as_ref()));
        let named = || Some(named_pin(self.pin.as_ref()?.find(head)?.as_ref()));
        if let Some(pin) = named().or_else(ordinal) {
            routing = routing.with_pin(pin);
        }
        if let Some(position) = &self.not_before
            && let Some(position) = position.find(head)
        {
            let number = std::str::from_utf8(position.as_ref());
            let number = number.ok().and_then(|number| number.parse().ok());
            routing = routing.not_before(Position::new(number.unwrap_or(u64::MAX)));
        }
        routing
    }

    /// Whether everything in it makes sense.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let all = [
            &self.key,
            &self.client,
            &self.pin,
            &self.pin_ordinal,
            &self.not_before,
        ];
        all.into_iter().flatten().try_for_each(Extract::check)
    }
}

impl From<Extract> for Affinity {
    fn from(key: Extract) -> Self {
        Self::by(key)
    }
}

impl std::fmt::Debug for IntentRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntentRule")
    }
}

/// What no Pod can be called pins to nobody, as any other name does that no Pod has.
fn named_pin(name: &[u8]) -> Pin {
    Pin::Placement(Placement::new(String::from_utf8_lossy(name).as_ref()))
}

fn ordinal_pin(text: &[u8]) -> Pin {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    number.map_or_else(|| named_pin(text), Pin::Ordinal)
}

#[cfg(test)]
mod tests;
