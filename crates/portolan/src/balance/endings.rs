//! How a request ends that is not answered: what is told of it.

use portolan_core::{Explanation, Freshness, PickContext, Reason};

use super::{
    Journey,
    published::{Published, Waited},
};
use crate::{Attempt, Error, ErrorKind, Sent, routing::Seen};

impl<Req> Journey<Req> {
    /// The policy has nobody for it, and waiting does not help.
    pub(super) fn refused<S>(
        &mut self,
        published: &Published<S>,
        seen: Seen<'_>,
        reason: Reason,
    ) -> Error {
        let why = self.explain(published, seen);
        let error = self.error(published, ErrorKind::Refused(reason));
        error.with_explanation(why)
    }

    /// The request cannot go on after the last attempt.
    pub(crate) fn end<S>(&mut self, published: &Published<S>) -> Error {
        let kind = kind_of_failure(self.attempts());
        self.error(published, kind)
    }

    /// What a wait that ended other than by a change means.
    pub(crate) fn waited_in_vain<S>(
        &mut self,
        published: &Published<S>,
        seen: Seen<'_>,
        how: Waited,
    ) -> Error {
        let since = self.detours.as_ref().and_then(|detours| detours.waiting);
        let waited = since.map(|since| since.elapsed()).unwrap_or_default();
        let attempts = self.attempts();
        let kind = match (how, attempts, published.load().freshness()) {
            (Waited::Crowded, ..) => ErrorKind::TooManyWaiting,
            (Waited::Closed, ..) => ErrorKind::Closed,
            (_, [_, ..], _) => kind_of_failure(attempts),
            (_, _, Freshness::Absent) => ErrorKind::NotFound { waited },
            (_, _, Freshness::Live) if self.session(seen).is_some() => {
                ErrorKind::Refused(Reason::SessionLost)
            }
            (_, _, Freshness::Live) if seen.is_pinned() => ErrorKind::Refused(Reason::PinNotFound),
            _ => ErrorKind::NoEndpoints { waited },
        };
        // Why there is nobody. Where there are too many, saying no must be cheap.
        let why = match how {
            Waited::TimedOut => self.explain(published, seen),
            _ => None,
        };
        self.error(published, kind).with_explanation(why)
    }

    pub(crate) fn error<S>(&mut self, published: &Published<S>, kind: ErrorKind) -> Error {
        Error::new(kind, published.service.clone())
            .with_attempts(
                self.detours
                    .take()
                    .map_or_else(Vec::new, |detours| detours.attempts),
            )
            .with_freshness(
                published.load().freshness(),
                published.clock.now(),
                published.settings.max_staleness,
            )
    }

    /// Why the request has nobody to go to, by what is known now; nothing where nobody is known.
    #[cold]
    fn explain<S>(&self, published: &Published<S>, seen: Seen<'_>) -> Option<Explanation> {
        let snapshot = published.load();
        if snapshot.membership().members().is_empty() {
            return None;
        }
        let tried = self.tried_in(&snapshot);
        let mut explanation = Explanation::in_brief();
        let mut context =
            PickContext::new(published.clock.now(), fastrand::u64(..)).with_tried(&tried);
        self.show(seen, &mut context);
        snapshot.explain(&context, &mut explanation);
        Some(explanation)
    }
}

/// Whichever attempt it was: once a request may have been processed, nobody may take it for one that was not.
fn kind_of_failure(attempts: &[Attempt]) -> ErrorKind {
    match attempts.iter().any(|one| one.sent == Sent::Maybe) {
        true => ErrorKind::Failed,
        false => ErrorKind::Exhausted,
    }
}
