//! Rendezvous hashing: each host draws a lot for the key, and the best one has it.

use std::sync::Arc;

use super::{
    host::{Host, Hosts, placements},
    key_hash,
    order::Order,
    settings::{Settings, common_settings},
};
use crate::{
    Candidates, Picker, Policy,
    policy::{Changes, random::next_entropy},
};

/// Each host draws a lot for the key, and the best one has it (Thaler, Ravishankar 1998).
///
/// The spread is as even as chance is, also where there are few hosts; the keys of a host that leaves go to all others
/// evenly; nothing else ever moves. There is no table, so a change costs nothing. The price is that a pick looks at
/// every host: some 1 ns each. Choose it for up to a hundred hosts or so.
///
/// *Weights.* The lot of a host is −ln(u) / weight, with u from the hash of key and host: the least of such lots is as
/// likely a host's as its weight says (Schindelhauer, Schomaker 2005).
///
/// *For other languages.* r is the output of SplitMix64 for the state `key_hash(key) ^ key_hash(placement)`; v is
/// its upper 53 bits as a fraction; with equal weights the least v has the key, and u is 1 − v.
///
/// ```
/// use portolan_core::policy::{LeastRequest, Rendezvous};
///
/// let policy = Rendezvous::new().bounded_load(1.25).without_key(LeastRequest::new());
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rendezvous {
    settings: Settings,
}

common_settings!(Rendezvous);

impl Rendezvous {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for Rendezvous {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let hosts = Hosts::of(candidates);
        let names = placements(candidates).map(|placement| key_hash(placement.as_str().as_bytes()));
        let lots = Lots {
            names: names.collect(),
            weights: hosts
                .unequal_weights()
                .map(|weights| weights.iter().copied().map(f64::from).collect()),
        };
        self.settings.picker(candidates, hosts, lots)
    }

    /// A key has one place for all clients.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.settings.changes()
    }
}

#[derive(Debug)]
struct Lots {
    /// The hash of each host's name.
    names: Box<[u64]>,
    /// `None` where all weigh the same.
    weights: Option<Box<[f64]>>,
}

/// What a lot counts, as a fraction of all.
const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;

impl Order for Lots {
    const NAME: &'static str = "Rendezvous";

    #[inline]
    fn first(&self, hash: u64) -> Option<Host> {
        self.first_such(hash, |_| true)
    }

    /// One pass. Who is no better than the best so far is not asked about, so that of n hosts `such` is asked
    /// about some ln n, and those that are not such.
    #[inline]
    fn first_such(&self, hash: u64, such: impl FnMut(Host) -> bool) -> Option<Host> {
        match &self.weights {
            None => self.least(hash, such),
            Some(weights) => self.least_by_weight(weights, hash, such),
        }
    }
}

impl Lots {
    fn least(&self, hash: u64, mut such: impl FnMut(Host) -> bool) -> Option<Host> {
        // One more than any lot, so that the first that is such is better.
        let (mut best, mut host) = (1 << 53, None);
        for (number, name) in (0..).zip(&self.names) {
            let lot = lot(hash, *name);
            if lot < best && such(Host(number)) {
                (best, host) = (lot, Some(Host(number)));
            }
        }
        host
    }

    fn least_by_weight(
        &self,
        weights: &[f64],
        hash: u64,
        mut such: impl FnMut(Host) -> bool,
    ) -> Option<Host> {
        let (mut best, mut host) = (f64::INFINITY, None);
        for ((number, name), weight) in (0..).zip(&self.names).zip(weights) {
            let fraction = lot(hash, *name) as f64 * UNIT;
            // −ln(1 − v) is never less than v: most need no logarithm. What weighs nothing is never less than best.
            if fraction < best * weight {
                let weighed = minus_ln_of_one_minus(fraction) / weight;
                if weighed < best && such(Host(number)) {
                    (best, host) = (weighed, Some(Host(number)));
                }
            }
        }
        host
    }
}

/// 53 bits.
#[inline]
fn lot(key: u64, name: u64) -> u64 {
    next_entropy(key ^ name) >> 11
}

/// −ln(1 − `v`), for `v` from 0 to below 1, and never less than `v`.
///
/// The standard library's logarithm may differ from machine to machine in its last bits, and then so might
/// whose key it is. This one takes only +, −, × and ÷, which IEEE 754 defines to the last bit.
fn minus_ln_of_one_minus(v: f64) -> f64 {
    const SQRT_HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;
    // 1 − v = m · 2^−halvings, with m around 1.
    let (mut m, mut halvings) = (1.0 - v, 0);
    while m < SQRT_HALF {
        m *= 2.0;
        halvings += 1;
    }
    // ln m = 2 artanh s, and s is in ±0.172.
    let s = match halvings {
        // More exact where v is small, which is where it decides.
        0 => -v / (2.0 - v),
        _ => (m - 1.0) / (m + 1.0),
    };
    let square = s * s;
    let series = (0..12).rev().fold(0.0, |sum, term| {
        sum * square + 1.0 / f64::from(2 * term + 1)
    });
    (f64::from(halvings) * std::f64::consts::LN_2 - 2.0 * s * series).max(v)
}

#[cfg(test)]
mod tests {
    use super::minus_ln_of_one_minus;

    #[test]
    fn the_logarithm_is_one() {
        let tiny = (0..53).map(|halvings| 2_f64.powi(-halvings - 1));
        let even = (0..100_000).map(|step| f64::from(step) / 100_000.0);
        for v in tiny.chain(even).chain([1.0 - 2_f64.powi(-53)]) {
            let (ours, std) = (minus_ln_of_one_minus(v), -(-v).ln_1p());
            assert!(
                (ours - std).abs() <= 1e-15 * std.max(1e-300) * 4.0,
                "{v}: {ours} {std}"
            );
            assert!(ours >= v);
        }
    }
}
