//! Sources that need no cluster, and sources that are made of others.
//!
//! | source | what it says |
//! |---|---|
//! | [`Fixed`] | a list that never changes |
//! | [`channel`] | what the program itself tells |
//! | [`first_of`] | what the first of several says that works |
//! | [`union`] | what several clusters or Services say together |

mod adopt;
mod channel;
mod first_of;
mod fixed;
mod streams;
mod union;

pub use channel::{Channel, Teller, channel};
pub use first_of::{FirstOf, first_of};
pub use fixed::Fixed;
pub use union::{Member, Union, member, union};
