//! Sticky sessions over HTTP: who was served by a Pod is served by it again.
//!
//! The first response of a Pod has a token with the Pod's stable name, in a cookie or a header of its own. Requests that
//! bring it back go to that Pod, whatever the policy would say, through its restarts too; all others go by the policy.
//! It is for programs that pass requests on for browsers and other clients: a gateway, a backend for a frontend.
//!
//! ```
//! use portolan::{Cluster, session::Gone, source::Fixed, sticky::{SigningKey, Sticky}};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! # let secret = [7; 32];
//! let key = SigningKey::new(&secret)?; // From a Secret: the same in all replicas of this program.
//! let games = cluster
//!     .service("games.shop:http")?
//!     .http()
//!     .sticky(Sticky::by_cookie("games-pod", key).patience(Duration::from_secs(30)))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # When the Pod is gone for good
//! See [`Gone`], which says what that means. A session that moves says so: the response has [`Moved`] among its
//! extensions, and, [where asked for](Sticky::say_moved_in), a header; and the token of the new Pod. A session that does not
//! move fails with [`Reason::SessionLost`](crate::Reason::SessionLost), until the client [forgets](Sticky::forget) it:
//!
//! ```
//! # use portolan::{Error, ErrorKind, Reason, http::HttpClient};
//! /// What is answered where no Pod has.
//! fn failed(games: &HttpClient, error: &Error) -> http::Response<()> {
//!     let mut response = http::Response::new(());
//!     *response.status_mut() = http::StatusCode::BAD_GATEWAY;
//!     if *error.kind() == ErrorKind::Refused(Reason::SessionLost) {
//!         response.headers_mut().extend(games.forget_session());
//!     }
//!     response
//! }
//! ```
//!
//! # What a client can do with a token
//! It can read the name of a Pod in it, and go there again. It cannot make one: a token is signed (HMAC-SHA256, RFC 2104) for
//! one Service, and one that is forged, of another Service or of a key that is not known is no token, which means no session.
//!
//! # How long a token is good for
//! Two days, or [as long as is set](Sticky::lifetime). Past half of that, the next response has a new one; so a session lasts for
//! as long as its client comes again within half the time, a day. One that is over is no token, as one that is forged, and the
//! request begins a session. A browser keeps the cookie until it is closed, or for [as long as is set](SessionCookie::max_age),
//! which is never longer than its token is good for.
//!
//! When a token was signed is part of it, by the clock of whoever signed it. One from a day ahead at most is good: a clock that
//! is put back by so much ends no session. One from further ahead is not, or whatever a clock signed that was years ahead
//! would be good for years. So no token is good for longer than its lifetime and a day; and only a clock that jumps ahead by
//! as much as the lifetime, or back by more than a day, has clients begin anew.
//!
//! # Which Service a token is for
//! That of this name and namespace, on whatever port and in whatever way it is reached. Where no namespace is written it is the
//! [`Cluster`](crate::Cluster)'s own, as that of a Pod or a kubeconfig; where the cluster has none either, the client is not
//! built: two Services of one name would take each other's sessions. [`Sticky::scope`] says it in other words. Several
//! clusters are not told apart by it: where Services of one name and namespace in two of them are not the same thing, give
//! them keys or scopes of their own.
//!
//! # What to mind
//! Requests that a new client sends at a time begin a session each, and the last response's token stays. Any answer of a Pod
//! begins one, whatever its status. A response that sets a cookie is not for caches that several clients share. The token is
//! passed on to the Pod with the rest of the request.
//!
//! # What goes before
//! A [pin](crate::Routing::pinned_to) of the request's own, or of the [affinity](mod@crate::affinity), which neither begins a
//! session nor moves one. And a policy that does not let such a request go to the session's Pod, as
//! [`PrimaryReplica`](crate::policy::PrimaryReplica) does not with a write and a replica: the session stays where it is.

mod carrier;
mod key;
mod lifetime;
mod scope;
mod token;
mod visit;

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use portolan_core::Placement;

pub use carrier::{SameSite, SessionCookie};
pub use key::SigningKey;
pub(crate) use visit::{InSession, ServedBy, Visit};

use crate::{
    BalancerBuilder, BuildError,
    session::{Gone, Session},
};
use carrier::{Carrier, Wanted, header_name};
use lifetime::Lifetime;
use scope::Scope;
use token::Seal;

/// How sessions are kept, and what becomes of them. See the [module](self).
#[derive(Clone)]
#[must_use = "it does nothing until a client's builder has it"]
pub struct Sticky {
    carrier: Wanted,
    keys: Vec<SigningKey>,
    scope: Option<Arc<str>>,
    lifetime: Option<Lifetime>,
    gone: Gone,
    patience: Option<Duration>,
    moved_in: Option<Arc<str>>,
}

/// A session that has moved, from a Pod that is gone for good. Among the extensions of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Who held the session.
    pub from: Placement,
    /// Who holds it now, and may know nothing of it.
    pub to: Placement,
}

impl Sticky {
    /// The token is in a cookie: of this name, or [as it is told](SessionCookie).
    pub fn by_cookie(cookie: impl Into<SessionCookie>, key: SigningKey) -> Self {
        Self::by(Wanted::Cookie(cookie.into()), key)
    }

    /// The token is in a header of this name, in requests as in responses: for clients that are no browsers. With gRPC,
    /// that is metadata.
    pub fn by_header(name: &str, key: SigningKey) -> Self {
        Self::by(Wanted::Header(name.into()), key)
    }

    fn by(carrier: Wanted, key: SigningKey) -> Self {
        Self {
            carrier,
            keys: vec![key],
            scope: None,
            lifetime: None,
            gone: Gone::default(),
            patience: None,
            moved_in: None,
        }
    }

    /// Takes tokens that were signed with a former key as well, and gives those who bring one a new one: for a token's
    /// [lifetime](Self::lifetime), after the key was changed.
    pub fn accept(mut self, former: SigningKey) -> Self {
        self.keys.push(former);
        self
    }

    /// Sets what the tokens are for, in 1 to 253 bytes of text without control characters. Default: the Service, by its name
    /// and namespace. For clients that know no namespace; and for several Services with the same Pods, as a headless one and
    /// one with a virtual IP, where a session is to hold with all of them: give them one scope, and one key.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets how long a token is good for, in whole seconds, a second at least. It is replaced past half of that; so this is twice
    /// as long as a client may be silent for certain, and keep its session. Default: two days, so that it is enough to come
    /// once a day; or the cookie's [`max_age`](SessionCookie::max_age), where that is set. Less than that is refused.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(Lifetime::Limited(lifetime));
        self
    }

    /// Has tokens that do not end: whoever keeps one may go to that Pod again for as long as the key is accepted. For
    /// clients that may be silent for any time, as devices are, where what the Pod has of them is worth it.
    pub fn endless(mut self) -> Self {
        self.lifetime = Some(Lifetime::Endless);
        self
    }

    /// Sets what becomes of a session whose Pod is gone for good. Default: [`Gone::Move`].
    pub fn when_gone(mut self, gone: Gone) -> Self {
        self.gone = gone;
        self
    }

    /// Sets for how long a request waits for a Pod that may come back, before it is taken for gone. Default: as long as any
    /// request [waits](crate::BalancerBuilder::wait). A Pod that stops in good order and starts again takes up to 30 s for
    /// the first alone, where nothing else is set for it.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Has a response by which a session moves say so to the client, in a header of this name: its value is the name of
    /// the Pod that is gone.
    pub fn say_moved_in(mut self, header: &str) -> Self {
        self.moved_in = Some(header.into());
        self
    }

    /// What to put into a response for the client to forget its session: a cookie that is over. For whoever logs out, and
    /// after [`Reason::SessionLost`](crate::Reason::SessionLost). `None` by header, which a client forgets by itself. Whoever has
    /// the client at hand, and not this, asks it: [`HttpClient::forget_session`](crate::http::HttpClient::forget_session).
    #[must_use]
    pub fn forget(&self) -> Option<(HeaderName, HeaderValue)> {
        self.carrier.forget()
    }

    /// The sessions of a client of this balancer.
    pub(crate) fn of(&self, balancer: &BalancerBuilder) -> Result<Sessions, BuildError> {
        let carrier = self.carrier.check()?;
        let moved_in = self.moved_in.as_deref();
        let moved_in = moved_in
            .map(|name| header_name("sticky.say_moved_in", name))
            .transpose()?;
        if let (Carrier::Header(name), Some(moved_in)) = (&carrier, &moved_in)
            && name == moved_in
        {
            return Err(BuildError::Setting {
                setting: "sticky.say_moved_in",
                value: format!("{moved_in:?}"),
                expected: "expected another header than the one that has the token",
            });
        }
        let lifetime = Lifetime::of(self.lifetime, carrier.kept_for())?;
        let scope = Scope::of(balancer, self.scope.as_deref())?;
        Ok(Sessions {
            carrier,
            seal: Seal::new(scope, lifetime, &self.keys),
            moved_in,
            gone: self.gone,
            patience: self.patience,
        })
    }
}

/// The sessions of one Service, by settings that make sense.
#[derive(Debug)]
pub(crate) struct Sessions {
    carrier: Carrier,
    seal: Seal,
    moved_in: Option<HeaderName>,
    gone: Gone,
    patience: Option<Duration>,
}

impl Sessions {
    /// What has the client forget its session.
    pub(crate) fn forget(&self) -> Option<(HeaderName, HeaderValue)> {
        self.carrier.forget()
    }

    fn held_by(&self, placement: &Placement) -> Session {
        let session = Session::held_by(placement.as_str()).when_gone(self.gone);
        match self.patience {
            Some(patience) => session.patience(patience),
            None => session,
        }
    }
}

impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sticky")
            .field("carrier", &self.carrier)
            .field("scope", &self.scope)
            .field("lifetime", &self.lifetime)
            .field("gone", &self.gone)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
