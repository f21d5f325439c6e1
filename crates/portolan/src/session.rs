//! Requests that belong to a session, which one endpoint holds.

use std::time::Duration;

use portolan_core::{Pin, Placement};

/// A session, and the endpoint that holds it.
///
/// Its requests go there, as those that are [pinned](crate::Routing::pinned_to) to it do, and wait while that Pod
/// restarts: the session is held by the [placement](crate::Placement), the Pod's stable name, and not by one life of it.
/// Unlike a pin, it knows what to do when the endpoint is gone for good ([`Gone`]).
///
/// A program that keeps sessions by itself, in a table or a token, sends each request by this, and looks who answered. With HTTP,
/// `portolan::sticky` keeps them in a cookie.
///
/// ```
/// # use portolan::{Error, Nodes, Routing, session::{Gone, Session}};
/// # async fn example(nodes: Nodes, mut holder: String) -> Result<(), Error> {
/// let session = Session::held_by(&holder).when_gone(Gone::Move);
/// let lease = nodes.pick_for(Routing::session(session)).await?;
/// if lease.endpoint().placement().as_str() != holder {
///     holder = lease.endpoint().placement().to_string(); // It is gone for good: this one is to be told who we are.
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pin: Pin,
    gone: Gone,
    patience: Option<Duration>,
}

/// What becomes of a session whose endpoint is gone for good.
///
/// An endpoint is, when the source follows the Service and does not name it: at once where nobody of that name can come
/// back, as with Pods of a Deployment; and after the session's [patience](Session::patience), where it can. That is one
/// of a StatefulSet, whose Pods come back under their names, and one that is named by the source but gets no requests
/// now: it is not ready, say, or cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gone {
    /// The request fails, with [`Reason::SessionLost`](crate::Reason::SessionLost): what the session had is lost, and
    /// whoever began it must know.
    Fail,
    /// The policy chooses another endpoint, as for a request without a session, which then holds it. The default: what
    /// is sticky for speed (a cache, an upload, a game that is saved elsewhere as well) goes on.
    #[default]
    Move,
}

impl Session {
    /// The session that the endpoint of this placement holds.
    #[must_use]
    pub fn held_by(name: &str) -> Self {
        Self {
            pin: Pin::Placement(Placement::new(name)),
            gone: Gone::default(),
            patience: None,
        }
    }

    /// Sets what becomes of it when that endpoint is gone for good. Default: [`Gone::Move`].
    #[must_use]
    pub fn when_gone(mut self, gone: Gone) -> Self {
        self.gone = gone;
        self
    }

    /// Sets for how long a request waits for an endpoint that may come back, before it is taken for gone. Default: as long as
    /// any request [waits](crate::BalancerBuilder::wait). Where the session moves then, and there is nobody to move to, the
    /// request has waited for that as well: it waits for no longer, in all, than the longer of the two.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Where it is, in a picker's terms.
    pub(crate) fn pin(&self) -> &Pin {
        &self.pin
    }

    /// For how long a request of it waits, where any other would wait for `usual`, if its endpoint may come back.
    pub(crate) fn waits(&self, usual: Duration, may_return: bool) -> Duration {
        match may_return {
            true => self.patience.unwrap_or(usual),
            false => Duration::ZERO,
        }
    }

    /// Whether it goes on elsewhere.
    pub(crate) fn moves(&self) -> bool {
        self.gone == Gone::Move
    }
}
