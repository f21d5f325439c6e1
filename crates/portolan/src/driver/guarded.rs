//! Policies that panic.
//!
//! A policy that panics is a bug in the policy, but no reason to stop serving: not while a picker is
//! built, nor when a request asks it. What is known never to panic is asked directly, and pays nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::{Stream, StreamExt, future, stream};
use portolan_core::{Candidates, Explanation, PickContext, Picker, Policy, Verdict, policy::Index};

/// Builds a picker that does not panic. Where the policy does, nobody takes its place: any other would send
/// requests where they do not belong.
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
            tracing::error!(
                "the policy panicked; requests are refused until it can be asked again"
            );
            Arc::new(Broken)
        }
    }
}

/// Whether the policy goes by identity; one that panics may.
pub(super) fn is_by_identity(policy: &dyn Policy) -> bool {
    catch_unwind(AssertUnwindSafe(|| policy.is_by_identity())).unwrap_or(true)
}

/// The picker of a policy that panicked.
#[derive(Debug)]
struct Broken;

impl Picker for Broken {
    fn pick(&self, _: &PickContext<'_>) -> Verdict {
        NOBODY
    }

    fn explain(&self, _: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note("Policy", "it panicked when it was asked for a picker");
        NOBODY
    }

    fn is_timed(&self) -> bool {
        false
    }

    fn never_panics(&self) -> bool {
        true
    }
}

/// When the policy is to be asked again: never, where it says nothing, or once that has ended or panicked.
pub(super) fn changes(policy: &dyn Policy) -> impl Stream<Item = ()> + Unpin + use<> {
    let changes = catch_unwind(AssertUnwindSafe(|| policy.changes())).unwrap_or_default();
    let changes = changes.map(|changes| AssertUnwindSafe(changes).catch_unwind());
    let changes = stream::iter(changes).flatten();
    let sane = changes.take_while(|change| {
        if change.is_err() {
            tracing::error!("the policy panicked; it is not asked any more whether it has changed");
        }
        future::ready(change.is_ok())
    });
    sane.map(|_| ()).chain(stream::pending())
}

/// A picker that may panic.
#[derive(Debug)]
struct Guarded {
    picker: Arc<dyn Picker>,
    is_timed: bool,
}

/// A panic names an endpoint that no snapshot has, and so the request ends as where a policy makes one up.
const NOBODY: Verdict = Verdict::Use(Index::new(u32::MAX));

fn catch(pick: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(pick)).unwrap_or_else(|_| {
        tracing::error!("the policy panicked while it chose an endpoint");
        NOBODY
    })
}

impl Picker for Guarded {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        catch(|| self.picker.pick(context))
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        catch(|| self.picker.explain(context, explanation))
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        let admits = AssertUnwindSafe(|| self.picker.admits(index, context));
        catch_unwind(admits).unwrap_or(false)
    }

    fn is_timed(&self) -> bool {
        self.is_timed
    }

    fn never_panics(&self) -> bool {
        true
    }
}
