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

    /// The zone of that node, empty if it has none.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.identity.zone
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

    /// How many connections were accepted so far, those included that were reset at once.
    #[must_use]
    pub fn connections_accepted(&self) -> u64 {
        self.faults.connections()
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

    /// Takes requests and answers none, as a program does whose threads all wait for something: connections are
    /// accepted and read, and HTTP/2 pings answered. (A program other than HTTP gets no connections.) What was
    /// asked meanwhile is answered after [`heal`](Self::heal).
    pub fn stall(&self) {
        self.faults.set_stalled(true);
    }

    /// Vanishes, as a Pod does whose node has lost its power, or its network: nothing is answered on the connections
    /// that are open, and whoever connects waits in vain, for not even a refusal comes. Nobody is told: the Pod stays
    /// ready, as it does in a cluster for the 40 s after which a node is given up.
    ///
    /// The kernel still acknowledges what is sent on open connections. That new ones are not answered is
    /// Linux's doing; elsewhere a few may be.
    ///
    /// # Errors
    /// If a port cannot be taken over, as another process has taken it.
    ///
    /// # Example
    /// A whole zone:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use portolan_test::TestCluster;
    ///
    /// let cluster = TestCluster::builder().zones(&["a", "b"]).start().await?;
    /// cluster.stateful_set("shop", "db", 4).port("http", 8080).create().await?.wait_ready(4).await?;
    /// for pod in cluster.pods().iter().filter(|pod| pod.zone() == "b") {
    ///     pod.vanish()?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn vanish(&self) -> std::io::Result<()> {
        self.faults.set_hanging(true);
        self.ports
            .borrow()
            .iter()
            .try_for_each(|port| port.swallow())
    }

    /// Answers every HTTP request by a bare `status`.
    pub fn answer_with(&self, status: StatusCode) {
        self.faults.set_answer(status);
    }

    /// Resets the connection in place of every `nth` answer; 1 for all, 0 for none.
    pub fn reset_every(&self, nth: u64) {
        self.faults.set_reset_every(nth);
    }

    /// Resets every `nth` connection as soon as it is accepted; 1 for all, 0 for none.
    pub fn reset_every_connection(&self, nth: u64) {
        self.faults.set_reset_every_connection(nth);
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
    /// If a port that was closed cannot be opened again, as another process has taken it.
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
