//! Sources that need no cluster, and sources that are made of others.
//!
//! | source | what it says |
//! |---|---|
//! | [`Fixed`] | a list that never changes |
//! | [`channel`] | what the program itself tells |
#![cfg_attr(
    feature = "file",
    doc = "| [`file()`] | what a file says, as it changes |"
)]
#![cfg_attr(
    feature = "cached",
    doc = "| [`cached`] | what another source says, and at the start what it said before |"
)]
//! | [`first_of`] | what the first of several says that works |
//! | [`union`] | what several clusters or Services say together |

mod adopt;
#[cfg(feature = "cached")]
mod cached;
mod channel;
#[cfg(feature = "file")]
mod file;
mod first_of;
mod fixed;
#[cfg(any(feature = "cached", feature = "file"))]
mod record;
mod streams;
mod union;

#[cfg(feature = "cached")]
pub use cached::{Cached, cached};
pub use channel::{Channel, Teller, channel};
#[cfg(feature = "file")]
pub use file::{File, file};
pub use first_of::{FirstOf, first_of};
pub use fixed::Fixed;
pub use union::{Member, Union, member, union};
