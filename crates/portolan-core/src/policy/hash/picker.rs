//! What all algorithms have in common: the first host of a key, the next ones, and requests without a key.

use std::{fmt, sync::Arc};

use super::{
    bound::Bound,
    host::{Host, Hosts},
    order::Order,
};
use crate::{Candidates, Explanation, Index, PickContext, Picker, Reason, Verdict};

/// How many full hosts a request passes before the next one has to take it, full or not. With a bound of 1.25 at
/// most four in five are full, so that nobody gets there; it only keeps a pick short.
const PASSED: usize = 256;

/// Sends each key to the first host in its order, as the algorithm `O` has it, that can take it.
pub(super) struct KeyPicker<O> {
    pub(super) order: O,
    pub(super) hosts: Hosts,
    pub(super) bound: Option<Bound>,
    pub(super) without_key: Option<Arc<dyn Picker>>,
    pub(super) candidates: Candidates,
}

/// Without the points and places, of which there are a great many.
impl<O: Order> fmt::Debug for KeyPicker<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPicker")
            .field("policy", &O::NAME)
            .field("candidates", &self.candidates)
            .field("bounded", &self.bound.is_some())
            .field("without_key", &self.without_key)
            .finish_non_exhaustive()
    }
}

impl<O: Order> Picker for KeyPicker<O> {
    #[inline]
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let Some(key) = context.key else {
            return self.pick_without_key(context);
        };
        let hash = self.order.hash(key);
        match self.order.first(hash) {
            Some(host) if context.tried.is_empty() => match self.hosts.endpoint(host) {
                Some(index) if self.has_room(host, index, context) => Verdict::Use(index),
                _ => self.pick_next(context, hash),
            },
            _ => self.pick_next(context, hash),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        match (context.key, &self.without_key) {
            (None, Some(picker)) => {
                explanation.note(O::NAME, "the request has no key");
                picker.explain(context, explanation)
            }
            (None, None) => {
                explanation.note(
                    O::NAME,
                    "the request has no key, and nobody is to choose without",
                );
                self.pick(context)
            }
            (Some(key), _) => {
                let verdict = self.pick(context);
                explanation.note(O::NAME, self.reason(key, context, verdict));
                verdict
            }
        }
    }

    /// Any host may serve any key; whom a request without one may go to, is for those to say who choose for it.
    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        let without_key = self.without_key.as_ref();
        context.key.is_some() || without_key.is_none_or(|picker| picker.admits(index, context))
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        let without_key = self.without_key.as_ref();
        context.key.is_some() || without_key.is_some_and(|picker| picker.may_pick(index, context))
    }

    fn is_timed(&self) -> bool {
        self.without_key
            .as_ref()
            .is_some_and(|picker| picker.is_timed())
    }

    fn never_panics(&self) -> bool {
        self.without_key
            .as_ref()
            .is_none_or(|picker| picker.never_panics())
    }
}

impl<O: Order> KeyPicker<O> {
    #[cold]
    fn pick_without_key(&self, context: &PickContext<'_>) -> Verdict {
        match &self.without_key {
            Some(picker) => picker.pick(context),
            None => Verdict::Fail(Reason::NoKey),
        }
    }

    /// Why a key goes to its first host, or does not.
    fn reason(&self, key: &[u8], context: &PickContext<'_>, verdict: Verdict) -> String {
        let hash = self.order.hash(key);
        let of = format!("of {} hosts the key (hash {hash:016x})", self.hosts.len());
        let first = self.order.first(hash);
        let candidate = |index: &Index| self.candidates.get(*index);
        let index = first.and_then(|host| self.hosts.endpoint(host));
        let Some((index, one)) = index.and_then(|index| Some((index, candidate(&index)?))) else {
            return format!("{of} belongs to one that is not there");
        };
        let why = if verdict == Verdict::Use(index) {
            String::new()
        } else if context.tried.contains(index) {
            ", which has been tried".to_owned()
        } else {
            format!(
                ", which has more than its share: {} in flight",
                one.state.in_flight()
            )
        };
        format!("{of} belongs to {}{why}", one.endpoint.placement())
    }

    #[inline]
    fn has_room(&self, host: Host, index: Index, context: &PickContext<'_>) -> bool {
        match &self.bound {
            None => true,
            Some(bound) => {
                let in_flight = self.in_flight(index);
                bound.seems_to_admit(host, in_flight, &self.candidates, context.entropy)
            }
        }
    }

    /// The first host in the key's order that can take it, where that is perhaps not the first of all.
    #[cold]
    fn pick_next(&self, context: &PickContext<'_>, hash: u64) -> Verdict {
        let untried = |host| self.hosts.untried(host, context.tried);
        if self.order.is_strict() {
            return match self.order.first(hash).map(untried) {
                None => Verdict::Wait,
                Some(None) => Verdict::Fail(Reason::AllTried),
                Some(Some(index)) => Verdict::Use(index),
            };
        }
        if let Err(verdict) = context.untried(self.candidates.len()) {
            return verdict;
        }
        let chosen = match self.hosts.any_left(context.tried) {
            false => None,
            true => self.with_room(context, hash).or_else(|| {
                let such = |host| untried(host).is_some();
                self.order.first_such(hash, such)
            }),
        };
        match chosen.and_then(untried) {
            Some(index) => Verdict::Use(index),
            // Only those are left to which no key belongs, since they weigh nothing.
            None => context.nth_untried(self.candidates.len(), hash as usize),
        }
    }

    fn with_room(&self, context: &PickContext<'_>, hash: u64) -> Option<Host> {
        let bound = self.bound.as_ref()?;
        let all = bound.in_flight(&self.candidates);
        let mut passed = 0;
        self.order.first_such(hash, |host| {
            let Some(index) = self.hosts.untried(host, context.tried) else {
                return false;
            };
            passed += 1;
            passed > PASSED || bound.admits(host, self.in_flight(index), all)
        })
    }

    fn in_flight(&self, index: Index) -> u32 {
        let candidate = self.candidates.get(index);
        candidate.map_or(0, |one| one.state.in_flight())
    }
}
