//! Why an endpoint is not among those that may be chosen.

use std::{collections::BTreeSet, ptr, sync::Arc};

use super::{Near, choose, present};
use crate::{Candidate, EndpointState, Explanation, Location, Membership};

/// Notes, rule by rule, whom the way from the members to those who may get requests took off.
pub(crate) fn explain_eligible(
    membership: &Membership,
    location: &Location,
    eligible: &[Candidate],
    explanation: &mut Explanation,
) {
    let members = membership.members();
    let all = present(membership);
    let ready = choose(&all, Near::Anywhere);
    let mut near = choose(&all, Near::of(membership, &all, location));
    // With nobody near who can be reached, the hints were passed over.
    let is_near = |one: &Candidate| near.iter().any(|near| identity(near) == identity(one));
    if !eligible.first().is_none_or(is_near) {
        near.clone_from(&ready);
    }
    let rules = [
        (
            "Conditions",
            "who is ready; failing that, who serves to the end",
            &*ready,
        ),
        (
            "TrafficRules",
            "whom the Service means for clients here",
            &*near,
        ),
        (
            "Reachability",
            "who can be reached, is well and not ejected, and stays",
            eligible,
        ),
    ];
    let mut before = members;
    for (rule, said, after) in rules {
        explain_left(rule, said, before, after, explanation);
        before = after;
    }
}

/// Notes whom a rule took off, where it did.
pub(crate) fn explain_left(
    rule: &'static str,
    said: &str,
    before: &[Candidate],
    after: &[Candidate],
    explanation: &mut Explanation,
) {
    let kept: BTreeSet<_> = after.iter().map(identity).collect();
    let stays = |one: &Candidate| kept.contains(&identity(one));
    if !before.iter().all(stays) {
        explanation.narrow(rule, said, before, |_, one| stays(one));
    }
}

fn identity(one: &Candidate) -> *const EndpointState {
    ptr::from_ref(Arc::as_ref(&one.state))
}
