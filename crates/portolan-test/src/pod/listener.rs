//! Listening sockets that the test can close and open again under a running program.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

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
        let (stream, peer) = loop {
            let (stream, peer) = poll_fn(|cx| self.port.poll_accept(cx)).await?;
            if !self.faults.begin_connection() {
                break (stream, peer);
            }
            // Without lingering, close sends RST; if the peer is gone already, all the better.
            stream.set_zero_linger().ok();
        };
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
    /// Nobody who connects is answered; the program waits.
    Swallowing {
        /// One at each address.
        _queues: Vec<FullQueue>,
    },
    /// Closed for good.
    Closed,
}

/// A listening socket whose queue is full: Linux drops the packets of whoever connects besides.
#[derive(Debug)]
struct FullQueue {
    _listener: TcpListener,
    _queued: StdStream,
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

    /// Answers nobody who connects for now.
    pub(crate) fn swallow(&self) -> io::Result<()> {
        let mut socket = self.lock();
        if matches!(*socket, Socket::Open(_) | Socket::Refusing) {
            // The address has to be free first.
            *socket = Socket::Refusing;
            let addresses = [Some(self.address), self.other].into_iter().flatten();
            let queues = addresses.map(FullQueue::new).collect::<io::Result<_>>()?;
            *socket = Socket::Swallowing { _queues: queues };
        }
        Ok(())
    }

    /// Accepts again after [`refuse`](Self::refuse) or [`swallow`](Self::swallow).
    pub(crate) fn accept_again(&self) -> io::Result<()> {
        let mut socket = self.lock();
        if matches!(*socket, Socket::Refusing | Socket::Swallowing { .. }) {
            *socket = Socket::Refusing;
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
            Socket::Refusing | Socket::Swallowing { .. } => Poll::Pending,
            Socket::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FullQueue {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // A queue of this length has room for one.
        let listener = socket.listen(0)?;
        // Within the machine, it is there before this returns.
        let queued = StdStream::connect_timeout(&address, Duration::from_secs(1))?;
        Ok(Self {
            _listener: listener,
            _queued: queued,
        })
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
