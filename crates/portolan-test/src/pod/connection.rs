//! Connections that the test can break, freeze and count, whoever owns them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::PodFaults;

/// A TCP connection that a Pod accepted.
///
/// It fails with `ConnectionReset` as soon as the Pod is killed, and does nothing while it hangs.
#[derive(Debug)]
pub struct PodStream {
    connection: Arc<Connection>,
}

/// All open connections of a Pod.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Vec<Weak<Connection>>>,
}

/// Breaks one connection.
#[derive(Clone, Debug)]
pub(crate) struct Reset {
    connection: Arc<Connection>,
}

#[derive(Debug)]
struct Connection {
    /// `None` once it was reset. Held for the time of one poll, which never blocks.
    stream: Mutex<Option<TcpStream>>,
    reader: AtomicWaker,
    writer: AtomicWaker,
    faults: Arc<PodFaults>,
}

impl Connections {
    pub(crate) fn add(&self, stream: TcpStream, faults: Arc<PodFaults>) -> PodStream {
        let connection = Arc::new(Connection {
            stream: Mutex::new(Some(stream)),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            faults,
        });
        let mut open = self.lock();
        open.retain(|other| other.strong_count() > 0);
        open.push(Arc::downgrade(&connection));
        PodStream { connection }
    }

    /// Resets every connection at once: the peer sees RST, as after `kill -9`.
    pub(crate) fn reset_all(&self) {
        for connection in self.lock().drain(..).filter_map(|open| open.upgrade()) {
            connection.reset();
        }
    }

    /// Lets every connection look again at what it may do.
    pub(crate) fn wake_all(&self) {
        for connection in self.lock().iter().filter_map(Weak::upgrade) {
            connection.wake();
        }
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        let open = self.lock();
        open.iter().filter(|open| open.strong_count() > 0).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PodStream {
    pub(crate) fn reset_handle(&self) -> Reset {
        Reset {
            connection: Arc::clone(&self.connection),
        }
    }

    fn poll<T>(
        &self,
        waker: &AtomicWaker,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // Registered first, so that a reset in between is not missed.
        waker.register(cx.waker());
        if self.connection.faults.is_hanging() {
            return Poll::Pending;
        }
        match self.connection.lock().as_mut() {
            Some(stream) => poll(Pin::new(stream), cx),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl Reset {
    pub(crate) fn reset(&self) {
        self.connection.reset();
    }
}

impl Connection {
    fn reset(&self) {
        if let Some(stream) = self.lock().take() {
            // Without lingering, close sends RST; if the peer is gone already, all the better.
            stream.set_zero_linger().ok();
        }
        self.wake();
    }

    fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for PodStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(&self.connection.reader, cx, |stream, cx| {
            stream.poll_read(cx, buf)
        })
    }
}

impl AsyncWrite for PodStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(&self.connection.writer, cx, |stream, cx| {
            stream.poll_write(cx, bytes)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(&self.connection.writer, cx, TcpStream::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(&self.connection.writer, cx, TcpStream::poll_shutdown)
    }
}
