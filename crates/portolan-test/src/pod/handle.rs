//! A test's hold on a running Pod.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;

use super::{Connections, PodFaults, PodIdentity, Port};

/// A running Pod: what it did, and faults on order.
///
/// The handle belongs to one incarnation of the Pod. After a restart of the Pod (another UID)
/// it does nothing; ask for a new one. A killed container is the same incarnation.
#[derive(Clone, Debug)]
pub struct PodHandle {
    pub(crate) identity: Arc<PodIdentity>,
    pub(crate) ports: watch::Receiver<Vec<Arc<Port>>>,
    pub(crate) addresses: Arc<[SocketAddr]>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) faults: Arc<PodFaults>,
    /// Counts the kills.
    pub(crate) kills: watch::Sender<u64>,
    /// What a readiness probe would say, whatever the program says.
    pub(crate) probe: watch::Sender<bool>,
}

impl PodHandle {
    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// The Pod's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The UID of this incarnation.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.identity.uid
    }

    /// The node that the Pod runs on.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.identity.node
    }

    /// The Pod's address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.identity.ip
    }

    /// The address and first port of the Pod; port 0 if it has no ports.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let first = self.addresses.first();
        first.map_or_else(|| SocketAddr::new(self.ip(), 0), |address| *address)
    }

    /// The address with every port of the Pod.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many requests reached the Pod's HTTP programs, faulty ones included; for other
    /// programs, how many connections.
    #[must_use]
    pub fn requests_served(&self) -> u64 {
        self.faults.requests()
    }

    /// How many requests are being served now.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        self.faults.in_flight()
    }

    /// How many connections are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Kills the containers as `kill -9` does: when this returns, the ports are closed and all
    /// connections are reset. The kubelet starts them again after its backoff, in the same Pod,
    /// which is not ready meanwhile.
    pub fn kill(&self) {
        for port in self.ports.borrow().iter() {
            port.close();
        }
        self.connections.reset_all();
        self.kills.send_modify(|kills| *kills += 1);
    }

    /// Makes every answer `late`. (A program other than HTTP is late once a connection.)
    pub fn slow(&self, late: Duration) {
        self.faults.set_slow(late);
    }

    /// Refuses connections. Those that are open stay so.
    pub fn refuse(&self) {
        for port in self.ports.borrow().iter() {
            port.refuse();
        }
    }

    /// Freezes the Pod, as SIGSTOP does: connections are accepted, nothing is read or written.
    pub fn hang(&self) {
        self.faults.set_hanging(true);
    }

    /// Answers every HTTP request by a bare `status`.
    pub fn answer_with(&self, status: StatusCode) {
        self.faults.set_answer(status);
    }

    /// Resets the connection in place of every `nth` answer; 1 for all, 0 for none.
    pub fn reset_every(&self, nth: u64) {
        self.faults.set_reset_every(nth);
    }

    /// Resets all connections that are open now; new ones are welcome.
    pub fn reset_connections(&self) {
        self.connections.reset_all();
    }

    /// Makes the readiness probe fail, or pass again, while the Pod goes on serving.
    pub fn set_ready(&self, ready: bool) {
        self.probe.send_replace(ready);
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// If a refused port cannot be opened again, as another process has taken it.
    pub fn heal(&self) -> std::io::Result<()> {
        self.faults.clear();
        self.connections.wake_all();
        self.set_ready(true);
        for port in self.ports.borrow().iter() {
            port.accept_again()?;
        }
        Ok(())
    }
}
