//! One set of watches for all who find the same cluster by themselves.
//!
//! Two libraries in one program may each call [`Cluster::infer`](super::Cluster::infer) and know
//! nothing of each other. Where both are led to the same API server with the same credentials, they
//! share what clones share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Handle, Id};

use super::{Access, Shared, WatchOptions, infer::Found, infer::Origin};
use crate::Error;

/// What makes two clusters one and the same.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    /// Where it was read, with the context.
    origin: Origin,
    /// And what was read there: a kubeconfig may be another one a moment later.
    fingerprint: u64,
    /// A client lives on the runtime that it was made on, and dies with it.
    runtime: Id,
}

/// Those that are in use.
static IN_USE: Mutex<Vec<(Identity, Weak<Shared>)>> = Mutex::new(Vec::new());

/// The one that is in use already, or a new one.
pub(super) fn shared(found: Found) -> Result<Arc<Shared>, Error> {
    let runtime = Handle::try_current().map_err(|cause| Error::Client {
        cause: cause.into(),
    })?;
    let identity = Identity {
        origin: found.origin.clone(),
        fingerprint: found.fingerprint,
        runtime: runtime.id(),
    };
    if let Some(known) = known_or(&identity, None) {
        return Ok(known);
    }
    // Without the lock: a kubeconfig's command may be run.
    let access = Access::renewable(found, runtime)?;
    let new = Arc::new(Shared::new(access, WatchOptions::default()));
    Ok(known_or(&identity, Some(&new)).unwrap_or(new))
}

/// The one of this identity; `new` takes its place where there is none.
fn known_or(identity: &Identity, new: Option<&Arc<Shared>>) -> Option<Arc<Shared>> {
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    in_use.retain(|(_, shared)| shared.strong_count() > 0);
    let known = in_use.iter().find(|(known, _)| known == identity);
    let known = known.and_then(|(_, shared)| shared.upgrade());
    if let (None, Some(new)) = (&known, new) {
        let identity = Identity {
            origin: identity.origin.clone(),
            ..*identity
        };
        in_use.push((identity, Arc::downgrade(new)));
    }
    known
}

#[cfg(test)]
mod tests;
