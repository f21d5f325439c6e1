//! Policies that panic.
//!
//! A policy that panics is a bug in the policy, but no reason to stop serving: not while a picker is
//! built, nor when a request asks it. What is known never to panic is asked directly, and pays nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use portolan_core::{
    Candidates, PickContext, Picker, Policy, Verdict,
    policy::{Index, LeastRequest},
};

/// Builds a picker that does not panic. Where the policy does, the default policy takes its place for
/// this snapshot.
pub(super) fn build(policy: &dyn Policy, candidates: &Candidates) -> Arc<dyn Picker> {
    let built = catch_unwind(AssertUnwindSafe(|| {
        let picker = policy.build(candidates);
        let (is_timed, never_panics) = (picker.is_timed(), picker.never_panics());
        (picker, is_timed, never_panics)
    }));
    match built {
        Ok((picker, _, true)) => picker,
        Ok((picker, is_timed, false)) => Arc::new(Guarded { picker, is_timed }),
        Err(_) => {
            tracing::error!("the policy panicked; requests go by LeastRequest meanwhile");
            LeastRequest::new().build(candidates)
        }
    }
}

/// A picker that may panic.
#[derive(Debug)]
struct Guarded {
    picker: Arc<dyn Picker>,
    is_timed: bool,
}

/// A panic names an endpoint that no snapshot has, and so the request ends as where a policy makes one up.
const NOBODY: Verdict = Verdict::Use(Index::new(u32::MAX));

impl Picker for Guarded {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        catch_unwind(AssertUnwindSafe(|| self.picker.pick(context))).unwrap_or_else(|_| {
            tracing::error!("the policy panicked while it chose an endpoint");
            NOBODY
        })
    }

    fn is_timed(&self) -> bool {
        self.is_timed
    }

    fn never_panics(&self) -> bool {
        true
    }
}
