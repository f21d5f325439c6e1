//! The picker: one primary, several replicas, and what a request is for.

use std::sync::Arc;

use arc_swap::Guard;

use super::{
    Leadership, Position, PrimaryReplica, Progress, ReadFrom,
    readable::{Narrowed, Readable},
    roles::Cast,
};
use crate::{
    Candidates, Explanation, Index, Intent, PickContext, Picker, Policy, Reason, Tried, Verdict,
    policy::{Absent, Group},
    sync::{AtomicU64, Ordering},
};

#[derive(Debug)]
pub(super) struct RolePicker {
    candidates: Candidates,
    primary: Result<Index, Reason>,
    /// Who may be read from, apart from the primary where that is asked for by itself.
    readers: Group,
    readable: Readable,
    /// How far each of the readers has got, where that is told.
    progress: Option<Box<[Arc<AtomicU64>]>>,
    inner: Arc<dyn Policy>,
    read_from: ReadFrom,
    absent: Option<Absent>,
    reads_unless_said: bool,
    /// What the roles were read from, and its version then.
    read: Option<(Leadership, u64)>,
    said: String,
}

impl RolePicker {
    pub(super) fn new(policy: &PrimaryReplica, candidates: &Candidates) -> Self {
        let Cast {
            primary,
            said,
            replicas,
            version,
        } = policy.roles.cast(candidates);
        let with_primary = matches!(policy.read_from, ReadFrom::Nearest | ReadFrom::Within(_));
        let mut readers = replicas;
        if let (true, Ok(primary)) = (with_primary, primary) {
            readers.push(primary);
            readers.sort_unstable();
        }
        let mark = |progress: &Progress| {
            let known = readers.iter().filter_map(|index| candidates.get(*index));
            known.map(|one| progress.mark(&one.endpoint)).collect()
        };
        Self {
            progress: policy.progress.as_ref().map(mark),
            readers: Group::at(candidates, readers.iter().copied(), &*policy.inner),
            candidates: candidates.clone(),
            primary,
            readable: Readable::new(policy.limits()),
            inner: Arc::clone(&policy.inner),
            read_from: policy.read_from,
            absent: policy.absent,
            reads_unless_said: policy.reads_unless_said,
            read: policy.roles.leadership.clone().zip(version),
            said,
        }
    }

    fn leave(&self, explanation: &mut Explanation, said: impl Into<String>, group: &Group) {
        let members = group.members();
        explanation.narrow("PrimaryReplica", said, &self.candidates, |index, _| {
            members.binary_search(&index).is_ok()
        });
    }

    fn is_read(&self, context: &PickContext<'_>) -> bool {
        match context.intent {
            Intent::Read => true,
            Intent::Write => false,
            Intent::Any => self.reads_unless_said,
        }
    }

    /// Whether somebody has said something of the roles since they were read. A picker that is built by that will
    /// take this one's place at once.
    fn is_outdated(&self) -> bool {
        let read = self.read.as_ref();
        read.is_some_and(|(leadership, version)| leadership.version() != *version)
    }

    fn primary(&self, context: &PickContext<'_>) -> Verdict {
        if self.is_outdated() {
            return Absent::wait(self.absent);
        }
        match self.primary {
            Ok(primary) if context.tried.contains(primary) => Verdict::Fail(Reason::AllTried),
            Ok(primary) => Verdict::Use(primary),
            Err(reason) => Absent::verdict(self.absent, reason),
        }
    }

    fn is_primary(&self, index: Index) -> bool {
        self.primary == Ok(index) && !self.is_outdated()
    }

    /// Whether a read may be given to this one as one of the readers.
    fn may_read(&self, index: Index, context: &PickContext<'_>) -> bool {
        if !self.has_got_as_far(index, context) {
            return false;
        }
        let narrowed = self.narrowed(context);
        let Some(narrowed) = &*narrowed else {
            return self.readers.may_pick(index, context);
        };
        // As a pick has it: those that are slow only where none of those near is left.
        let is_left =
            |near: &Index| !context.tried.contains(*near) && self.has_got_as_far(*near, context);
        narrowed.near.may_pick(index, context)
            || narrowed.fresh.may_pick(index, context)
                && !narrowed.near.members().iter().any(is_left)
    }

    fn nobody_may_read(&self, context: &PickContext<'_>) -> bool {
        let mut left = self.readers.members().iter();
        !left.any(|index| !context.tried.contains(*index) && self.may_read(*index, context))
    }

    /// A reader that has got as far as the read must see; where there is none, the primary.
    fn readers(&self, context: &PickContext<'_>) -> Verdict {
        let passed_over = self.without_those_behind(context);
        let tried = passed_over.as_ref().unwrap_or(context.tried);
        match self.any_reader(&context.with_tried(tried)) {
            Verdict::Use(index) => Verdict::Use(index),
            _ if context.not_before.is_some() => self.primary(context),
            nobody => nobody,
        }
    }

    /// Those that were tried, and those that have not got as far as the read must see. `None` where there are no such.
    fn without_those_behind(&self, context: &PickContext<'_>) -> Option<Tried> {
        let wanted = context.not_before?;
        let behind = |(place, index): &(usize, &Index)| {
            self.primary != Ok(**index) && self.is_behind(*place, wanted)
        };
        let members = self.readers.members().iter().enumerate();
        let mut behind = members.filter(behind).map(|(_, index)| *index).peekable();
        behind.peek()?;
        let mut passed_over = context.tried.clone();
        behind.for_each(|index| passed_over.insert(index));
        Some(passed_over)
    }

    /// Whether an endpoint, whichever it is, is known to have got as far as a read must see: the primary has.
    fn has_got_as_far(&self, index: Index, context: &PickContext<'_>) -> bool {
        let Some(wanted) = context.not_before else {
            return true;
        };
        let place = self.readers.members().binary_search(&index);
        self.primary == Ok(index) || place.is_ok_and(|place| !self.is_behind(place, wanted))
    }

    /// Whether the reader at this place is not known to have got as far.
    fn is_behind(&self, place: usize, wanted: Position) -> bool {
        let mark = self.progress.as_ref().and_then(|marks| marks.get(place));
        mark.is_none_or(|mark| mark.load(Ordering::Relaxed) < wanted.number())
    }

    fn any_reader(&self, context: &PickContext<'_>) -> Verdict {
        let narrowed = self.narrowed(context);
        let Some(narrowed) = &*narrowed else {
            return self.readers.pick(context);
        };
        let near = narrowed.near.pick(context);
        if let Verdict::Use(_) = near {
            return near;
        }
        // Slow is better than nobody; too far behind is not.
        match narrowed.fresh.members() {
            [] => Verdict::Fail(Reason::TooFarBehind),
            _ => narrowed.fresh.pick(context),
        }
    }

    fn narrowed(&self, context: &PickContext<'_>) -> Guard<Option<Arc<Narrowed>>> {
        let (candidates, members) = (&self.candidates, self.readers.members());
        self.readable
            .narrowed(context.now, candidates, members, &*self.inner)
    }

    /// Where a read goes, of which `readers` says who of those that may be read from has it.
    fn read(&self, context: &PickContext<'_>, readers: impl FnOnce() -> Verdict) -> Verdict {
        let (first, second): (Verdict, Option<Verdict>) = match self.read_from {
            ReadFrom::Primary => (self.primary(context), None),
            ReadFrom::PrimaryPreferred => match self.primary(context) {
                Verdict::Use(primary) => (Verdict::Use(primary), None),
                other => (other, Some(readers())),
            },
            ReadFrom::ReplicasPreferred => match readers() {
                Verdict::Use(replica) => (Verdict::Use(replica), None),
                other => (other, Some(self.primary(context))),
            },
            ReadFrom::Replicas | ReadFrom::Nearest | ReadFrom::Within(_) => (readers(), None),
        };
        match (first, second) {
            (_, Some(Verdict::Use(index))) => Verdict::Use(index),
            // While one of the two may still come, it is worth waiting.
            (Verdict::Fail(_), Some(second)) => second,
            (first, _) => first,
        }
    }

    /// As [`primary`](Self::primary), and says why.
    fn explain_primary(
        &self,
        what: &str,
        context: &PickContext<'_>,
        explanation: &mut Explanation,
    ) -> Verdict {
        let outdated = match self.is_outdated() {
            true => "; something else has just been announced",
            false => "",
        };
        let said = format!("{what} goes to the primary ({}{outdated})", self.said);
        let primary = self.primary.ok().filter(|_| outdated.is_empty());
        explanation.narrow("PrimaryReplica", said, &self.candidates, |index, _| {
            primary == Some(index)
        });
        self.primary(context)
    }

    /// As [`readers`](Self::readers), and says why. Each picker is asked as often as it is there, since some of them
    /// take turns.
    fn explain_readers(
        &self,
        what: &str,
        context: &PickContext<'_>,
        explanation: &mut Explanation,
    ) -> Verdict {
        let said = format!("{what} goes by {:?} ({})", self.read_from, self.said);
        self.leave(explanation, said, &self.readers);
        let passed_over = self.without_those_behind(context);
        let Some(wanted) = context.not_before else {
            return self.explain_any_reader(context, explanation);
        };
        let tried = passed_over.as_ref().unwrap_or(context.tried);
        let said = format!("of those, the ones known to have got to {wanted}; else the primary");
        let (readers, all) = (self.readers.members(), &self.candidates);
        explanation.narrow("PrimaryReplica", said, all, |index, _| {
            readers.binary_search(&index).is_ok() && !tried.contains(index)
        });
        match self.explain_any_reader(&context.with_tried(tried), explanation) {
            Verdict::Use(index) => Verdict::Use(index),
            _ => self.primary(context),
        }
    }

    fn explain_any_reader(
        &self,
        context: &PickContext<'_>,
        explanation: &mut Explanation,
    ) -> Verdict {
        let narrowed = self.narrowed(context);
        let Some(narrowed) = &*narrowed else {
            return self.readers.explain(context, explanation);
        };
        let said =
            "of those, the ones that are neither too far behind nor out of the latency window";
        self.leave(explanation, said, &narrowed.near);
        let near = narrowed.near.explain(context, explanation);
        if let Verdict::Use(_) = near {
            return near;
        }
        let said = "nobody is left there: any that is not too far behind will do";
        self.leave(explanation, said, &narrowed.fresh);
        match narrowed.fresh.members() {
            [] => Verdict::Fail(Reason::TooFarBehind),
            _ => narrowed.fresh.explain(context, explanation),
        }
    }
}

impl Picker for RolePicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        match self.is_read(context) {
            true => self.read(context, || self.readers(context)),
            false => self.primary(context),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let what = match (context.intent, self.is_read(context)) {
            (Intent::Any, true) => "a request that says nothing, taken for a read,",
            (Intent::Any, false) => "a request that says nothing, taken for a write,",
            (_, true) => "a read",
            (_, false) => "a write",
        };
        if !self.is_read(context) {
            return self.explain_primary(what, context, explanation);
        }
        let mut asked = None;
        let verdict = self.read(context, || {
            *asked.insert(self.explain_readers(what, context, explanation))
        });
        match asked == Some(verdict) {
            true => verdict,
            false => self.explain_primary(what, context, explanation),
        }
    }

    /// What may write goes to the primary, whoever says otherwise.
    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        match self.is_read(context) {
            true if context.not_before.is_some() && self.primary == Ok(index) => true,
            true => self.has_got_as_far(index, context) && self.readers.admits(index, context),
            false => self.is_primary(index),
        }
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        if !self.is_read(context) {
            return self.is_primary(index);
        }
        match self.read_from {
            ReadFrom::Primary => self.is_primary(index),
            ReadFrom::PrimaryPreferred => self.is_primary(index) || self.may_read(index, context),
            ReadFrom::ReplicasPreferred => {
                self.may_read(index, context)
                    || self.is_primary(index) && self.nobody_may_read(context)
            }
            ReadFrom::Replicas | ReadFrom::Nearest | ReadFrom::Within(_) => {
                self.may_read(index, context)
                    || context.not_before.is_some()
                        && self.is_primary(index)
                        && self.nobody_may_read(context)
            }
        }
    }

    fn is_timed(&self) -> bool {
        self.readable.is_timed() || self.readers.is_timed()
    }

    /// Where there are limits, the policy inside is asked for pickers on the way.
    fn never_panics(&self) -> bool {
        !self.readable.is_timed() && self.readers.never_panics()
    }
}
