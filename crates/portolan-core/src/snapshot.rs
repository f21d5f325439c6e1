//! One consistent picture of a Service: what a request sees from pick to call.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    Candidate, Candidates, Explanation, Index, Location, Membership, PickContext, Picker, Pin,
    Policy, Reach, Reason, SourceError, Time, Verdict,
    pinned::Pinned,
    policy::LeastRequest,
    subset::Subset,
    traffic::{explain_eligible, explain_left},
};

/// Everything that a request needs, built together and published behind one pointer.
///
/// An [`Index`] that the snapshot's picker returns is valid in the same snapshot, for the candidate
/// and for the service `S` that was made for it: they cannot get out of step, because nothing in a
/// snapshot ever changes.
#[derive(Clone)]
pub struct Snapshot<S> {
    generation: u64,
    candidates: Candidates,
    services: Box<[S]>,
    picker: Arc<dyn Picker>,
    freshness: Freshness,
    reach: Reach,
    pinned: Pinned,
    membership: Membership,
    /// Where the traffic rules were gone by from.
    seen_from: Location,
    /// Who might get requests but for the subset, and which one that is.
    subset: Option<(Arc<[Candidate]>, Subset)>,
    /// Whom the rules took off, in brief: for the errors of all those who find nobody, computed once.
    taken_off: OnceLock<Explanation>,
}

/// How far the source can be believed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Freshness {
    /// The source has said nothing yet.
    Pending,
    /// The source follows the Service.
    Live,
    /// The source says that there is no such Service.
    Absent,
    /// The source has been failing: these are the last good endpoints.
    Stale {
        /// Since when.
        since: Time,
        /// Why.
        error: SourceError,
    },
}

impl Freshness {
    /// How old the endpoints are, where they are stale; `None` where they are not.
    #[must_use]
    pub fn age(&self, now: Time) -> Option<Duration> {
        match self {
            Self::Stale { since, .. } => Some(now.since(*since)),
            _ => None,
        }
    }
}

impl<S> Snapshot<S> {
    /// A snapshot. `service` makes, or finds, the service of each candidate.
    pub fn new(
        generation: u64,
        candidates: Candidates,
        picker: Arc<dyn Picker>,
        freshness: Freshness,
        service: impl FnMut(&Candidate) -> S,
    ) -> Self {
        Self {
            generation,
            services: candidates.iter().map(service).collect(),
            candidates,
            picker,
            freshness,
            reach: Reach::default(),
            pinned: Pinned::default(),
            membership: Membership::default(),
            seen_from: Location::UNKNOWN,
            subset: None,
            taken_off: OnceLock::new(),
        }
    }

    /// The same snapshot, with what the endpoints' addresses are. Default: [`Reach::Pods`].
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// The same snapshot, with the members that the candidates were taken from, and from where: for those who
    /// ask why one is not among the candidates.
    #[must_use]
    pub fn with_members(mut self, membership: Membership, seen_from: Location) -> Self {
        self.membership = membership;
        self.seen_from = seen_from;
        self
    }

    /// The same snapshot, with the endpoints of which the candidates are a subset: for those who ask why one is not
    /// among the candidates.
    #[must_use]
    pub fn with_subset(mut self, eligible: Arc<[Candidate]>, subset: Subset) -> Self {
        self.subset = Some((eligible, subset));
        self
    }

    /// The snapshot before the source has said anything: no endpoints, generation 0.
    #[must_use]
    pub fn pending() -> Self {
        let nobody = Candidates::new([], 0);
        let picker = LeastRequest::new().build(&nobody);
        Self {
            generation: 0,
            candidates: nobody,
            services: Box::default(),
            picker,
            freshness: Freshness::Pending,
            reach: Reach::default(),
            pinned: Pinned::default(),
            membership: Membership::default(),
            seen_from: Location::UNKNOWN,
            subset: None,
            taken_off: OnceLock::new(),
        }
    }

    /// Counts up with each snapshot of a Service.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The endpoints that may be chosen.
    #[must_use]
    pub fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// How far the source can be believed.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// What the endpoints' addresses are.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Asks the picker; or finds the one endpoint that the request is pinned to.
    #[must_use]
    #[inline]
    pub fn pick(&self, context: &PickContext<'_>) -> Verdict {
        match context.pin {
            None => self.picker.pick(context),
            Some(_) => self.asked().pick(context),
        }
    }

    /// All that the source names, candidates or not.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Whether the endpoint that a request is pinned to, which [gets none](Self::pick) now, may do so again: see
    /// [`Membership::may_return`]. Nothing is known of a Pod that is named by its ordinal alone: it may.
    #[must_use]
    pub fn may_return(&self, pin: &Pin) -> bool {
        match pin {
            Pin::Placement(placement) => self.membership.may_return(placement),
            Pin::Ordinal(_) => true,
        }
    }

    /// Why [`pick`](Self::pick) comes out as it does, added to `explanation`: whom the cluster's own rules take
    /// off, who cannot be reached, and who is not of the client's subset; then what the policies make of the rest.
    pub fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) {
        let taken_off = |into: &mut Explanation| {
            let candidates = self.candidates.as_slice();
            let eligible = self.subset.as_ref().map_or(candidates, |(all, _)| all);
            explain_eligible(&self.membership, &self.seen_from, eligible, into);
            if let Some((_, subset)) = &self.subset {
                explain_left("Subset", &subset.says(), eligible, candidates, into);
            }
        };
        if explanation.is_in_full() {
            taken_off(explanation);
        } else {
            let brief = self.taken_off.get_or_init(|| {
                let mut brief = Explanation::in_brief();
                taken_off(&mut brief);
                brief
            });
            explanation.append(brief);
        }
        explanation.ask(&self.asked(), &self.candidates, context);
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            picker: &*self.picker,
            pinned: &self.pinned,
            candidates: &self.candidates,
        }
    }

    /// Whether the picker [goes by time](Picker::is_timed).
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.picker.is_timed()
    }

    /// The candidate at `index` and its service. `None` where a picker made the index up.
    #[must_use]
    pub fn get(&self, index: Index) -> Option<(&Candidate, &S)> {
        self.candidates
            .get(index)
            .zip(self.services.get(index.position()))
    }
}

/// A snapshot's picker, and what comes before it.
#[derive(Debug)]
struct Asked<'a> {
    picker: &'a dyn Picker,
    pinned: &'a Pinned,
    candidates: &'a Candidates,
}

impl Picker for Asked<'_> {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        match context.pin {
            None => self.picker.pick(context),
            Some(pin) => match self.pinned.pick(pin, self.candidates, context) {
                Verdict::Use(index) if !self.picker.admits(index, context) => {
                    Verdict::Fail(Reason::PinRefused)
                }
                verdict => verdict,
            },
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let Some(pin) = context.pin else {
            return self.picker.explain(context, explanation);
        };
        explanation.note("Pin", format!("it must go to {pin}"));
        self.pick(context)
    }
}

impl<S> fmt::Debug for Snapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("candidates", &self.candidates)
            .field("picker", &self.picker)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}
