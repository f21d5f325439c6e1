//! What becomes of a request while the only ones that may serve it are not there.

use std::time::Duration;

use super::{Reason, Verdict};

/// What becomes of a request while the only ones that may serve it, the Pods of its shard or the primary, are not
/// there. Absent is not removed: nobody else is asked in their stead.
///
/// Where nothing is said, it waits as long as the balancer lets any request wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Absent {
    /// It waits, so long at most.
    Wait(Duration),
    /// It fails at once, and the error says why.
    FailFast,
}

impl Absent {
    /// What a picker answers for want of them.
    pub(super) fn verdict(choice: Option<Self>, reason: Reason) -> Verdict {
        match choice {
            Some(Self::FailFast) => Verdict::Fail(reason),
            other => Self::wait(other),
        }
    }

    /// What a picker answers that knows of them, and that they are about to be there.
    pub(super) fn wait(choice: Option<Self>) -> Verdict {
        match choice {
            Some(Self::Wait(limit)) => Verdict::WaitUpTo(limit),
            None | Some(Self::FailFast) => Verdict::Wait,
        }
    }
}
