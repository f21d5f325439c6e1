//! Requests that must go to one endpoint and no other.

use std::sync::OnceLock;

use crate::{Candidates, Index, PickContext, Pin, Reason, Verdict};

/// Finds the one endpoint that a request is pinned to.
///
/// It comes before all policies, so that a pin means the same with each of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinned {
    // Made for the first request that is pinned to an ordinal, if there ever is one.
    by_ordinal: OnceLock<Box<[(u32, Index)]>>,
}

impl Pinned {
    /// The endpoint, where it is there and has not been tried; else the request waits for it, for a Pod of a
    /// StatefulSet that restarts comes back under its name.
    pub(crate) fn pick(
        &self,
        pin: &Pin,
        candidates: &Candidates,
        context: &PickContext<'_>,
    ) -> Verdict {
        match pin {
            Pin::Placement(placement) => {
                let list = candidates.as_slice();
                let start = list.partition_point(|one| one.endpoint.placement() < placement);
                let rest = list.get(start..).unwrap_or_default();
                let same = rest
                    .iter()
                    .take_while(|one| one.endpoint.placement() == placement);
                // Two incarnations, where one is just being replaced by the other.
                first_untried((start..).zip(same).map(|(at, _)| Index::at(at)), context)
            }
            Pin::Ordinal(ordinal) => {
                let list = self.by_ordinal.get_or_init(|| by_ordinal(candidates));
                let start = list.partition_point(|(one, _)| one < ordinal);
                let rest = list.get(start..).unwrap_or_default();
                let same = rest.iter().take_while(|(one, _)| one == ordinal);
                let same = same.map(|(_, index)| *index);
                let mut names = same.clone().filter_map(|index| candidates.get(index));
                if let Some(first) = names.next()
                    && names.any(|one| one.endpoint.placement() != first.endpoint.placement())
                {
                    return Verdict::Fail(Reason::PinAmbiguous);
                }
                first_untried(same, context)
            }
        }
    }
}

fn first_untried(
    mut endpoints: impl Iterator<Item = Index> + Clone,
    context: &PickContext<'_>,
) -> Verdict {
    let is_there = endpoints.clone().next().is_some();
    match endpoints.find(|index| !context.tried.contains(*index)) {
        Some(index) => Verdict::Use(index),
        None if is_there => Verdict::Fail(Reason::AllTried),
        None => Verdict::Wait,
    }
}

fn by_ordinal(candidates: &Candidates) -> Box<[(u32, Index)]> {
    let ordinals = (0u32..).map(Index::new).zip(candidates);
    let mut list: Box<[_]> = ordinals
        .filter_map(|(index, one)| Some((one.endpoint.ordinal()?, index)))
        .collect();
    list.sort_unstable();
    list
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Candidate, Endpoint, EndpointState, Measurement, Placement, Time, Tried};

    fn candidates(names: &[&str]) -> Candidates {
        let make = |name: &&str| {
            let placement = Placement::new(*name);
            let ordinal = placement.ordinal();
            let mut endpoint = Endpoint::new(placement, ([10, 0, 0, 1], 80).into());
            if let Some(ordinal) = ordinal {
                endpoint = endpoint.with_ordinal(ordinal);
            }
            let endpoint = Arc::new(endpoint);
            let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
            Candidate {
                endpoint,
                state: Arc::new(state),
            }
        };
        Candidates::new(names.iter().map(make).collect::<Vec<_>>(), 0)
    }

    fn pick(names: &[&str], pin: &Pin, tried: &Tried) -> Verdict {
        let context = PickContext::new(Time::ORIGIN, 7).with_tried(tried);
        Pinned::default().pick(pin, &candidates(names), &context)
    }

    fn named(name: &str) -> Pin {
        Pin::Placement(Placement::new(name))
    }

    #[test]
    fn a_name_is_that_endpoint_and_no_other() {
        let names = ["db-0", "db-1", "db-10", "db-2"];
        for (at, name) in (0..).zip(names) {
            assert_eq!(
                pick(&names, &named(name), Tried::NONE),
                Verdict::Use(Index::new(at))
            );
        }
        for name in ["db-3", "db", "", "zz", "a"] {
            assert_eq!(pick(&names, &named(name), Tried::NONE), Verdict::Wait);
        }
    }

    #[test]
    fn an_ordinal_is_that_of_the_name_whatever_the_order() {
        let names = ["db-0", "db-1", "db-10", "db-2"];
        for (at, ordinal) in (0..).zip([0, 1, 10, 2]) {
            let found = pick(&names, &Pin::Ordinal(ordinal), Tried::NONE);
            assert_eq!(found, Verdict::Use(Index::new(at)));
        }
        assert_eq!(pick(&names, &Pin::Ordinal(3), Tried::NONE), Verdict::Wait);
        assert_eq!(
            pick(&["web-x7"], &Pin::Ordinal(7), Tried::NONE),
            Verdict::Wait
        );
    }

    #[test]
    fn it_is_tried_once_and_nobody_stands_in_for_it() {
        let tried: Tried = [Index::new(1)].into_iter().collect();
        let names = ["db-0", "db-1"];
        let all_tried = Verdict::Fail(Reason::AllTried);
        assert_eq!(pick(&names, &named("db-1"), &tried), all_tried);
        assert_eq!(pick(&names, &Pin::Ordinal(1), &tried), all_tried);
    }

    #[test]
    fn of_two_incarnations_the_other_may_be_tried() {
        let tried: Tried = [Index::new(1)].into_iter().collect();
        let names = ["db-0", "db-1", "db-1"];
        assert_eq!(
            pick(&names, &named("db-1"), &tried),
            Verdict::Use(Index::new(2))
        );
        assert_eq!(
            pick(&names, &Pin::Ordinal(1), &tried),
            Verdict::Use(Index::new(2))
        );
    }

    #[test]
    fn an_ordinal_of_two_stateful_sets_is_nobodys() {
        let ambiguous = Verdict::Fail(Reason::PinAmbiguous);
        assert_eq!(
            pick(&["a-1", "b-1"], &Pin::Ordinal(1), Tried::NONE),
            ambiguous
        );
    }
}
