//! The pick alone: the pointer to the newest snapshot, 64 random bits, and the policy.

use std::{hint::black_box, sync::Arc};

use arc_swap::ArcSwap;
use portolan_core::{Candidates, Freshness, PickContext, Policy, Snapshot, Time, Verdict};

use crate::{BoxError, Contender, Run};

/// Picks by `policy` among `candidates`, as a request does, except that nobody reads the clock.
///
/// # Errors
/// The contender fails where a pick names no endpoint.
pub fn picks<'a>(
    name: impl Into<String>,
    policy: &dyn Policy,
    candidates: &Candidates,
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
                let snapshot = published.load();
                let context = PickContext::new(now, fastrand::u64(..));
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
