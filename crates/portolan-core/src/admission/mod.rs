//! How many requests are good for those who serve them.
//!
//! A fixed limit is right for one size of Pods, one release and one hour of the day. What a limit is for shows in
//! latency: as long as there is room, requests take as long as ever; once they queue somewhere, they take longer. So a
//! limit can be found while the traffic goes on.

mod gradient;

pub use gradient::{Gradient, GradientLimit};
