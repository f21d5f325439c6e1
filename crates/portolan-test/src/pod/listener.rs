//! Listening sockets that the test can close and open again under a running program.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::net::{TcpListener, TcpStream};

use super::{Connections, PodFaults, PodStream};

/// Accepts connections on one port of a Pod. Dropping it closes the port at once.
#[derive(Debug)]
pub struct PodListener {
    port: Arc<Port>,
    name: String,
    connections: Arc<Connections>,
    faults: Arc<PodFaults>,
}

impl PodListener {
    pub(crate) fn new(
        port: Arc<Port>,
        name: String,
        connections: Arc<Connections>,
        faults: Arc<PodFaults>,
    ) -> Self {
        Self {
            port,
            name,
            connections,
            faults,
        }
    }

    /// The Pod's address with this port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// The name of the container port, empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the next connection. Cancel safe.
    ///
    /// # Errors
    /// When the port is closed for good, because the Pod was killed, or by the system.
    pub async fn accept(&mut self) -> io::Result<(PodStream, SocketAddr)> {
        let (stream, peer) = poll_fn(|cx| self.port.poll_accept(cx)).await?;
        stream.set_nodelay(true)?;
        let stream = self.connections.add(stream, Arc::clone(&self.faults));
        Ok((stream, peer))
    }
}

impl Drop for PodListener {
    fn drop(&mut self) {
        self.port.close();
    }
}

/// One port of a Pod.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    /// The same port at the Pod's address of the other family.
    other: Option<SocketAddr>,
    socket: Mutex<Socket>,
    acceptor: AtomicWaker,
}

#[derive(Debug)]
enum Socket {
    /// Accepting, at each address.
    Open(Vec<TcpListener>),
    /// Closed for now: connections are refused, the program waits.
    Refusing,
    /// Closed for good.
    Closed,
}

impl Port {
    /// Listens on `address`, and on the one of the `other` family.
    pub(crate) fn open(address: SocketAddr, other: Option<SocketAddr>) -> io::Result<Self> {
        Ok(Self {
            address,
            other,
            socket: Mutex::new(Socket::Open(listen(address, other)?)),
            acceptor: AtomicWaker::new(),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port for good. The address is free for others at once.
    pub(crate) fn close(&self) {
        *self.lock() = Socket::Closed;
        self.acceptor.wake();
    }

    /// Refuses connections for now.
    pub(crate) fn refuse(&self) {
        let mut socket = self.lock();
        if matches!(*socket, Socket::Open(_)) {
            *socket = Socket::Refusing;
        }
    }

    /// Accepts again after [`refuse`](Self::refuse).
    pub(crate) fn accept_again(&self) -> io::Result<()> {
        let mut socket = self.lock();
        if matches!(*socket, Socket::Refusing) {
            *socket = Socket::Open(listen(self.address, self.other)?);
        }
        drop(socket);
        self.acceptor.wake();
        Ok(())
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.acceptor.register(cx.waker());
        match &*self.lock() {
            Socket::Open(listeners) => {
                let mut accepted = listeners.iter().map(|listener| listener.poll_accept(cx));
                accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
            }
            Socket::Refusing => Poll::Pending,
            Socket::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr, other: Option<SocketAddr>) -> io::Result<Vec<TcpListener>> {
    let addresses = [Some(address), other].into_iter().flatten();
    addresses
        .map(|address| {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .collect()
}
