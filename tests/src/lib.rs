//! The scenarios of Portolan's tests, and what they run on.

#[cfg(feature = "real")]
pub mod real;
