//! Sources that need no cluster: a fixed list, and one that the program itself tells.

mod channel;
mod fixed;

pub use channel::{Channel, Teller, channel};
pub use fixed::Fixed;
