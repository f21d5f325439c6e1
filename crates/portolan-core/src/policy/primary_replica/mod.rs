//! Writes to the primary, reads where they may go.

mod label;
mod lag;
mod leadership;
mod picker;
mod progress;
mod readable;
mod roles;

use std::{sync::Arc, time::Duration};

pub use label::{Role, RoleLabel, preset};
pub use lag::ReplicaLag;
pub use leadership::{Announced, Epoch, Leadership};
pub use progress::{Position, Progress};

use self::{picker::RolePicker, readable::Limits, roles::Roles};
use super::{Absent, Changes, LeastRequest, Picker, Policy, changes::merged};
use crate::Candidates;

/// Writes go to the primary and to nobody else; reads go where [`ReadFrom`] says.
///
/// Who is the primary is said by [a label of the Pods](Self::by_label), by [a Lease, a header or a
/// probe](Self::by_leadership), or by [both](Self::fenced_by). Where nobody is, or two say that they are, a write
/// waits or fails, as [`Absent`] has it; it never goes to one of them on a guess. With epochs, a primary
/// of a lower epoch than the highest one seen gets no write: from the moment that the higher one is known, not
/// only once the picker has been built anew.
///
/// A request that does not say whether it reads or writes counts as a write, unless
/// [said otherwise](Self::reads_unless_said).
///
/// ```
/// use portolan_core::policy::{PrimaryReplica, ReadFrom, ZoneAware, preset};
/// use std::time::Duration;
///
/// let policy = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG)
///     .read_from(ReadFrom::Within(Duration::from_millis(15)))
///     .over(ZoneAware::new());
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug)]
pub struct PrimaryReplica {
    roles: Roles,
    read_from: ReadFrom,
    absent: Option<Absent>,
    lag: Option<(Duration, ReplicaLag)>,
    progress: Option<Progress>,
    reads_unless_said: bool,
    inner: Arc<dyn Policy>,
}

/// Where reads go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFrom {
    /// To the primary: nothing is older than what was written last. The default, because it is the only choice that
    /// surprises nobody.
    #[default]
    Primary,
    /// To the primary; to a replica while there is none.
    PrimaryPreferred,
    /// To replicas.
    Replicas,
    /// To replicas; to the primary while there is none.
    ReplicasPreferred,
    /// To the fastest, primary or replica, and to those that have not been measured yet.
    Nearest,
    /// To any, primary or replica, whose latency is within so much of the fastest. MongoDB's drivers have it so, with
    /// [15 ms](ReadFrom::NEAR).
    Within(Duration),
}

impl ReadFrom {
    /// Within 15 ms of the fastest, as MongoDB's drivers have it: less than what another region is away, more than
    /// what latencies differ inside of one.
    pub const NEAR: Self = Self::Within(Duration::from_millis(15));
}

impl PrimaryReplica {
    /// Roles are what a label of the Pods says: one of the [presets](preset), or [one's own](RoleLabel::new). The
    /// source has to tell that label.
    #[must_use]
    pub fn by_label(label: RoleLabel) -> Self {
        Self::by(Roles {
            label: Some(label),
            leadership: None,
        })
    }

    /// The primary is whom the leadership names, and all others are replicas.
    #[must_use]
    pub fn by_leadership(leadership: &Leadership) -> Self {
        Self::by(Roles {
            label: None,
            leadership: Some(leadership.clone()),
        })
    }

    fn by(roles: Roles) -> Self {
        Self {
            roles,
            read_from: ReadFrom::default(),
            absent: None,
            lag: None,
            progress: None,
            reads_unless_said: false,
            inner: Arc::new(LeastRequest::new()),
        }
    }

    /// Besides, the primary must be the one that the leadership names, once that names any: of two that are labelled
    /// as the primary, the one of the highest epoch is it, and where the two disagree, nobody.
    #[must_use]
    pub fn fenced_by(mut self, leadership: &Leadership) -> Self {
        self.roles.leadership = Some(leadership.clone());
        self
    }

    /// Sets where reads go. Default: [`ReadFrom::Primary`].
    #[must_use]
    pub fn read_from(mut self, from: ReadFrom) -> Self {
        self.read_from = from;
        self
    }

    /// Sets what becomes of requests for the primary while there is none. Default: they wait as long as the balancer lets
    /// requests wait for an endpoint, since failovers take seconds.
    #[must_use]
    pub fn while_absent(mut self, absent: Absent) -> Self {
        self.absent = Some(absent);
        self
    }

    /// Reads go to no replica that is known to be further behind than this. Default: there is no limit.
    #[must_use]
    pub fn max_lag(mut self, limit: Duration, lag: &ReplicaLag) -> Self {
        self.lag = Some((limit, lag.clone()));
        self
    }

    /// A read that says [up to where] it must see what was written goes to an endpoint that is known
    /// to have got as far, or to the primary: so a client reads what it wrote, and otherwise wherever
    /// [reads go](Self::read_from). Default: nothing is known, and such reads go to the primary.
    ///
    /// ```
    /// use portolan_core::policy::{PrimaryReplica, Progress, ReadFrom, preset};
    ///
    /// let progress = Progress::new();
    /// let policy = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG)
    ///     .read_from(ReadFrom::Replicas)
    ///     .read_your_writes(&progress); // And each answer's position is reported to `progress`.
    /// # let _: &dyn portolan_core::Policy = &policy;
    /// ```
    ///
    /// [up to where]: crate::PickContext::not_before
    #[must_use]
    pub fn read_your_writes(mut self, progress: &Progress) -> Self {
        self.progress = Some(progress.clone());
        self
    }

    /// A request that does not say whether it reads or writes counts as a read. Default: as a write.
    #[must_use]
    pub fn reads_unless_said(mut self) -> Self {
        self.reads_unless_said = true;
        self
    }

    /// Sets the policy by which one of several is chosen to be read from. Default: [`LeastRequest`].
    #[must_use]
    pub fn over(mut self, inner: impl Policy + 'static) -> Self {
        self.inner = Arc::new(inner);
        self
    }

    fn limits(&self) -> Limits {
        Limits {
            window: match self.read_from {
                ReadFrom::Nearest => Some(Duration::ZERO),
                ReadFrom::Within(window) => Some(window),
                _ => None,
            },
            lag: self.lag.clone(),
        }
    }
}

impl Policy for PrimaryReplica {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(RolePicker::new(self, candidates))
    }

    /// The primary is one and the same for all clients, however far it is.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        let leadership = self.roles.leadership.as_ref();
        merged([leadership.map(Leadership::changes), self.inner.changes()])
    }
}

#[cfg(test)]
mod tests;
