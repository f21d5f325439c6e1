//! One request of a client that may have a session, and what the response tells it.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderValue};
use portolan_core::Placement;

use super::{Moved, Sessions, token::Opened};
use crate::{Routing, session::Session};

/// Who has served a request. Among the extensions of its response, on the way to the [`Visit`].
#[derive(Clone, Debug)]
pub(crate) struct ServedBy(pub(crate) Placement);

/// The head of a response, whichever client it is of.
pub(crate) trait Answer {
    fn headers_mut(&mut self) -> &mut HeaderMap;
    fn extensions_mut(&mut self) -> &mut Extensions;
}

impl<B> Answer for http::Response<B> {
    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

#[cfg(feature = "reqwest")]
impl Answer for reqwest::Response {
    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

/// The session of a request. Among its extensions, on the way to whoever chooses.
#[derive(Clone, Debug)]
pub(crate) struct InSession(pub(crate) Routing<'static>);

/// One request of a client that may have a session.
#[derive(Debug)]
pub(crate) struct Visit {
    sessions: Arc<Sessions>,
    /// What its token says, if it has one.
    brought: Option<Opened>,
}

impl Sessions {
    /// A request with this head begins. `None` where something else says already which endpoint it must go to.
    pub(crate) fn visit(
        self: &Arc<Self>,
        routing: &Routing<'_>,
        headers: &HeaderMap,
    ) -> Option<Visit> {
        if routing.is_bound() {
            return None;
        }
        let mut tokens = self.carrier.tokens(headers);
        Some(Visit {
            sessions: Arc::clone(self),
            brought: tokens.find_map(|token| self.seal.open(token)),
        })
    }
}

impl Visit {
    /// The session that the request belongs to.
    pub(crate) fn session(&self) -> Option<Session> {
        let brought = self.brought.as_ref()?;
        Some(self.sessions.held_by(&brought.placement))
    }

    /// The request was answered: [tells](Self::tell) the client what became of its session.
    pub(crate) fn end(self, moves: bool, answer: &mut impl Answer) {
        let Some(ServedBy(served_by)) = answer.extensions_mut().remove() else {
            return;
        };
        if let Some(moved) = self.tell(&served_by, moves, answer.headers_mut()) {
            answer.extensions_mut().insert(moved);
        }
    }

    /// Tells the client who holds its session, where that is new to it; and whether the session has moved.
    ///
    /// A request may have been served elsewhere though its session does not move: the policy, or an answer, sent it there.
    fn tell(self, served_by: &Placement, moves: bool, headers: &mut HeaderMap) -> Option<Moved> {
        let Self { sessions, brought } = self;
        let (holder, moved, is_new) = match brought {
            None => (served_by.clone(), None, true),
            Some(Opened {
                placement,
                is_former,
            }) => {
                let stays = !moves || placement == *served_by;
                let moved = (!stays).then(|| Moved {
                    from: placement.clone(),
                    to: served_by.clone(),
                });
                let holder = if stays { placement } else { served_by.clone() };
                (holder, moved, is_former)
            }
        };
        if (is_new || moved.is_some() || sessions.carrier.is_renewed())
            && let Some(token) = sessions.seal.token(&holder)
        {
            sessions.carrier.put(&token, headers);
        }
        if let Some(Moved { from, to }) = &moved {
            tracing::info!(%from, %to, "a session has moved, for its endpoint is gone");
            let name = sessions.moved_in.as_ref();
            if let Some((name, value)) = name.zip(HeaderValue::from_str(from.as_str()).ok()) {
                headers.insert(name, value);
            }
        }
        moved
    }
}
