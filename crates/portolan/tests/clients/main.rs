//! The clients for HTTP, gRPC and reqwest, over servers on loopback.
//!
//! One program for all, as linking it is what takes time.

// With `cfg(test)`, helpers may fail as tests may.
#[cfg(test)]
#[cfg(feature = "http")]
mod affinity;
#[cfg(test)]
#[cfg(feature = "http")]
mod connect_ahead;
#[cfg(test)]
#[cfg(feature = "http")]
mod follow;
#[cfg(test)]
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(test)]
#[cfg(feature = "http")]
#[cfg(test)]
#[cfg(feature = "grpc")]
mod grpc_health;
#[cfg(test)]
#[cfg(feature = "grpc")]
mod grpc_load_reports;
#[cfg(test)]
#[cfg(feature = "http")]
mod health;
#[cfg(test)]
#[cfg(feature = "http")]
mod http;
#[cfg(test)]
#[cfg(feature = "http")]
mod load_reports;
#[cfg(test)]
#[cfg(feature = "http")]
mod naming;
#[cfg(test)]
#[cfg(feature = "http")]
mod places;
#[cfg(test)]
#[cfg(feature = "http")]
mod refused;
#[cfg(test)]
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(test)]
#[cfg(feature = "reqwest")]
mod reqwest_failures;
#[cfg(test)]
#[cfg(feature = "http")]
mod runtimes;
#[cfg(test)]
#[cfg(feature = "http")]
mod server;
#[cfg(test)]
#[cfg(feature = "http")]
mod shutdown;
#[cfg(test)]
#[cfg(feature = "http")]
mod sticky;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tls;
