//! Roles that are written on Pods as labels.

use std::borrow::Cow;

use crate::Endpoint;

/// What an endpoint is in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows the primary, and answers reads.
    Replica,
}

/// The label by which Pods say their role, and what it says.
///
/// The source has to tell labels: `Cluster::with_pod_labels(preset.names())`.
///
/// ```
/// use portolan_core::policy::{RoleLabel, preset};
///
/// assert_eq!(preset::CLOUD_NATIVE_PG.names().next(), Some("cnpg.io/instanceRole"));
/// let own = RoleLabel::new("example.com/role", "leader", "follower");
/// # let _ = own;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleLabel {
    names: Texts,
    primary: Texts,
    replica: Texts,
}

type Texts = Cow<'static, [Cow<'static, str>]>;

impl RoleLabel {
    /// A label of this name, with these values for the two roles.
    #[must_use]
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        primary: impl Into<Cow<'static, str>>,
        replica: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            names: vec![name.into()].into(),
            primary: vec![primary.into()].into(),
            replica: vec![replica.into()].into(),
        }
    }

    /// The same, where the label may have another name: the first that an endpoint has counts.
    #[must_use]
    pub fn or_named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.names.to_mut().push(name.into());
        self
    }

    /// The names that it may have, the one that counts first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The role that this endpoint's label says; `None` where it has no such label, or it says something else.
    #[must_use]
    pub fn role(&self, endpoint: &Endpoint) -> Option<Role> {
        let value = self.names().find_map(|name| endpoint.label(name))?;
        let among = |values: &Texts| values.iter().any(|one| one == value);
        match (among(&self.primary), among(&self.replica)) {
            (true, _) => Some(Role::Primary),
            (false, true) => Some(Role::Replica),
            (false, false) => None,
        }
    }
}

/// The role labels of operators that are in wide use.
pub mod preset {
    use super::{Cow::Borrowed, RoleLabel};

    /// CloudNativePG: `cnpg.io/instanceRole`, and `role` before that.
    pub const CLOUD_NATIVE_PG: RoleLabel = RoleLabel {
        names: Borrowed(&[Borrowed("cnpg.io/instanceRole"), Borrowed("role")]),
        primary: Borrowed(&[Borrowed("primary")]),
        replica: Borrowed(&[Borrowed("replica")]),
    };

    /// Patroni on Kubernetes, with its default labels: `role`, whose primary was `master` before version 4.
    pub const PATRONI: RoleLabel = RoleLabel {
        names: Borrowed(&[Borrowed("role")]),
        primary: Borrowed(&[Borrowed("primary"), Borrowed("master")]),
        replica: Borrowed(&[Borrowed("replica")]),
    };

    /// Zalando's postgres-operator: `spilo-role`.
    pub const ZALANDO: RoleLabel = RoleLabel {
        names: Borrowed(&[Borrowed("spilo-role")]),
        primary: Borrowed(&[Borrowed("master"), Borrowed("primary")]),
        replica: Borrowed(&[Borrowed("replica")]),
    };

    /// Redis operators: `redis-role` of OT-CONTAINER-KIT's, `redisfailovers-role` of Spotahome's.
    pub const REDIS: RoleLabel = RoleLabel {
        names: Borrowed(&[Borrowed("redis-role"), Borrowed("redisfailovers-role")]),
        primary: Borrowed(&[Borrowed("master")]),
        replica: Borrowed(&[Borrowed("slave")]),
    };
}
