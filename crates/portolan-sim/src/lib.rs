//! What the policies do under load, found out without a network: a discrete-event simulator.
//!
//! Clients choose by the *real* code of `portolan-core`: its candidates, pickers and endpoint states, told of each
//! request as a balancer tells them. Around that is a model: Pods are queues with workers, the network takes a little
//! while, and time is a number that jumps from one event to the next. The same seed gives the same run, to the last
//! request.
//!
//! A model leaves things out, so its figures are for comparing policies with each other, under the same requests, and
//! for nothing else. What is left out: processors, garbage collectors, connections that have to be made, and retries,
//! which would turn errors into latency.
//!
//! From the inside out:
//!
//! - [`agenda`]: what happens next.
//! - [`random`]: chance, in the shapes that are needed.
//! - [`pod`]: a Pod, as a queue with workers; [`meter`]: what it reports of its load.
//! - [`client`]: a client, by the real policies.
//! - [`scenario`]: how many there are of either, and what is wrong with some.
//! - [`simulation`]: a run, from its scenario to its [`outcome`].
//! - [`comparison`]: each policy in each scenario, as a [`table`] and a [`plot`].
//! - [`subsets`]: who talks to whom in a large fleet, which is counted and takes no time at all.
//!
//! ```
//! use portolan_core::policy::LeastRequest;
//! use portolan_sim::{scenario::{Fault, Scenario}, simulation};
//! use std::{sync::Arc, time::Duration};
//!
//! let scenario = Scenario::new(Fault::None, 0.7).lasting(Duration::from_secs(1), Duration::from_secs(2));
//! let outcome = simulation::run(&scenario, &|| Arc::new(LeastRequest::new()), 42);
//! assert_eq!(outcome.errors(), 0.0);
//! println!("{:?} at the median", outcome.latency(0.5));
//! ```

pub mod agenda;
pub mod client;
pub mod comparison;
pub mod meter;
pub mod outcome;
pub mod plot;
pub mod pod;
pub mod random;
pub mod scenario;
pub mod simulation;
pub mod subsets;
pub mod table;
