//! What the members of a union say together: without clock or I/O.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use portolan_core::{
    Endpoint, EndpointSet, InternalTraffic, Placement, Reach, Resolution, SessionAffinity,
    SourceError, SourceErrorKind, Weight,
};

use super::Member;

/// What each member said last.
#[derive(Debug)]
pub(super) struct Merge {
    parts: Vec<Part>,
    /// Members that have not spoken are still waited for.
    waits: bool,
    /// Something was said that has not been passed on.
    news: bool,
}

/// One member.
#[derive(Debug)]
struct Part {
    name: Arc<str>,
    priority: u32,
    weight: Weight,
    last_good: Option<LastGood>,
    failure: Option<SourceError>,
}

#[derive(Debug)]
enum LastGood {
    Absent,
    Present(List),
}

#[derive(Debug)]
struct List {
    endpoints: Vec<Translated>,
    reach: Reach,
    internal_traffic: InternalTraffic,
    session_affinity: SessionAffinity,
}

/// An endpoint as the member's source told it, and as it is in the union.
#[derive(Clone, Debug)]
struct Translated {
    told: Arc<Endpoint>,
    here: Arc<Endpoint>,
}

/// How well an endpoint can serve, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fitness {
    Ready,
    ReadyWithoutWeight,
    ServingWhileTerminating,
    Known,
}

impl Merge {
    pub(super) fn new(members: &[Member]) -> Self {
        let part = |member: &Member| Part {
            name: Arc::clone(&member.name),
            priority: member.priority,
            weight: member.weight,
            last_good: None,
            failure: None,
        };
        Self {
            parts: members.iter().map(part).collect(),
            waits: true,
            news: false,
        }
    }

    /// Takes up what a member says.
    pub(super) fn hear(&mut self, who: usize, said: Resolution) {
        let Some(part) = self.parts.get_mut(who) else {
            return;
        };
        self.news = true;
        match said {
            Resolution::Present(endpoints) => {
                part.last_good = Some(LastGood::Present(List {
                    endpoints: part.translate(&endpoints),
                    reach: endpoints.reach(),
                    internal_traffic: endpoints.internal_traffic(),
                    session_affinity: endpoints.session_affinity(),
                }));
                part.failure = None;
            }
            Resolution::Absent => {
                part.last_good = Some(LastGood::Absent);
                part.failure = None;
            }
            Resolution::Failed(error) => part.failure = Some(error),
            // A later kind of resolution says nothing that this version understands.
            _ => {}
        }
    }

    /// Members that have not spoken are not waited for any more.
    pub(super) fn stop_waiting(&mut self) {
        self.news |= std::mem::take(&mut self.waits);
    }

    /// What there is to say, if anything is new and nobody is to be waited for.
    pub(super) fn resolution(&mut self) -> Option<Resolution> {
        if !self.news || self.must_wait() {
            return None;
        }
        self.news = false;
        let has_failed = |part: &Part| part.failure.is_some();
        let nothing_good = self.parts.iter().all(|part| part.last_good.is_none());
        if nothing_good && !self.parts.iter().any(has_failed) {
            return None;
        }
        if nothing_good || self.parts.iter().all(has_failed) {
            return Some(Resolution::Failed(self.failure()));
        }
        let is_absent = |part: &Part| matches!(part.last_good, Some(LastGood::Absent));
        if self.parts.iter().all(is_absent) {
            return Some(Resolution::Absent);
        }
        Some(Resolution::Present(self.endpoints()))
    }

    /// Whether somebody who has not spoken could change who is used.
    fn must_wait(&self) -> bool {
        let chosen = self.chosen();
        let counts = |part: &&Part| chosen.is_none_or(|chosen| part.priority <= chosen);
        self.waits && !self.parts.iter().filter(counts).all(Part::has_spoken)
    }

    /// The priority that is used.
    fn chosen(&self) -> Option<u32> {
        let best_of = |part: &Part| {
            let best = part
                .endpoints()
                .map(|endpoint| Fitness::of(endpoint))
                .min()?;
            Some((best, part.priority))
        };
        let (_, priority) = self.parts.iter().filter_map(best_of).min()?;
        Some(priority)
    }

    fn endpoints(&self) -> EndpointSet {
        let chosen = self.chosen();
        let used = self
            .parts
            .iter()
            .filter(|part| Some(part.priority) == chosen);
        let mut seen = HashSet::new();
        let endpoints = used
            .clone()
            .flat_map(Part::endpoints)
            .filter(|endpoint| seen.insert(endpoint.incarnation()))
            .cloned();
        // Where they differ, the word that promises less is true of all.
        let lists = || used.clone().filter_map(Part::list);
        let mut reaches = lists().map(|list| list.reach);
        let reach = reaches.find(|reach| *reach != Reach::Pods);
        let is_local = lists().any(|list| list.internal_traffic == InternalTraffic::Local);
        let mut affinities = lists().map(|list| list.session_affinity);
        let affinity = affinities.find(|affinity| *affinity != SessionAffinity::None);
        let set = EndpointSet::new(endpoints.collect())
            .with_reach(reach.unwrap_or_default())
            .with_session_affinity(affinity.unwrap_or_default());
        match is_local {
            true => set.with_internal_traffic(InternalTraffic::Local),
            false => set,
        }
    }

    /// That nobody has anything to say, and why.
    fn failure(&self) -> SourceError {
        let failures = || {
            let parts = self.parts.iter();
            parts.filter_map(|part| part.failure.as_ref())
        };
        let reason = |part: &Part| match &part.failure {
            Some(error) => format!("{}: {error}", part.name),
            None => format!("{}: no word yet", part.name),
        };
        let reasons: Vec<_> = self.parts.iter().map(reason).collect();
        // Waiting is in vain only where it is for all of them.
        let is_in_vain = |error: &SourceError| error.kind() == SourceErrorKind::Invalid;
        let kind = if failures().filter(|error| is_in_vain(error)).count() == self.parts.len() {
            SourceErrorKind::Invalid
        } else {
            let mut others = failures().filter(|error| !is_in_vain(error));
            others
                .next()
                .map_or(SourceErrorKind::Unavailable, SourceError::kind)
        };
        let oldest = failures().map(SourceError::age).max();
        SourceError::new(kind, reasons.join("; ")).with_age(oldest.unwrap_or_default())
    }
}

impl Part {
    fn has_spoken(&self) -> bool {
        self.last_good.is_some() || self.failure.is_some()
    }

    fn list(&self) -> Option<&List> {
        match &self.last_good {
            Some(LastGood::Present(list)) => Some(list),
            _ => None,
        }
    }

    fn translated(&self) -> &[Translated] {
        self.list().map_or(&[], |list| &list.endpoints)
    }

    fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.translated().iter().map(|one| &one.here)
    }

    /// The endpoints as they are in the union. One that the source did not change is the same pointer here
    /// too, so that a change among thousands is found as fast as without a union.
    fn translate(&self, told: &EndpointSet) -> Vec<Translated> {
        let former: HashMap<usize, &Translated> = self
            .translated()
            .iter()
            .map(|one| (Arc::as_ptr(&one.told).addr(), one))
            .collect();
        let translate = |endpoint: &Arc<Endpoint>| match former.get(&Arc::as_ptr(endpoint).addr()) {
            Some(same) => Translated::clone(same),
            None => Translated {
                told: Arc::clone(endpoint),
                here: Arc::new(self.here(endpoint)),
            },
        };
        told.iter().map(translate).collect()
    }

    fn here(&self, endpoint: &Endpoint) -> Endpoint {
        let placement = Placement::new(format!("{}/{}", self.name, endpoint.placement()));
        let weight = endpoint
            .weight()
            .value()
            .saturating_mul(self.weight.value());
        endpoint
            .clone()
            .with_placement(placement)
            .with_weight(Weight::new(weight))
    }
}

impl Fitness {
    fn of(endpoint: &Endpoint) -> Self {
        let conditions = endpoint.conditions();
        if conditions.is_ready() {
            match endpoint.weight().value() {
                0 => Self::ReadyWithoutWeight,
                _ => Self::Ready,
            }
        } else if conditions.is_serving() && conditions.is_terminating() {
            Self::ServingWhileTerminating
        } else {
            Self::Known
        }
    }
}

#[cfg(test)]
mod tests;
