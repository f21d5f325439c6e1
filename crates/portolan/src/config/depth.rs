//! How deep policies may be in each other.
//!
//! Not every format has a limit of its own, and what is read without one overflows the stack, which no program
//! survives. serde hands nothing on from a value to those inside of it, so how deep it is, is counted beside it: by
//! the thread that reads.

use std::cell::Cell;

/// More than anybody means: all policies that are put over others, several times.
pub(super) const DEEPEST: u32 = 32;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Inside of one policy more, until it is dropped.
pub(super) struct Depth(());

impl Depth {
    pub(super) fn enter() -> Result<Self, String> {
        DEPTH.with(|depth| match depth.get() {
            DEEPEST => Err(format!(
                "more than {DEEPEST} policies are in each other: take some away"
            )),
            outside => {
                depth.set(outside + 1);
                Ok(Self(()))
            }
        })
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}
