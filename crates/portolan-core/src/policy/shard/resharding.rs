//! From one way of sharding to another, while requests go on.

use std::sync::Arc;

use super::Shard;
use crate::{
    Candidates, Index, Intent, PickContext, Picker, Policy, Reason, Verdict,
    policy::{Changes, Explanation},
    sync::{AtomicU32, Ordering},
};

/// Goes from one way of sharding to another, while requests go on: more shards, another map, other Pods.
///
/// During the move a key has two places, the old and the new, and what is to be done with each request is said by
/// the [phase](ReshardingPhase): which of them to read, and in which order, and which to write. A request goes to one endpoint;
/// so a client has a balancer for each side (they share what is watched), and asks where a request is to go:
///
/// ```
/// use portolan_core::{Intent, policy::{Reads, Resharding, ReshardingPhase, Shard, Shards, Side, Writes}};
///
/// let resharding = Resharding::new(
///     Shard::by_ordinal(Shards::fixed(4)),
///     Shard::by_ordinal(Shards::fixed(5)),
/// );
/// // One balancer with `.policy(resharding.side(Side::Old))`, one with `.policy(resharding.side(Side::New))`.
///
/// // 1. What is written goes to both, while what is there is copied.
/// resharding.enter(ReshardingPhase::new(Reads::Old, Writes::Both));
/// assert_eq!(resharding.sides(Intent::Write), [Side::Old, Side::New]);
/// // 2. All is there. Reads try the new place, and the old one where that has nothing.
/// resharding.enter(ReshardingPhase::new(Reads::NewThenOld, Writes::New));
/// assert_eq!(resharding.sides(Intent::Read), [Side::New, Side::Old]);
/// // 3. The old places are retired: nothing is sent there any more, whoever tries.
/// resharding.enter(ReshardingPhase::new(Reads::New, Writes::New));
/// assert_eq!(resharding.sides(Intent::Write), [Side::New]);
/// ```
///
/// Clones share the phase. Where several clients move together, each of them has to be told; a phase in which
/// both are written holds for clients that are one phase behind or ahead.
#[derive(Clone, Debug)]
pub struct Resharding {
    old: Arc<Shard>,
    new: Arc<Shard>,
    phase: Arc<Current>,
}

/// The phase as it is now, for picks to look at: a request is refused by the phase that its sender sees, and not
/// by the one before, for which a picker was built.
#[derive(Debug)]
struct Current(AtomicU32);

/// The old place of a key, or the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where it has been.
    Old,
    /// Where it will be.
    New,
}

/// What is done with requests in a phase of a [`Resharding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReshardingPhase {
    /// Which places are read, in which order.
    pub reads: Reads,
    /// Which places are written.
    pub writes: Writes,
}

/// Which places are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reads {
    /// The old one.
    Old,
    /// The old one, and where that has nothing, the new one.
    OldThenNew,
    /// The new one, and where that has nothing, the old one.
    NewThenOld,
    /// The new one.
    New,
}

/// Which places are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Writes {
    /// The old one.
    Old,
    /// Both: the write has succeeded when both have it.
    Both,
    /// The new one.
    New,
}

/// One side of a [`Resharding`], as the policy of a balancer.
#[derive(Clone, Debug)]
pub struct OnSide {
    side: Side,
    shard: Arc<Shard>,
    phase: Arc<Current>,
}

impl ReshardingPhase {
    /// A phase in which these are read, and those written.
    #[must_use]
    pub const fn new(reads: Reads, writes: Writes) -> Self {
        Self { reads, writes }
    }

    /// Where a request of this intent is to go: a read to the first of them, and to the next where that has
    /// nothing; all others, as they may write, to each of them.
    #[must_use]
    pub const fn sides(self, intent: Intent) -> &'static [Side] {
        match intent {
            Intent::Read => match self.reads {
                Reads::Old => &[Side::Old],
                Reads::OldThenNew => &[Side::Old, Side::New],
                Reads::NewThenOld => &[Side::New, Side::Old],
                Reads::New => &[Side::New],
            },
            _ => match self.writes {
                Writes::Old => &[Side::Old],
                Writes::Both => &[Side::Old, Side::New],
                Writes::New => &[Side::New],
            },
        }
    }

    const fn as_number(self) -> u32 {
        let reads = match self.reads {
            Reads::Old => 0,
            Reads::OldThenNew => 1,
            Reads::NewThenOld => 2,
            Reads::New => 3,
        };
        let writes = match self.writes {
            Writes::Old => 0,
            Writes::Both => 1,
            Writes::New => 2,
        };
        reads << 8 | writes
    }

    const fn from_number(number: u32) -> Self {
        let reads = match number >> 8 {
            0 => Reads::Old,
            1 => Reads::OldThenNew,
            2 => Reads::NewThenOld,
            _ => Reads::New,
        };
        let writes = match number & 0xff {
            0 => Writes::Old,
            1 => Writes::Both,
            _ => Writes::New,
        };
        Self { reads, writes }
    }

    /// Whether a request of this intent may go there.
    fn allows(self, intent: Intent, side: Side) -> bool {
        self.sides(intent).contains(&side)
    }
}

impl Current {
    fn now(&self) -> ReshardingPhase {
        ReshardingPhase::from_number(self.0.load(Ordering::Acquire))
    }
}

impl Resharding {
    /// From the one to the other. It begins with the old place only, for reads and writes.
    #[must_use]
    pub fn new(old: Shard, new: Shard) -> Self {
        let phase = ReshardingPhase::new(Reads::Old, Writes::Old);
        Self {
            old: Arc::new(old),
            new: Arc::new(new),
            phase: Arc::new(Current(AtomicU32::new(phase.as_number()))),
        }
    }

    /// Goes to another phase, and returns the former one.
    pub fn enter(&self, phase: ReshardingPhase) -> ReshardingPhase {
        let before = self.phase.0.swap(phase.as_number(), Ordering::AcqRel);
        ReshardingPhase::from_number(before)
    }

    /// The phase as it is now.
    #[must_use]
    pub fn phase(&self) -> ReshardingPhase {
        self.phase.now()
    }

    /// Where a request of this intent is to go [now](ReshardingPhase::sides).
    #[must_use]
    pub fn sides(&self, intent: Intent) -> &'static [Side] {
        self.phase().sides(intent)
    }

    /// The policy of the balancer for one side. What the phase does not send there is refused with
    /// [`Reason::OtherSide`]: a client that missed a phase writes nothing to a place that is retired.
    #[must_use]
    pub fn side(&self, side: Side) -> OnSide {
        OnSide {
            side,
            shard: Arc::clone(match side {
                Side::Old => &self.old,
                Side::New => &self.new,
            }),
            phase: Arc::clone(&self.phase),
        }
    }

    /// Whether a key is of another shard now than before: those that are not, need not be copied where
    /// shards of the same number have the same Pods.
    #[must_use]
    pub fn moves(&self, key: &[u8]) -> bool {
        self.old.shard_of(key) != self.new.shard_of(key)
    }
}

impl Policy for OnSide {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(SidePicker {
            side: self.side,
            phase: Arc::clone(&self.phase),
            inner: self.shard.build(candidates),
        })
    }

    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.shard.changes()
    }
}

#[derive(Debug)]
struct SidePicker {
    side: Side,
    phase: Arc<Current>,
    inner: Arc<dyn Picker>,
}

impl Picker for SidePicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        match self.phase.now().allows(context.intent, self.side) {
            true => self.inner.pick(context),
            false => Verdict::Fail(Reason::OtherSide),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let (side, phase) = (self.side, self.phase.now());
        explanation.note(
            "Resharding",
            format!(
                "the {side:?} side; reads go to {:?}, writes to {:?}",
                phase.reads, phase.writes
            ),
        );
        match self.phase.now().allows(context.intent, self.side) {
            true => self.inner.explain(context, explanation),
            false => self.pick(context),
        }
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.phase.now().allows(context.intent, self.side) && self.inner.admits(index, context)
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.phase.now().allows(context.intent, self.side) && self.inner.may_pick(index, context)
    }

    fn is_timed(&self) -> bool {
        self.inner.is_timed()
    }

    fn never_panics(&self) -> bool {
        self.inner.never_panics()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{super::tests::pods, *};
    use crate::{
        Time,
        policy::{Sharding, Shards},
    };

    const PHASES: [ReshardingPhase; 5] = [
        ReshardingPhase::new(Reads::Old, Writes::Old),
        ReshardingPhase::new(Reads::Old, Writes::Both),
        ReshardingPhase::new(Reads::OldThenNew, Writes::Both),
        ReshardingPhase::new(Reads::NewThenOld, Writes::Both),
        ReshardingPhase::new(Reads::New, Writes::New),
    ];

    fn resharding() -> Resharding {
        let shards = |count| Shard::by_ordinal(Shards::fixed(count)).keys(Sharding::number());
        Resharding::new(shards(2), shards(3))
    }

    /// Where a key is sent on one side, by ordinal.
    fn place(resharding: &Resharding, side: Side, intent: Intent, key: u8) -> Result<u32, Verdict> {
        let candidates = pods(&[("db", 0), ("db", 1), ("db", 2)]);
        let picker = resharding.side(side).build(&candidates);
        let key = key.to_string();
        let context = PickContext::new(Time::ORIGIN, 7);
        match picker.pick(&context.with_key(key.as_bytes()).with_intent(intent)) {
            Verdict::Use(index) => Ok(candidates.get(index).unwrap().endpoint.ordinal().unwrap()),
            other => Err(other),
        }
    }

    #[test]
    fn every_phase_is_a_number_and_back() {
        for reads in [Reads::Old, Reads::OldThenNew, Reads::NewThenOld, Reads::New] {
            for writes in [Writes::Old, Writes::Both, Writes::New] {
                let phase = ReshardingPhase::new(reads, writes);
                assert_eq!(ReshardingPhase::from_number(phase.as_number()), phase);
            }
        }
    }

    #[test]
    fn what_a_phase_does_not_send_there_is_refused() {
        let resharding = resharding();
        let refused = Err(Verdict::Fail(Reason::OtherSide));
        for phase in PHASES {
            resharding.enter(phase);
            for intent in [Intent::Read, Intent::Write, Intent::Any] {
                for (side, shard) in [(Side::Old, 1), (Side::New, 2)] {
                    let expected = match resharding.sides(intent).contains(&side) {
                        true => Ok(shard),
                        false => refused,
                    };
                    assert_eq!(place(&resharding, side, intent, 5), expected);
                }
            }
        }
        assert!(resharding.moves(b"5") && !resharding.moves(b"6"));
    }

    proptest! {
        /// Phase by phase, with writes, reads and the copying in any order: what was written last is read.
        #[test]
        fn nothing_is_lost_on_the_way(
            steps in prop::collection::vec((0..3u8, 0..12u8), 0..80),
            phases in prop::collection::vec(0..80usize, PHASES.len()),
        ) {
            let resharding = resharding();
            let mut stores: BTreeMap<(u32, u8), usize> = BTreeMap::new();
            let mut model: BTreeMap<u8, usize> = BTreeMap::new();
            let mut at: Vec<usize> = phases;
            at.sort_unstable();
            for (turn, (what, key)) in steps.into_iter().enumerate() {
                let reached = at.iter().filter(|start| **start <= turn).count();
                let phase = PHASES[reached.min(PHASES.len() - 1)];
                let before = resharding.enter(phase);
                if before.writes != Writes::New && phase.writes == Writes::New {
                    // The copying is done before the old place is retired.
                    for (key, value) in &model {
                        stores.insert((u32::from(*key % 3), *key), *value);
                    }
                }
                let send = |side, intent| place(&resharding, side, intent, key);
                match what {
                    0 | 1 => {
                        for side in resharding.sides(Intent::Write) {
                            let place = send(*side, Intent::Write);
                            prop_assert_eq!(place, Ok(u32::from(key % if *side == Side::Old { 2 } else { 3 })));
                            stores.insert((place.unwrap(), key), turn);
                        }
                        model.insert(key, turn);
                    }
                    _ => {
                        let mut sides = resharding.sides(Intent::Read).iter();
                        let found = sides.find_map(|side| {
                            let place = send(*side, Intent::Read).unwrap();
                            stores.get(&(place, key)).copied()
                        });
                        prop_assert_eq!(found, model.get(&key).copied());
                    }
                }
            }
        }
    }
}
