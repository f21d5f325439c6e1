//! How much memory something holds.

#![allow(dead_code, reason = "not everybody asks for everything")]

use std::hint::black_box;

use allocation_counter::{AllocationInfo, measure};
use portolan_benches::BoxError;

/// What `make` makes holds so much.
pub(crate) fn held<T>(make: impl FnOnce() -> T) -> AllocationInfo {
    let mut made = None;
    let held = measure(|| made = Some(make()));
    drop(black_box(made));
    held
}

/// What `make` makes holds so much, with the tasks that it starts.
pub(crate) fn held_by<T>(
    make: impl Future<Output = Result<T, BoxError>>,
) -> Result<AllocationInfo, BoxError> {
    // A runtime of its own: what the last one's tasks leave behind is freed with it, not here.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut made = Err("not made".into());
    let held = measure(|| made = runtime.block_on(make));
    made.map(|_| held)
}
