//! Going by what answers have said of where requests belong.

mod redirect;
mod table;

use std::{fmt, sync::Arc};

use super::{Changes, Explanation, PickContext, Picker, Policy, Verdict, key_hash};
use crate::{Candidates, Index, Placement, Tried};
pub use redirect::Redirect;
pub use table::Learnt;
use table::{NOWHERE, Table};

/// Where requests belong, as far as answers have said so: learnt from redirects (`MOVED`, "not the leader",
/// 307), and gone by before the policy that it is put [over](Self::over).
///
/// What is learnt is of one key, or of a whole shard; it is bounded ([capacity](Self::with_capacity)), what is
/// older than what is known is ignored, and what turns out wrong is told so by the next redirect.
/// A route to an endpoint that is not there, or has been tried for the request, is not gone by: the
/// policy underneath knows whom to ask then.
///
/// Clones share what they have learnt: one is for the policy, one for the client that learns.
///
/// ```
/// use portolan_core::policy::{LeastRequest, Routes};
///
/// let routes = Routes::by_key();
/// let policy = routes.over(LeastRequest::new());
/// ```
#[derive(Clone)]
pub struct Routes {
    table: Arc<Table>,
    number: Option<Arc<Number>>,
}

/// Which shard a key is of.
type Number = dyn Fn(&[u8]) -> u64 + Send + Sync;

/// A policy that goes by what has been learnt before it goes by another. It comes from [`Routes::over`].
#[derive(Debug)]
pub struct ByRoutes {
    routes: Routes,
    inner: Arc<dyn Policy>,
}

#[derive(Debug)]
struct RoutePicker {
    routes: Routes,
    candidates: Candidates,
    /// By the hash of its placement; of two endpoints of one placement, the first.
    places: Box<[(u64, Index)]>,
    inner: Arc<dyn Picker>,
}

/// Enough for the 16,384 slots of a Redis cluster, in some 600 KiB.
const CAPACITY: usize = 16_384;

impl Routes {
    /// Routes of single keys.
    #[must_use]
    pub fn by_key() -> Self {
        Self {
            table: Arc::new(Table::new(CAPACITY)),
            number: None,
        }
    }

    /// Routes of whole shards (or slots): `number` says which one a key is of.
    #[must_use]
    pub fn by_shard(number: impl Fn(&[u8]) -> u64 + Send + Sync + 'static) -> Self {
        Self {
            number: Some(Arc::new(number)),
            ..Self::by_key()
        }
    }

    /// Routes of which so many are remembered, apart from those of the value it is called on, rounded up to a power of two; what is learnt beyond that takes the
    /// place of something else. Default: 16,384, the slots of a Redis cluster. At most 1,048,576.
    #[must_use]
    pub fn with_capacity(mut self, routes: usize) -> Self {
        self.table = Arc::new(Table::new(routes));
        self
    }

    /// A policy that goes by these routes, and where there is none by `policy`.
    #[must_use]
    pub fn over(&self, policy: impl Policy + 'static) -> ByRoutes {
        ByRoutes {
            routes: self.clone(),
            inner: Arc::new(policy),
        }
    }

    /// Learns where requests for this key belong, or, where routes are [of shards](Self::by_shard), for the shard that
    /// the redirect names. `to` is whom it [leads to](Redirect::destination), which must be a member.
    pub fn learn(&self, key: Option<&[u8]>, redirect: &Redirect, to: &Placement) -> Learnt {
        let of_shard = redirect.shard().filter(|_| self.number.is_some());
        let route = of_shard.or_else(|| key.map(|key| self.route(key)));
        match route.filter(|_| !redirect.is_for_now()) {
            Some(route) => self.table.learn(route, place(to), redirect.epoch()),
            None => Learnt::Nothing,
        }
    }

    /// Forgets everything learnt: for a map that is newer than all of it.
    pub fn clear(&self) {
        self.table.clear();
    }

    fn route(&self, key: &[u8]) -> u64 {
        match &self.number {
            Some(number) => number(key),
            None => key_hash(key),
        }
    }
}

impl Policy for ByRoutes {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let all = (0u32..).map(Index::new).zip(candidates);
        let mut places: Box<[_]> = all
            .map(|(index, one)| (place(one.endpoint.placement()), index))
            .collect();
        places.sort_unstable();
        Arc::new(RoutePicker {
            routes: self.routes.clone(),
            candidates: candidates.clone(),
            places,
            inner: self.inner.build(candidates),
        })
    }

    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.inner.changes()
    }
}

impl RoutePicker {
    /// Who has been learnt to serve this request.
    #[inline]
    fn learnt(&self, context: &PickContext<'_>) -> Option<Index> {
        let place = self.routes.table.find(self.routes.route(context.key?))?;
        let start = self.places.partition_point(|(one, _)| *one < place);
        let same = self.places.get(start..)?.iter();
        let mut same = same.take_while(|(one, _)| *one == place);
        let may =
            |index: Index| !context.tried.contains(index) && self.inner.admits(index, context);
        same.find(|(_, index)| may(*index)).map(|(_, index)| *index)
    }
}

impl Picker for RoutePicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        match self.learnt(context) {
            Some(index) => Verdict::Use(index),
            None => self.inner.pick(context),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        match self.learnt(context) {
            Some(index) => {
                let said = "an earlier answer said who serves this";
                explanation.narrow("Routes", said, &self.candidates, |one, _| one == index);
                Verdict::Use(index)
            }
            None => {
                explanation.note("Routes", "no answer has said yet who serves this");
                self.inner.explain(context, explanation)
            }
        }
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.inner.admits(index, context)
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        match self.learnt(&context.with_tried(Tried::NONE)) {
            Some(learnt) if learnt == index => true,
            Some(learnt) if !context.tried.contains(learnt) => false,
            _ => self.inner.may_pick(index, context),
        }
    }

    fn is_timed(&self) -> bool {
        self.inner.is_timed()
    }

    fn never_panics(&self) -> bool {
        // A closure of somebody else's may.
        self.routes.number.is_none() && self.inner.never_panics()
    }
}

/// What a place is called in the table.
fn place(placement: &Placement) -> u64 {
    key_hash(placement.as_str().as_bytes()).min(NOWHERE - 1)
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("by_shard", &self.number.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
