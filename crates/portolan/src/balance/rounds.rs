//! What a request does when nobody is left to ask: another round, or a wait for somebody to come.

use std::time::Duration;

use portolan_core::{Freshness, Snapshot, SourceErrorKind};
use tokio::time::Instant;

use super::{Journey, Published, Reached, Step, Waited, detours::Left};
use crate::{Error, ErrorKind, Lease, Sent, routing::Seen, session::Session};

impl<Req> Journey<Req> {
    /// Every endpoint has been tried, and the request may be sent again nevertheless, or it would
    /// not be here.
    ///
    /// It waits for the next change: for another endpoint, be it a Pod's next incarnation, or for one
    /// that has been away and comes back. Where there is one endpoint only, and it broke off
    /// before it got the request, that one is tried once more first: it closed a connection and no more,
    /// or it is found to be out of reach.
    pub(super) fn next_round<S: Clone>(
        &mut self,
        published: &Published<S>,
        snapshot: &Snapshot<Reached<S>>,
        seen: Seen<'_>,
        lease: &mut Option<Lease>,
    ) -> Result<Step<S>, Error> {
        let detours = self.detours();
        // Who answers is there, and may do so better the next time. How often, the rules for retries say.
        if detours.asked.iter().any(|one| one.answered) {
            detours.asked.retain(|one| !one.answered);
            return self.next(published, seen, lease);
        }
        let broke_off = matches!(&*detours.attempts, [only] if only.sent == Sent::No);
        // A policy that says of nobody that all have been tried must not be asked for ever.
        if broke_off && !detours.asked.is_empty() {
            detours.asked.clear();
            return self.next(published, seen, lease);
        }
        // Those that may have got the request, and have been away since, are not too bad now.
        if !std::mem::replace(&mut detours.nobody_else, true) {
            return self.next(published, seen, lease);
        }
        self.wait(published, snapshot, seen, lease, None)
    }

    pub(super) fn wait<S: Clone>(
        &mut self,
        published: &Published<S>,
        snapshot: &Snapshot<Reached<S>>,
        seen: Seen<'_>,
        lease: &mut Option<Lease>,
        limit: Option<Duration>,
    ) -> Result<Step<S>, Error> {
        let known = match snapshot.freshness() {
            Freshness::Pending => false,
            // The question itself is wrong: time does not mend it.
            Freshness::Stale { error, .. } if error.kind() == SourceErrorKind::Invalid => {
                return Err(self.error(published, ErrorKind::Discovery));
            }
            _ => true,
        };
        let session = self.session(seen);
        let now = Instant::now();
        let detours = self.detours();
        let since = *detours.waiting.get_or_insert(now);
        // Whoever is there after the wait is asked in the same order: first those who were not yet.
        detours.nobody_else = false;
        // The limit is not the same before and after the source's first word. One beyond what the
        // clock can say is a day, which is as good as for ever.
        let mut limit = limit.unwrap_or_else(|| published.settings.wait.limit(known));
        if known && let Some(session) = session {
            // A source that fails may have missed that it is back.
            let is_live = matches!(snapshot.freshness(), Freshness::Live);
            let may_return = !is_live || snapshot.may_return(session.pin());
            limit = session.waits(limit, may_return);
        }
        let day = Duration::from_secs(86_400);
        let deadline = since.checked_add(limit).unwrap_or(since + day);
        if deadline > now {
            return Ok(Step::Wait(snapshot.generation(), deadline));
        }
        if known && session.is_some_and(Session::moves) {
            // It has waited for that endpoint, which counts where it must wait for anybody, too.
            detours.left_session = Some(Left::Gone);
            return self.next(published, seen, lease);
        }
        Err(self.waited_in_vain(published, seen, Waited::TimedOut))
    }

    /// Whether the endpoint that held its session is gone, and the session moves.
    #[cfg(feature = "http")]
    pub(super) fn session_moves(&self) -> bool {
        let detours = self.detours.as_ref();
        detours.is_some_and(|detours| detours.left_session == Some(Left::Gone))
    }

    /// What comes after a wait: another choice, or the end.
    pub(crate) fn after<S>(
        &mut self,
        published: &Published<S>,
        seen: Seen<'_>,
        how: Waited,
    ) -> Result<(), Error> {
        match how {
            Waited::Changed => {
                if let Some(detours) = &mut *self.detours
                    && std::mem::take(&mut detours.found_nobody)
                {
                    detours.more += 1;
                }
                Ok(())
            }
            // Whether it goes on elsewhere is for the next choice to say.
            Waited::TimedOut if self.session(seen).is_some() => Ok(()),
            // There is no room to wait for its endpoint in, and it can go elsewhere.
            Waited::Crowded if self.session(seen).is_some_and(Session::moves) => {
                self.detours().left_session = Some(Left::Gone);
                Ok(())
            }
            how => Err(self.waited_in_vain(published, seen, how)),
        }
    }
}
