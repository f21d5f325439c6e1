//! How endpoints are kept: one line that says what follows, and JSON.
//!
//! ```text
//! portolan-endpoints 1 crc32=9ae0daaf bytes=212
//! {"service":"db.shop:client","origin":"…","written":1795570682,"endpoints":[…]}
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portolan_core::{EndpointSet, InternalTraffic, Reach, SessionAffinity};
use serde::{Deserialize, Serialize};

use super::super::record::EndpointRecord;

const MAGIC: &str = "portolan-endpoints";
const VERSION: u32 = 1;

/// How far another clock may be ahead of this one.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Whose endpoints they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) service: &'a str,
    pub(super) origin: &'a str,
}

/// Why kept endpoints are not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is no regular file")]
    NotAFile,
    #[cfg(unix)]
    #[error("it belongs to user {owner}, and this program runs as {user}")]
    OtherUser { owner: u32, user: u32 },
    #[cfg(unix)]
    #[error("anybody may write to it (mode {0:o})")]
    Writable(u32),
    #[error("it has {0} bytes, more than the limit of {limit}", limit = super::store::MAX_LENGTH)]
    TooLarge(u64),
    #[error("it is not a file of kept endpoints")]
    NotOurs,
    #[error("it is of version {0} of the format, and this program knows version {VERSION}")]
    Version(u32),
    #[error("it should have {expected} bytes and has {found}: it is truncated, or was added to")]
    Length { expected: usize, found: usize },
    #[error("its checksum is wrong: it is corrupt")]
    Checksum,
    #[error("it is corrupt: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("it is of the Service {0}")]
    OtherService(String),
    #[error("it is of the origin {0}")]
    OtherOrigin(String),
    #[error("it was written {} s from now: one of the clocks is wrong", .0.as_secs())]
    FromTheFuture(Duration),
    #[error("it is {} s old, more than the limit of {} s", .age.as_secs(), .limit.as_secs())]
    TooOld { age: Duration, limit: Duration },
}

#[derive(Deserialize, Serialize)]
struct Kept {
    service: String,
    origin: String,
    /// Seconds since 1970.
    written: u64,
    #[serde(default)]
    reach: ReachRecord,
    /// `internalTrafficPolicy` is `Local`.
    #[serde(default)]
    local: bool,
    /// The timeout of `sessionAffinity: ClientIP`, in seconds.
    #[serde(default)]
    client_affinity: Option<u64>,
    endpoints: Vec<EndpointRecord>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
enum ReachRecord {
    #[default]
    Pods,
    VirtualIp,
    Nodes,
    LoadBalancer,
    ExternalName,
}

/// The bytes to keep.
pub(super) fn encode(
    owner: Owner<'_>,
    endpoints: &EndpointSet,
    now: SystemTime,
) -> serde_json::Result<Vec<u8>> {
    let kept = Kept {
        service: owner.service.to_owned(),
        origin: owner.origin.to_owned(),
        written: seconds(now),
        reach: ReachRecord::of(endpoints.reach()).ok_or_else(unknown)?,
        local: match endpoints.internal_traffic() {
            InternalTraffic::Cluster => false,
            InternalTraffic::Local => true,
            _ => return Err(unknown()),
        },
        client_affinity: match endpoints.session_affinity() {
            SessionAffinity::None => None,
            SessionAffinity::ClientIp { timeout } => Some(timeout.as_secs()),
            _ => return Err(unknown()),
        },
        endpoints: endpoints
            .iter()
            .map(|one| EndpointRecord::from(&**one))
            .collect(),
    };
    let body = serde_json::to_vec(&kept)?;
    let (checksum, length) = (crc32fast::hash(&body), body.len());
    let mut bytes = format!("{MAGIC} {VERSION} crc32={checksum:08x} bytes={length}\n").into_bytes();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// What was kept, and how old it is.
pub(super) fn decode(
    bytes: &[u8],
    owner: Owner<'_>,
    now: SystemTime,
    max_age: Duration,
) -> Result<(EndpointSet, Duration), Refusal> {
    let end_of_line = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = end_of_line
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(Refusal::NotOurs)?;
    let body = body.get(1..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| Refusal::NotOurs)?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(Refusal::NotOurs);
    }
    let version = words.next().and_then(|word| word.parse().ok());
    match version.ok_or(Refusal::NotOurs)? {
        VERSION => {}
        other => return Err(Refusal::Version(other)),
    }
    let checksum = words
        .next()
        .and_then(|word| u32::from_str_radix(word.strip_prefix("crc32=")?, 16).ok())
        .ok_or(Refusal::NotOurs)?;
    let expected: usize = words
        .next()
        .and_then(|word| word.strip_prefix("bytes=")?.parse().ok())
        .ok_or(Refusal::NotOurs)?;
    let found = body.len();
    if found != expected {
        return Err(Refusal::Length { expected, found });
    }
    if crc32fast::hash(body) != checksum {
        return Err(Refusal::Checksum);
    }
    let kept: Kept = serde_json::from_slice(body)?;
    if kept.service != owner.service {
        return Err(Refusal::OtherService(kept.service));
    }
    if kept.origin != owner.origin {
        return Err(Refusal::OtherOrigin(kept.origin));
    }
    let age = age(kept.written, now)?;
    if age > max_age {
        let limit = max_age;
        return Err(Refusal::TooOld { age, limit });
    }
    let endpoints = kept
        .endpoints
        .into_iter()
        .map(EndpointRecord::into_endpoint);
    let internal_traffic = match kept.local {
        true => InternalTraffic::Local,
        false => InternalTraffic::Cluster,
    };
    let client_ip = |seconds| SessionAffinity::ClientIp {
        timeout: Duration::from_secs(seconds),
    };
    let endpoints: EndpointSet = endpoints.collect();
    let endpoints = endpoints
        .with_reach(kept.reach.into())
        .with_internal_traffic(internal_traffic)
        .with_session_affinity(kept.client_affinity.map(client_ip).unwrap_or_default());
    Ok((endpoints, age))
}

/// A later version of core knows something that this format does not: better nothing than half of it.
fn unknown() -> serde_json::Error {
    serde::ser::Error::custom("this reach or traffic policy cannot be kept")
}

impl ReachRecord {
    fn of(reach: Reach) -> Option<Self> {
        Some(match reach {
            Reach::Pods => Self::Pods,
            Reach::VirtualIp => Self::VirtualIp,
            Reach::Nodes => Self::Nodes,
            Reach::LoadBalancer => Self::LoadBalancer,
            Reach::ExternalName => Self::ExternalName,
            _ => return None,
        })
    }
}

impl From<ReachRecord> for Reach {
    fn from(reach: ReachRecord) -> Self {
        match reach {
            ReachRecord::Pods => Self::Pods,
            ReachRecord::VirtualIp => Self::VirtualIp,
            ReachRecord::Nodes => Self::Nodes,
            ReachRecord::LoadBalancer => Self::LoadBalancer,
            ReachRecord::ExternalName => Self::ExternalName,
        }
    }
}

fn age(written: u64, now: SystemTime) -> Result<Duration, Refusal> {
    let now = seconds(now);
    match now.checked_sub(written) {
        Some(age) => Ok(Duration::from_secs(age)),
        None => match Duration::from_secs(written - now) {
            ahead if ahead <= CLOCK_SKEW => Ok(Duration::ZERO),
            ahead => Err(Refusal::FromTheFuture(ahead)),
        },
    }
}

/// Since 1970, before which nothing was written.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
