//! What is told to the [`metrics`](https://docs.rs/metrics) facade, for whichever recorder the program installs.
//!
//! | metric | kind | unit | labels | what it is |
//! |---|---|---|---|---|
//! | [`portolan.source.age`](SOURCE_AGE) | gauge | s | `service` | how old the endpoints are that are gone by, or, before the first, how long there have been none; 0 while discovery works |
//! | [`portolan.source.errors`](SOURCE_ERRORS) | counter | | `service`, `error.type` | how often discovery said that it fails |
//! | [`portolan.endpoints`](ENDPOINTS) | gauge | | `service`, `state` | endpoints: `eligible` for requests, or `passed_over` (not ready, leaving, out of reach, for clients elsewhere) |
//! | [`portolan.endpoints.unhealthy`](ENDPOINTS_UNHEALTHY) | gauge | | `service` | endpoints that fail their [health checks](crate::health_check); told by balancers that check |
//! | [`portolan.health_checks`](HEALTH_CHECKS) | counter | | `service`, `outcome` | health checks: `passed`, `failed`, `not_asked` (no connection was free), `unknown` (the server does not know `grpc.health.v1`) |
//! | [`portolan.load_reports.refused`](LOAD_REPORTS_REFUSED) | counter | | `service`, `error.type` | reports of endpoints' load that were [garbage](crate::orca): `too_long`, `unknown_form`, `unreadable`, `number` |
//! | [`portolan.snapshot.generation`](SNAPSHOT_GENERATION) | gauge | | `service` | counts the snapshots published |
//! | [`portolan.snapshot.build.duration`](SNAPSHOT_BUILD) | histogram | s | `service` | how long one took, from taking up the news to its publication |
//! | [`portolan.retries`](RETRIES) | counter | | `service` | requests that were sent again, within the budget |
//! | [`portolan.retries.refused`](RETRIES_REFUSED) | counter | | `service` | those that were not, for the budget was spent: the service is failing as a whole |
//! | [`portolan.ejections`](EJECTIONS) | counter | | `service` | endpoints left out because they fail where others do not |
//! | [`portolan.returns`](RETURNS) | counter | | `service` | endpoints that were given another trial after that |
//!
//! `service` is the Service as the program names it; two balancers over the same one tell of both as one.
//! While discovery fails, the age is told once a second. Alert on it: `portolan_source_age > 300`, in
//! Prometheus' spelling, says that this client has not heard of its Service for five minutes.
//!
//! Retries are told once a second. Nothing of this is on the way of a request. A program without a recorder finds the
//! same counts, and more, in [`Counters`](crate::Counters).

/// How old the endpoints are that are gone by.
pub const SOURCE_AGE: &str = "portolan.source.age";
/// How often discovery said that it fails.
pub const SOURCE_ERRORS: &str = "portolan.source.errors";
/// How many endpoints there are, by state.
pub const ENDPOINTS: &str = "portolan.endpoints";
/// How many endpoints fail their health checks.
pub const ENDPOINTS_UNHEALTHY: &str = "portolan.endpoints.unhealthy";
/// How many health checks there were, by what came of them.
pub const HEALTH_CHECKS: &str = "portolan.health_checks";
/// How many reports of endpoints' load were refused.
pub const LOAD_REPORTS_REFUSED: &str = "portolan.load_reports.refused";
/// Counts the snapshots.
pub const SNAPSHOT_GENERATION: &str = "portolan.snapshot.generation";
/// How long a snapshot took to make.
pub const SNAPSHOT_BUILD: &str = "portolan.snapshot.build.duration";
/// How many requests were sent again.
pub const RETRIES: &str = "portolan.retries";
/// How many were not, for there had been too many.
pub const RETRIES_REFUSED: &str = "portolan.retries.refused";
/// How many endpoints were left out for failing.
pub const EJECTIONS: &str = "portolan.ejections";
/// How many of them were tried again.
pub const RETURNS: &str = "portolan.returns";

pub(crate) const SERVICE: &str = "service";
pub(crate) const STATE: &str = "state";
pub(crate) const OUTCOME: &str = "outcome";
/// As OpenTelemetry's semantic conventions call it.
pub(crate) const ERROR_TYPE: &str = "error.type";
