//! What of a request decides who serves it.

use std::{borrow::Cow, fmt};

use portolan_core::{Intent, PickContext, Pin, Placement, policy::Position};

use crate::{seldom::Seldom, session::Session};

/// What of a request decides who serves it: its key, whose it is, whether it writes, and the one endpoint that it must go
/// to, or that holds its session, if there is one.
///
/// Clients make it from each request by their [`affinity`](mod@crate::affinity). One request can say it itself, with any
/// client on `http` (tonic's too), by having a `Routing<'static>` among its extensions; what that says goes
/// before what the affinity finds.
///
/// ```
/// use portolan::Routing;
///
/// let request = http::Request::get("/orders/17")
///     .extension(Routing::key("tenant-7").read())
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing<'a> {
    key: Option<Key<'a>>,
    intent: Intent,
    rest: More<'a>,
}

/// What few requests say. It is apart from what many do, for every request makes a routing and lets go of it. What is its
/// own goes before what is borrowed, and is nobody else's: so a routing may be let go of after the request that it is of.
#[derive(Default)]
struct More<'a> {
    own: Seldom<Rest>,
    borrowed: Option<&'a Rest>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest {
    client: Option<Key<'static>>,
    bound: Option<Bound>,
    not_before: Option<Position>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Pin(Pin),
    Session(Session),
}

/// What a request is about, where that decides who serves it: a tenant, a session, a row.
///
/// It is bytes, whatever they mean. A key that is empty is a key. Whose a request is [is said](Routing::with_client) in the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key<'a>(Cow<'a, [u8]>);

impl<'a> Routing<'a> {
    /// Nothing decides: any endpoint will do.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            key: None,
            intent: Intent::Any,
            rest: More {
                own: Seldom::EMPTY,
                borrowed: None,
            },
        }
    }

    /// The key decides.
    #[must_use]
    pub fn key(key: impl Into<Key<'a>>) -> Self {
        Self::new().with_key(key)
    }

    /// The request must go to the endpoint of this [placement](crate::Placement), a Pod's stable name, and to no other.
    /// Where it gets no requests now, since it is not ready, or the Service means it for clients elsewhere, the
    /// request waits for it as long as any waits, and then fails with
    /// [`Reason::PinNotFound`](crate::Reason::PinNotFound). A policy for which it would be wrong there refuses it
    /// ([`Reason::PinRefused`](crate::Reason::PinRefused)): what may write goes to a primary only.
    #[must_use]
    pub fn pinned_to(name: &str) -> Self {
        Self::new().with_pin(Pin::Placement(Placement::new(name)))
    }

    /// The request must go to the Pod of this ordinal in its StatefulSet, and to no other.
    #[must_use]
    pub fn pinned_to_ordinal(ordinal: u32) -> Self {
        Self::new().with_pin(Pin::Ordinal(ordinal))
    }

    /// The request belongs to a session, and goes to the endpoint that holds it, for as long as there is one.
    #[must_use]
    pub fn session(session: Session) -> Self {
        Self::new().with_session(session)
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Key<'a>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets whose request it is, where that is something else than what it is about: the address of whoever is served by this
    /// program, say, or a user's name. [`ClientAffinity`](crate::policy::ClientAffinity) goes by that, and by the key where
    /// nobody is said; other policies take no notice.
    ///
    /// ```
    /// use portolan::Routing;
    ///
    /// // Its shard is the tenant's; and of the Pods of that shard, this caller stays with one.
    /// let routing = Routing::key("tenant-7").with_client("192.0.2.17");
    /// ```
    #[must_use]
    pub fn with_client(mut self, client: impl Into<Key<'a>>) -> Self {
        let client = client.into().into_owned();
        self.rest = self.rest.with(|rest| rest.client = Some(client));
        self
    }

    /// Sets whether the request reads or writes.
    #[must_use]
    pub fn with_intent(mut self, intent: Intent) -> Self {
        self.intent = intent;
        self
    }

    /// The request changes nothing.
    #[must_use]
    pub fn read(self) -> Self {
        self.with_intent(Intent::Read)
    }

    /// The request may change something.
    #[must_use]
    pub fn write(self) -> Self {
        self.with_intent(Intent::Write)
    }

    /// Says up to where the request, a read, must see what was written: the token that a client keeps of what it wrote. A
    /// policy that [knows who has got as far](crate::policy::PrimaryReplica::read_your_writes) sends it there; any other one
    /// takes no notice.
    ///
    /// ```
    /// use portolan::{Routing, policy::Position};
    ///
    /// let read = Routing::key("user:17").read().not_before(Position::new(4711));
    /// ```
    #[must_use]
    pub fn not_before(mut self, position: Position) -> Self {
        self.rest = self.rest.with(|rest| rest.not_before = Some(position));
        self
    }

    /// Sets the one endpoint that the request must go to, in the place of a session.
    #[must_use]
    pub fn with_pin(mut self, pin: Pin) -> Self {
        self.rest = self.rest.with(|rest| rest.bound = Some(Bound::Pin(pin)));
        self
    }

    /// Sets the session that the request belongs to, in the place of a pin.
    #[must_use]
    pub fn with_session(mut self, session: Session) -> Self {
        self.rest = self
            .rest
            .with(|rest| rest.bound = Some(Bound::Session(session)));
        self
    }

    /// What it says itself, and for the rest what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            key: self.key.or(other.key),
            intent: match self.intent {
                Intent::Any => other.intent,
                said => said,
            },
            rest: self.rest.or(other.rest),
        }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Routing<'_> {
        Routing {
            key: self.key.as_ref().map(Key::borrowed),
            intent: self.intent,
            rest: More {
                own: Seldom::EMPTY,
                borrowed: self.rest.get(),
            },
        }
    }

    /// Whether it is bound to one endpoint, by a pin or a session.
    #[cfg(feature = "http")]
    pub(crate) fn is_bound(&self) -> bool {
        self.rest.get().is_some_and(|rest| rest.bound.is_some())
    }

    /// The key, if there is one.
    #[must_use]
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_ref().map(AsRef::as_ref)
    }

    /// Whose it is, where that is said.
    #[must_use]
    pub fn client_bytes(&self) -> Option<&[u8]> {
        self.rest.get()?.client.as_ref().map(AsRef::as_ref)
    }

    /// What a picker sees of it.
    #[inline]
    pub(crate) fn as_seen(&self) -> Seen<'_> {
        Seen {
            key: self.key_bytes(),
            intent: self.intent,
            rest: self.rest.get(),
        }
    }
}

impl<'a> More<'a> {
    #[inline]
    fn get(&self) -> Option<&Rest> {
        match &*self.own {
            Some(rest) => Some(rest),
            None => self.borrowed,
        }
    }

    /// With this said, too.
    fn with(self, say: impl FnOnce(&mut Rest)) -> Self {
        let mut rest = self.get().cloned().unwrap_or_default();
        say(&mut rest);
        Self::of(rest)
    }

    fn or(self, other: Self) -> Self {
        let Some(theirs) = other.get() else {
            return self;
        };
        if self.get().is_none() {
            return other;
        }
        self.with(|both| {
            both.client = both.client.take().or_else(|| theirs.client.clone());
            both.bound = both.bound.take().or_else(|| theirs.bound.clone());
            both.not_before = both.not_before.or(theirs.not_before);
        })
    }

    fn of(rest: Rest) -> Self {
        Self {
            own: Seldom::full(rest),
            borrowed: None,
        }
    }
}

impl Clone for More<'_> {
    fn clone(&self) -> Self {
        match &*self.own {
            Some(rest) => Self::of(Rest::clone(rest)),
            None => Self {
                own: Seldom::EMPTY,
                borrowed: self.borrowed,
            },
        }
    }
}

impl PartialEq for More<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for More<'_> {}

impl fmt::Debug for More<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Bound {
    fn pin(&self) -> &Pin {
        match self {
            Self::Pin(pin) => pin,
            Self::Session(session) => session.pin(),
        }
    }
}

/// What a picker sees of a [`Routing`]: a copy of what it points to, which the request path can keep in
/// registers (60 instructions a call less than a reference to the whole).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen<'a> {
    key: Option<&'a [u8]>,
    intent: Intent,
    rest: Option<&'a Rest>,
}

impl<'a> Seen<'a> {
    pub(crate) fn is_pinned(self) -> bool {
        matches!(self.bound(), Some(Bound::Pin(_)))
    }

    pub(crate) fn session(self) -> Option<&'a Session> {
        match self.bound()? {
            Bound::Session(session) => Some(session),
            Bound::Pin(_) => None,
        }
    }

    fn bound(self) -> Option<&'a Bound> {
        self.rest?.bound.as_ref()
    }

    #[inline]
    pub(crate) fn apply_to(self, context: &mut PickContext<'a>) {
        context.key = self.key;
        context.intent = self.intent;
        if let Some(rest) = self.rest {
            context.client = rest.client.as_ref().map(AsRef::as_ref);
            context.pin = rest.bound.as_ref().map(Bound::pin);
            context.not_before = rest.not_before;
        }
    }
}

impl Key<'_> {
    fn into_owned(self) -> Key<'static> {
        Key(Cow::Owned(self.0.into_owned()))
    }

    fn borrowed(&self) -> Key<'_> {
        Key(Cow::Borrowed(&self.0))
    }
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> From<&'a [u8]> for Key<'a> {
    fn from(key: &'a [u8]) -> Self {
        Self(Cow::Borrowed(key))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Key<'a> {
    fn from(key: &'a [u8; N]) -> Self {
        Self(Cow::Borrowed(key))
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(key: &'a str) -> Self {
        Self(Cow::Borrowed(key.as_bytes()))
    }
}

impl From<Vec<u8>> for Key<'_> {
    fn from(key: Vec<u8>) -> Self {
        Self(Cow::Owned(key))
    }
}

impl From<String> for Key<'_> {
    fn from(key: String) -> Self {
        Self(Cow::Owned(key.into_bytes()))
    }
}

impl<'a> From<Cow<'a, [u8]>> for Key<'a> {
    fn from(key: Cow<'a, [u8]>) -> Self {
        Self(key)
    }
}

impl<'a> From<Cow<'a, str>> for Key<'a> {
    fn from(key: Cow<'a, str>) -> Self {
        match key {
            Cow::Borrowed(key) => key.into(),
            Cow::Owned(key) => key.into(),
        }
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_says_goes_before_what_the_other_says() {
        let request = Routing::key("mine").read();
        let affinity = Routing::pinned_to("db-1").with_key("theirs").write();
        let both = request.or(affinity.with_client("they"));
        let expected = Routing::pinned_to("db-1").with_key("mine").read();
        assert_eq!(both, expected.with_client("they"));
        assert_eq!(both.borrowed(), both);
        let own = Routing::new().with_client("I").or(both);
        assert_eq!(own.client_bytes(), Some(&b"I"[..]));
    }

    #[test]
    fn a_picker_sees_all_of_it() {
        let routing = Routing::key("k").with_client("c").read();
        let routing = routing.not_before(Position::new(7));
        let mut context = PickContext::new(portolan_core::Time::ORIGIN, 0);
        routing.as_seen().apply_to(&mut context);
        assert_eq!(
            (context.key, context.client),
            (Some(&b"k"[..]), Some(&b"c"[..]))
        );
        assert_eq!(context.intent, Intent::Read);
        assert_eq!(context.not_before, Some(Position::new(7)));
    }

    #[test]
    fn an_empty_key_is_a_key() {
        let routing = Routing::key("").or(Routing::key("other"));
        assert_eq!(routing, Routing::key(""));
        assert_ne!(routing, Routing::new());
    }
}
