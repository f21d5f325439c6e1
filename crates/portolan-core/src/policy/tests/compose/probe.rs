//! A policy that is whatever it is told to be, so that one sees what those round it say of it.

use std::sync::Arc;

use crate::{
    Candidates, Explanation, Index, PickContext, Picker, Policy, Verdict,
    policy::{Changes, changes::Reader},
};

/// What is said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) by_identity: bool,
    pub(super) timed: bool,
    pub(super) never_panics: bool,
    pub(super) admits: bool,
}

#[derive(Debug)]
pub(super) struct Probe {
    pub(super) says: Says,
    pub(super) changes: Option<Reader<u32>>,
}

#[derive(Debug)]
struct ProbePicker {
    says: Says,
    candidates: usize,
}

impl Policy for Probe {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let (says, candidates) = (self.says, candidates.len());
        Arc::new(ProbePicker { says, candidates })
    }

    fn is_by_identity(&self) -> bool {
        self.says.by_identity
    }

    fn changes(&self) -> Option<Changes> {
        self.changes.as_ref().map(Reader::changes)
    }
}

impl Picker for ProbePicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        context.nth_untried(self.candidates, context.entropy as usize)
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note("Probe", "because it was told to");
        self.pick(context)
    }

    fn admits(&self, _: Index, _: &PickContext<'_>) -> bool {
        self.says.admits
    }

    fn is_timed(&self) -> bool {
        self.says.timed
    }

    fn never_panics(&self) -> bool {
        self.says.never_panics
    }
}
