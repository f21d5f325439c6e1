//! Who has which role, by what is known when the picker is built.

use super::{
    Leadership, Role, RoleLabel,
    leadership::{Holder, Reign},
};
use crate::{Candidates, Endpoint, Index, Reason};

/// Who says the roles.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    pub(super) label: Option<RoleLabel>,
    pub(super) leadership: Option<Leadership>,
}

/// The roles of a set of candidates.
#[derive(Debug)]
pub(super) struct Cast {
    /// The only primary, or why there is none.
    pub(super) primary: Result<Index, Reason>,
    pub(super) said: String,
    /// In order.
    pub(super) replicas: Vec<Index>,
    /// What the leadership was when it was read, with its version.
    pub(super) version: Option<u64>,
}

impl Roles {
    pub(super) fn cast(&self, candidates: &Candidates) -> Cast {
        let (reign, version) = match &self.leadership {
            Some(leadership) => {
                let (reign, version) = leadership.read();
                (reign, Some(version))
            }
            None => (None, None),
        };
        let (mut claimants, mut replicas) = (Vec::new(), Vec::new());
        for (position, one) in candidates.iter().enumerate() {
            match self.role(&one.endpoint, reign.as_ref()) {
                Some(Role::Primary) => claimants.push(Index::at(position)),
                Some(Role::Replica) => replicas.push(Index::at(position)),
                None => {}
            }
        }
        let fences = |index: &Index| match (&reign, candidates.get(*index)) {
            (Some(reign), Some(one)) => reign.holder.is(&one.endpoint),
            _ => true,
        };
        let named = claimants.len();
        claimants.retain(fences);
        let primary = match (&claimants[..], named, &reign) {
            ([one], ..) => Ok(*one),
            (
                ..,
                Some(Reign {
                    holder: Holder::Disputed,
                    ..
                }),
            ) => Err(Reason::SeveralPrimaries),
            ([], 2.., None) | ([_, _, ..], ..) => Err(Reason::SeveralPrimaries),
            ([], ..) => Err(Reason::NoPrimary),
        };
        Cast {
            said: self.said(named, reign.as_ref()),
            primary,
            replicas,
            version,
        }
    }

    fn role(&self, endpoint: &Endpoint, reign: Option<&Reign>) -> Option<Role> {
        match &self.label {
            Some(label) => label.role(endpoint),
            None if reign.is_some_and(|reign| reign.holder.is(endpoint)) => Some(Role::Primary),
            None => Some(Role::Replica),
        }
    }

    fn said(&self, labelled: usize, reign: Option<&Reign>) -> String {
        let label = self.label.iter().flat_map(RoleLabel::names).next();
        let label = label.map(|name| format!("{labelled} labelled as the primary by `{name}`"));
        let reign = match (reign, &self.leadership) {
            (Some(reign), _) => Some(reign.to_string()),
            (None, Some(_)) => Some("nobody has announced a primary yet".to_owned()),
            (None, None) => None,
        };
        label
            .into_iter()
            .chain(reign)
            .collect::<Vec<_>>()
            .join("; ")
    }
}
