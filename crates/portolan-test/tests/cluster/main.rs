//! The cluster held against the rules of Kubernetes, and against its own promises.
//!
//! One program for all, as linking it is what takes time.

// With `cfg(test)`, helpers may fail as tests may.
#[cfg(test)]
mod access;
#[cfg(test)]
mod api;
#[cfg(test)]
#[cfg(feature = "dns")]
mod dns;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod services;
#[cfg(test)]
mod slices;
#[cfg(test)]
mod support;
#[cfg(test)]
mod whole;
