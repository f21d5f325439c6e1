//! Some of the candidates, with a picker of their own: what policies that nest are made of.

use std::sync::Arc;

use super::{Explanation, PickContext, Picker, Policy, Tried, Verdict, random::next_entropy};
use crate::{Candidates, Index};

/// Some of the candidates, among which a policy of its own chooses.
///
/// A policy that divides candidates (by zone, by shard, by role) makes a group of each part. What the
/// group picks is an index into all candidates; what has been tried is told to its picker by its own.
///
/// ```
/// use portolan_core::{Candidates, PickContext, Picker, Policy, Verdict, policy::{Group, LeastRequest}};
/// use std::sync::Arc;
///
/// /// The odd ordinals, for whatever reason.
/// #[derive(Debug)]
/// struct Odd;
///
/// #[derive(Debug)]
/// struct OddPicker(Group);
///
/// impl Policy for Odd {
///     fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
///         let is_odd = |one: &portolan_core::Candidate| one.endpoint.ordinal().is_some_and(|n| n % 2 == 1);
///         Arc::new(OddPicker(Group::of(candidates, is_odd, &LeastRequest::new())))
///     }
/// }
///
/// impl Picker for OddPicker {
///     fn pick(&self, context: &PickContext<'_>) -> Verdict {
///         self.0.pick(context)
///     }
///
///     fn is_timed(&self) -> bool {
///         self.0.is_timed()
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Group {
    /// In order.
    members: Box<[Index]>,
    picker: Arc<dyn Picker>,
}

impl Group {
    /// Those of the candidates that are `such`, among which `policy` chooses.
    pub fn of(
        candidates: &Candidates,
        such: impl Fn(&crate::Candidate) -> bool,
        policy: &dyn Policy,
    ) -> Self {
        let all = (0u32..).map(Index::new).zip(candidates);
        let members = all.filter(|(_, one)| such(one)).map(|(index, _)| index);
        Self::at(candidates, members, policy)
    }

    /// The candidates at these places, which are in order, among which `policy` chooses.
    pub(super) fn at(
        candidates: &Candidates,
        members: impl Iterator<Item = Index>,
        policy: &dyn Policy,
    ) -> Self {
        let (members, list): (Vec<_>, Vec<_>) = members
            .filter_map(|index| Some((index, candidates.get(index)?.clone())))
            .unzip();
        // Groups that are alike must not all start at the same place.
        let first = members.first().map_or(0, |index| index.position() as u64);
        let seed = next_entropy(candidates.seed() ^ first);
        let candidates = Candidates::new(list, seed)
            .with_location(candidates.location().clone())
            .with_session_affinity(candidates.session_affinity());
        Self {
            members: members.into(),
            picker: policy.build(&candidates),
        }
    }

    /// The members, as indices of all candidates, in order.
    #[must_use]
    pub fn members(&self) -> &[Index] {
        &self.members
    }

    /// Chooses among the members: [`Verdict::Wait`] where there are none.
    #[must_use]
    pub fn pick(&self, context: &PickContext<'_>) -> Verdict {
        // Only a request that has failed somewhere has something to translate, and allocates for it.
        let verdict = match context.tried.is_empty() {
            true => self.picker.pick(context),
            false => self
                .picker
                .pick(&context.with_tried(&self.tried_here(context))),
        };
        self.as_member(verdict)
    }

    /// As [`pick`](Self::pick), and says why: see [`Picker::explain`].
    pub fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let tried = self.tried_here(context);
        let verdict = self
            .picker
            .explain(&context.with_tried(&tried), explanation);
        self.as_member(verdict)
    }

    /// Whether the picker [admits](Picker::admits) a request to this candidate; one that is no member is not its own
    /// to refuse.
    #[must_use]
    pub fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        match self.members.binary_search(&index) {
            Ok(position) => self.picker.admits(Index::at(position), context),
            Err(_) => true,
        }
    }

    /// Whether the picker [may pick](Picker::may_pick) this candidate for such a request; never one that is no member.
    #[must_use]
    pub fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        let Ok(position) = self.members.binary_search(&index) else {
            return false;
        };
        let index = Index::at(position);
        match context.tried.is_empty() {
            true => self.picker.may_pick(index, context),
            false => {
                let tried = self.tried_here(context);
                self.picker.may_pick(index, &context.with_tried(&tried))
            }
        }
    }

    /// Which of the group's own candidates have been tried.
    fn tried_here(&self, context: &PickContext<'_>) -> Tried {
        (0u32..)
            .map(Index::new)
            .zip(&self.members)
            .filter(|(_, member)| context.tried.contains(**member))
            .map(|(index, _)| index)
            .collect()
    }

    fn as_member(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Use(index) => match self.members.get(index.position()) {
                Some(member) => Verdict::Use(*member),
                // A picker that made the index up is found out where the index is used.
                None => Verdict::Use(Index::new(u32::MAX)),
            },
            other => other,
        }
    }

    /// Whether the picker [goes by time](Picker::is_timed).
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.picker.is_timed()
    }

    /// Whether the picker [is known never to panic](Picker::never_panics).
    #[must_use]
    pub fn never_panics(&self) -> bool {
        self.picker.never_panics()
    }
}
