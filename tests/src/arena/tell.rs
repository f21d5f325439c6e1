//! Telling a scenario, and how long it took.

use std::{io::Write as _, sync::PoisonError, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::Arena;
#[cfg(feature = "real")]
use super::real;
use crate::failure::{Failure, Result};

/// Tells a scenario on an embedded cluster of its own.
///
/// # Errors
/// What went wrong, or that it did not end.
pub fn on_embedded(name: &str, story: impl AsyncFnOnce(&Arena) -> Result) -> Result {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(tell(name, Arena::embedded(name), story))
}

/// Tells a scenario on the real cluster.
///
/// # Errors
/// What went wrong, or that it did not end.
#[cfg(feature = "real")]
pub fn on_real(name: &str, story: impl AsyncFnOnce(&Arena) -> Result) -> Result {
    real::block_on(tell(name, Arena::real(name), story))
}

/// Says how long it took, so that a suite that becomes slow can be seen to, and what was noted.
async fn tell(
    name: &str,
    arena: impl Future<Output = Result<Arena>>,
    story: impl AsyncFnOnce(&Arena) -> Result,
) -> Result {
    const LIMIT: Duration = Duration::from_secs(120);
    let arena = arena.await?;
    let began = Instant::now();
    let result = timeout(LIMIT, story(&arena))
        .await
        .unwrap_or_else(|_| Err(Failure::new(format_args!("it did not end in {LIMIT:?}"))));
    let took = began.elapsed().as_secs_f64();
    let notes = arena
        .notes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .join("; ");
    // Not by the macro, whose output a test that passes swallows.
    writeln!(std::io::stdout(), "    {name}: {took:.2} s {notes}")?;
    result
}

/// Tries until something holds. For what the cluster does in its own time and tells by no event.
///
/// # Errors
/// What was wrong the last time, after `limit`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    attempt: impl AsyncFn() -> Result<T>,
) -> Result<T> {
    let patience = Instant::now() + limit;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(wrong) if Instant::now() >= patience => {
                return Err(Failure::new(format_args!(
                    "{what}: not in {limit:?}: {wrong:?}"
                )));
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
