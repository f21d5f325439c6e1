//! One request of a client that may have a session, and what the response tells it.

use std::{sync::Arc, time::SystemTime};

use http::{Extensions, HeaderMap, HeaderValue};
use portolan_core::Placement;

use super::{Moved, Sessions, lifetime::Moment, token::Opened};
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
    /// When it began.
    at: Moment,
    /// What its token says, if it has one.
    brought: Option<Opened>,
}

impl Sessions {
    /// A request with this head begins, at this time. `None` where something else says already which endpoint it must go to.
    pub(crate) fn visit(
        self: &Arc<Self>,
        routing: &Routing<'_>,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Option<Visit> {
        if routing.is_bound() {
            return None;
        }
        let (mut tokens, at) = (self.carrier.tokens(headers), now.into());
        Some(Visit {
            sessions: Arc::clone(self),
            at,
            brought: tokens.find_map(|token| self.seal.open(token, at)),
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
        let Self {
            sessions,
            at,
            brought,
        } = self;
        let (holder, moved, is_new) = match brought {
            None => (served_by.clone(), None, true),
            Some(Opened { placement, is_due }) => {
                let stays = !moves || placement == *served_by;
                let moved = (!stays).then(|| Moved {
                    from: placement.clone(),
                    to: served_by.clone(),
                });
                let holder = if stays { placement } else { served_by.clone() };
                (holder, moved, is_due)
            }
        };
        if (is_new || moved.is_some() || sessions.carrier.kept_for().is_some())
            && let Some(token) = sessions.seal.token(&holder, at)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Cluster,
        source::Fixed,
        sticky::{SessionCookie, SigningKey, Sticky},
    };

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn sessions(sticky: impl FnOnce(Sticky) -> Sticky) -> Arc<Sessions> {
        let key = SigningKey::new(&[1; 32]).unwrap();
        sessions_of(sticky(Sticky::by_header("x-pod", key)))
    }

    fn sessions_of(sticky: Sticky) -> Arc<Sessions> {
        let balancer = Cluster::from_source(Fixed::default()).service("db.shop");
        Arc::new(sticky.of(&balancer.unwrap()).unwrap())
    }

    /// A request with this token, which this Pod serves if it is of no session: the token that is in the response, if any,
    /// and whether the request was of a session.
    fn answer(
        sessions: &Arc<Sessions>,
        token: Option<&HeaderValue>,
        now: SystemTime,
    ) -> (Option<HeaderValue>, bool) {
        let mut headers = HeaderMap::new();
        headers.extend(token.map(|token| (http::HeaderName::from_static("x-pod"), token.clone())));
        let visit = sessions.visit(&Routing::new(), &headers, now).unwrap();
        let is_in_session = visit.session().is_some();
        let mut response = http::Response::new(());
        let by = ServedBy(Placement::new("db-0"));
        response.extensions_mut().insert(by);
        visit.end(false, &mut response);
        (response.headers_mut().remove("x-pod"), is_in_session)
    }

    #[test]
    fn a_session_lasts_as_long_as_its_client_comes_within_half_the_lifetime() {
        let sessions = sessions(|sticky| sticky.lifetime(Duration::from_secs(2 * HOUR)));
        let (token, in_session) = answer(&sessions, None, at(0));
        assert!(!in_session);
        let mut token = token.unwrap();
        // Soon after there is nothing to tell.
        assert_eq!(answer(&sessions, Some(&token), at(HOUR)), (None, true));
        for hour in 1..100 {
            let (renewed, in_session) = answer(&sessions, Some(&token), at(hour * (HOUR + 1)));
            assert!(in_session);
            token = renewed.unwrap();
        }
        // It was silent for too long: another session begins.
        let late = at(99 * (HOUR + 1) + 2 * HOUR);
        let (fresh, in_session) = answer(&sessions, Some(&token), late);
        assert!(!in_session);
        assert_ne!(fresh.unwrap(), token);
    }

    #[test]
    fn by_default_it_is_two_days_and_by_choice_it_has_no_end() {
        let token = answer(&sessions(|sticky| sticky), None, at(0)).0.unwrap();
        let is_good = |sessions: &Arc<Sessions>, days: u64| {
            answer(sessions, Some(&token), at(days * 24 * HOUR - 1)).1
        };
        let usual = sessions(|sticky| sticky);
        assert!(is_good(&usual, 2));
        assert!(!is_good(&usual, 3));
        let endless = sessions(Sticky::endless);
        assert!(is_good(&endless, 10_000));
        assert_eq!(answer(&endless, Some(&token), at(0)), (None, true));
    }

    #[test]
    fn a_cookie_that_is_kept_for_a_while_has_a_token_that_is_good_for_as_long() {
        let month = Duration::from_secs(30 * 24 * HOUR);
        let by = |cookie| Sticky::by_cookie(cookie, SigningKey::new(&[1; 32]).unwrap());
        let sessions = sessions_of(by(SessionCookie::named("pod").max_age(month)));
        let token = sessions.seal.token(&Placement::new("db-0"), at(0).into());
        let opened = |now| {
            sessions
                .seal
                .open(token.as_ref()?.as_bytes(), at(now).into())
        };
        assert!(opened(month.as_secs() - 1).is_some());
        assert!(opened(month.as_secs()).is_none());
        let too_short = by(SessionCookie::named("pod").max_age(month)).lifetime(month / 2);
        let balancer = Cluster::from_source(Fixed::default()).service("db.shop");
        let error = too_short.of(&balancer.unwrap()).unwrap_err();
        assert!(error.to_string().contains("max_age"), "{error}");
    }

    proptest! {
        /// Whatever the clock does: who brings the token of the last answer that had one is in its session unless that was
        /// signed a lifetime ago, or will be in more than a day.
        #[test]
        fn clocks_may_jump(jumps in prop::collection::vec(-200_000..200_000_i64, 1..40)) {
            let sessions = sessions(|sticky| sticky.lifetime(Duration::from_secs(48 * HOUR)));
            let mut now = 1_000_000_i64;
            let mut last: Option<(HeaderValue, i64)> = None;
            for jump in jumps {
                now = (now + jump).max(0);
                let brought = last.as_ref().map(|(token, _)| token);
                let (renewed, in_session) = answer(&sessions, brought, at(now as u64));
                let good = last.as_ref().is_some_and(|(_, signed)| {
                    (-86_400..172_800).contains(&(now - signed))
                });
                prop_assert_eq!(in_session, good);
                if let Some(token) = renewed {
                    last = Some((token, now));
                } else {
                    let (_, signed) = last.as_ref().unwrap();
                    prop_assert!((now - signed).abs() <= 86_400);
                }
            }
        }
    }
}
