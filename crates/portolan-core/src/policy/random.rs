//! At random, by weight.

use std::sync::Arc;

use super::{Explanation, PickContext, Picker, Policy, Verdict};
use crate::{Candidates, Index};

/// An endpoint at random, in proportion to the weights.
///
/// No shared counter at all, so it scales with threads without limit; the price is that some
/// endpoint is always in the middle of a bad run of luck.
///
/// Weighted draws take one look into an alias table (Walker 1974; Vose 1991).
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

#[derive(Debug)]
struct UniformPicker {
    total: usize,
}

#[derive(Debug)]
struct AliasPicker {
    candidates: Candidates,
    columns: Box<[Column]>,
}

/// A column of the alias table: below the threshold it stands for itself, above for the other.
#[derive(Clone, Copy, Debug)]
struct Column {
    threshold: u32,
    alias: u32,
}

/// How often a draw that hits a tried endpoint is drawn again before the rest is counted through.
const REDRAWS: usize = 8;

impl Random {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for Random {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        match candidates.weights() {
            None => Arc::new(UniformPicker {
                total: candidates.len(),
            }),
            Some(weights) => Arc::new(AliasPicker {
                candidates: candidates.clone(),
                columns: alias_table(&weights),
            }),
        }
    }
}

impl Picker for UniformPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        match context.untried(self.total) {
            Ok(left) => Verdict::Use(context.tried.skip(scale(high(context.entropy), left))),
            Err(verdict) => verdict,
        }
    }

    fn is_timed(&self) -> bool {
        false
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note("Random", format!("one of {}, each as likely", self.total));
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}

impl Picker for AliasPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        if let Err(verdict) = context.untried(self.columns.len()) {
            return verdict;
        }
        let mut entropy = context.entropy;
        for _ in 0..REDRAWS {
            let index = self.draw(entropy);
            if !context.tried.contains(index) {
                return Verdict::Use(index);
            }
            entropy = next_entropy(entropy);
        }
        self.draw_from_the_rest(context, entropy)
    }

    fn is_timed(&self) -> bool {
        false
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note(
            "Random",
            format!("one of {}, as likely as it is heavy", self.columns.len()),
        );
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}

impl AliasPicker {
    fn draw(&self, entropy: u64) -> Index {
        let position = scale(high(entropy), self.columns.len());
        match self.columns.get(position) {
            Some(column) if low(entropy) >= column.threshold => Index::new(column.alias),
            _ => Index::at(position),
        }
    }

    /// Draws among those that have not been tried. Only for the rare request that has failed on
    /// endpoints which hold most of the weight: it counts through all of them.
    fn draw_from_the_rest(&self, context: &PickContext<'_>, entropy: u64) -> Verdict {
        let rest = || {
            self.candidates
                .iter()
                .enumerate()
                .map(|(position, one)| {
                    (
                        Index::at(position),
                        u64::from(one.endpoint.weight().value()),
                    )
                })
                .filter(|(index, _)| !context.tried.contains(*index))
        };
        let total: u64 = rest().map(|(_, weight)| weight).sum();
        let mut point = ((u128::from(entropy) * u128::from(total)) >> 64) as u64;
        for (index, weight) in rest() {
            if point < weight {
                return Verdict::Use(index);
            }
            point -= weight;
        }
        // Only endpoints of weight zero are left.
        context.nth_untried(self.columns.len(), scale(low(entropy), self.columns.len()))
    }
}

/// Vose's construction, in integers: with n columns, every weight is scaled by n and compared with
/// the sum of all, so no rounding accumulates.
fn alias_table(weights: &[u32]) -> Box<[Column]> {
    let columns = weights.len() as u64;
    let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut scaled: Vec<u64> = weights
        .iter()
        .map(|&weight| u64::from(weight) * columns)
        .collect();
    let mut table: Vec<Column> = (0..weights.len())
        .map(|position| Column {
            threshold: u32::MAX,
            alias: position as u32,
        })
        .collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..scaled.len()).partition(|&position| scaled.get(position).is_some_and(|&w| w < sum));
    while let (Some(little), Some(&much)) = (small.pop(), large.last()) {
        let own = scaled.get(little).copied().unwrap_or_default();
        if let Some(column) = table.get_mut(little) {
            // own < sum, so this is below 2^32.
            column.threshold = ((u128::from(own) << 32) / u128::from(sum.max(1))) as u32;
            column.alias = much as u32;
        }
        if let Some(rest) = scaled.get_mut(much) {
            *rest -= sum - own;
            if *rest < sum {
                large.pop();
                small.push(much);
            }
        }
    }
    table.into()
}

/// A number of 0 to `n` − 1, from 32 random bits, by multiplication (Lemire 2019). The bias is at
/// most n / 2^32.
pub(super) fn scale(bits: u32, n: usize) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

pub(super) fn high(entropy: u64) -> u32 {
    (entropy >> 32) as u32
}

pub(super) fn low(entropy: u64) -> u32 {
    entropy as u32
}

/// Further random bits from those at hand (the output function of SplitMix64, Steele et al. 2014).
pub(super) fn next_entropy(entropy: u64) -> u64 {
    let z = entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `nth` further random bits from those at hand.
pub(crate) fn random_bits(entropy: u64, nth: u64) -> u64 {
    next_entropy(entropy ^ next_entropy(nth))
}
