//! The client, and how another is made once its credentials are no longer good.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use kube::{Client, Config};
use tokio::{runtime::Handle, time::Instant};

use super::infer::{Found, Origin};
use crate::Error;

/// The least time between two attempts to read credentials anew. A kubeconfig may name a command
/// that asks somebody else for a token, and refusals come by the second.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// What requests are sent with. Clones are one and the same.
///
/// `kube` reads a token file again after 50 s, an exec plugin's token when it says that it expires,
/// and anything else never; that the API server refuses it makes no difference. So after a refusal
/// everything is read anew here, as the service account or the kubeconfig is by then.
#[derive(Clone)]
pub(crate) struct Access(Arc<Inner>);

struct Inner {
    current: RwLock<Credentialed>,
    /// Nothing for a client that was given.
    renewal: Option<Renewal>,
}

/// A client, and how many there were before it.
#[derive(Clone)]
pub(crate) struct Credentialed {
    pub(crate) client: Client,
    generation: u64,
}

struct Renewal {
    origin: Origin,
    /// The API server, which stays the same: a kubeconfig that was changed to lead elsewhere must not
    /// take a running program with it.
    server: http::Uri,
    /// A client lives on the runtime that it was made on.
    runtime: Handle,
    last: Mutex<Option<Instant>>,
    /// Held while one is made: one at a time, however long a plugin takes.
    busy: Arc<tokio::sync::Mutex<()>>,
}

impl Access {
    /// By a configuration that can be read again.
    pub(super) fn renewable(found: Found, runtime: Handle) -> Result<Self, Error> {
        let renewal = Renewal {
            origin: found.origin.clone(),
            server: found.config.cluster_url.clone(),
            runtime,
            last: Mutex::default(),
            busy: Arc::default(),
        };
        Ok(Self::new(found.client()?, Some(renewal)))
    }

    fn new(client: Client, renewal: Option<Renewal>) -> Self {
        let current = Credentialed {
            client,
            generation: 0,
        };
        Self(Arc::new(Inner {
            current: RwLock::new(current),
            renewal,
        }))
    }

    /// The client to use now.
    pub(crate) fn current(&self) -> Credentialed {
        let current = self.0.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The API server does not know who this is: another client is made, in the background, unless
    /// that was done since or is being done.
    pub(crate) fn refused(&self, refused: &Credentialed) {
        let Some(renewal) = &self.0.renewal else {
            return;
        };
        let Ok(busy) = Arc::clone(&renewal.busy).try_lock_owned() else {
            return;
        };
        if self.current().generation != refused.generation || !renewal.is_due() {
            return;
        }
        let access = self.clone();
        let (origin, runtime) = (renewal.origin.clone(), renewal.runtime.clone());
        // Files are read, and a command may be run: a thread of its own can wait for that.
        renewal.runtime.spawn_blocking(move || {
            access.install(runtime.block_on(origin.read()));
            drop(busy);
        });
    }

    fn install(&self, found: Result<Found, Error>) {
        let same_server = |config: &Config| {
            let server = self.0.renewal.as_ref().map(|renewal| &renewal.server);
            server == Some(&config.cluster_url)
        };
        let made = match found {
            Ok(found) if !same_server(&found.config) => {
                tracing::warn!(
                    "the API server refuses the credentials, and the kubeconfig leads to another API \
                     server by now, which is not followed"
                );
                return;
            }
            Ok(found) => found.client(),
            Err(error) => Err(error),
        };
        match made {
            Ok(client) => {
                tracing::info!("the API server refused the credentials, they were read anew");
                let mut current = self
                    .0
                    .current
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                current.client = client;
                current.generation += 1;
            }
            Err(error) => {
                tracing::warn!(%error, "the API server refuses the credentials, and there are no others");
            }
        }
    }
}

impl From<Client> for Access {
    fn from(client: Client) -> Self {
        Self::new(client, None)
    }
}

impl Renewal {
    fn is_due(&self) -> bool {
        let mut last: MutexGuard<'_, Option<Instant>> =
            self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < RENEWAL_INTERVAL) {
            return false;
        }
        *last = Some(Instant::now());
        true
    }
}
