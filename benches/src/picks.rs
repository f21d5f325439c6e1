//! The pick alone: the pointer to the newest snapshot, 64 random bits, and the policy.

use std::{hint::black_box, sync::Arc};

use arc_swap::ArcSwap;
use portolan_core::{Candidates, Freshness, PickContext, Policy, Snapshot, Time, Verdict};

use crate::{BoxError, Contender, Run};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    None,
    /// Eight bytes, another one each time.
    Eight,
}

/// Picks by `policy` among `candidates`, as a request does, except that nobody reads the clock.
///
/// # Errors
/// The contender fails where a pick names no endpoint.
pub fn picks<'a>(
    name: impl Into<String>,
    policy: &dyn Policy,
    candidates: &Candidates,
) -> Contender<'a> {
    with_keys(name, policy, candidates, Keys::None)
}

/// The same, of requests with keys of eight bytes.
///
/// # Errors
/// As [`picks`].
pub fn keyed_picks<'a>(
    name: impl Into<String>,
    policy: &dyn Policy,
    candidates: &Candidates,
) -> Contender<'a> {
    with_keys(name, policy, candidates, Keys::Eight)
}

/// What all picks have in common, without the pick: the pointer, the bits, the key.
pub fn no_picks<'a>(name: impl Into<String>, candidates: &Candidates) -> Contender<'a> {
    let published = ArcSwap::from(Arc::new(candidates.clone()));
    Contender::new(name, move |turns| {
        let (run, ()) = Run::of(|| {
            for turn in 0..turns {
                let key = key(turn);
                let candidates = published.load();
                let context = PickContext::new(Time::ORIGIN, fastrand::u64(..)).with_key(&key);
                black_box((&**candidates, &context));
            }
        });
        Ok(run)
    })
}

fn with_keys<'a>(
    name: impl Into<String>,
    policy: &dyn Policy,
    candidates: &Candidates,
    keys: Keys,
) -> Contender<'a> {
    let snapshot = Snapshot::new(
        1,
        candidates.clone(),
        policy.build(candidates),
        Freshness::Live,
        |_| (),
    );
    let published = ArcSwap::from(Arc::new(snapshot));
    Contender::new(name, move |turns| {
        let (run, done) = Run::of(|| -> Result<(), BoxError> {
            for turn in 0..turns {
                // As if one were picked each microsecond.
                let now = Time::from_nanos(turn * 1000);
                let key = key(turn);
                let snapshot = published.load();
                let mut context = PickContext::new(now, fastrand::u64(..));
                if keys == Keys::Eight {
                    context = context.with_key(&key);
                }
                match snapshot.pick(&context) {
                    Verdict::Use(index) => black_box(snapshot.get(index)).ok_or("no endpoint")?,
                    other => return Err(format!("{other:?}").into()),
                };
            }
            Ok(())
        });
        done?;
        Ok(run)
    })
}

fn key(turn: u64) -> [u8; 8] {
    turn.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}
