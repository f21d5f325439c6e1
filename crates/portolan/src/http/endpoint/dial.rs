//! Connecting to one endpoint: TCP to its addresses, then TLS by the Service's name.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};

use super::{
    ConnectError,
    transport::{Places, Stream, Transport},
};
#[cfg(feature = "tls")]
use crate::http::tls::Tls;
use crate::{counters::Tally, happy_eyeballs};

/// Dials one endpoint, and nothing else.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) address: SocketAddr,
    pub(super) alternate: Option<SocketAddr>,
    pub(super) timeout: Duration,
    pub(super) tally: Arc<Tally>,
    pub(super) places: Option<Places>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<Tls>>,
}

/// Which protocols are offered, where TLS offers any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Http1,
    Http2,
    Both,
}

impl Dialer {
    /// A connection on which requests can be sent. Takes no longer than the timeout.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub(super) async fn dial(&self, offer: Offer) -> Result<Transport, ConnectError> {
        let place = self.places.as_ref().map(Places::take).transpose()?;
        Tally::count(&self.tally.dials);
        let dialled = timeout(self.timeout, self.connect(offer)).await;
        let dialled = dialled.unwrap_or(Err(ConnectError::TimedOut(self.timeout)));
        if dialled.is_err() {
            Tally::count(&self.tally.dials_failed);
        }
        dialled.map(|stream| Transport::new(stream, place))
    }

    async fn connect(&self, offer: Offer) -> Result<Stream, ConnectError> {
        let tcp = happy_eyeballs::connect(self.address, self.alternate)
            .await
            .map_err(|error| ConnectError::Tcp(Arc::new(error)))?;
        tune(&tcp);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.handshake(tcp, offer).await;
        }
        let _ = offer;
        Ok(Stream::Plain(tcp))
    }
}

/// Sets what makes a connection quick, and its end noticed.
///
/// A node that dies says nothing. With these, a connection to it fails within half a minute, be it
/// idle (keep-alive probes: after 15 s, and three more, 5 s apart) or not (data that is not acknowledged
/// for 30 s). HTTP/2 pings would do the same, but gRPC servers take frequent ones for abuse and hang up.
fn tune(tcp: &TcpStream) {
    let socket = SockRef::from(tcp);
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    // Left to itself, Linux sends nine (`TCP_USER_TIMEOUT` overrules that), others eight.
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd"
    ))]
    let probes = probes.with_retries(3);
    // A connection on which any of these cannot be set is slower or staler, but works.
    let mut results = vec![tcp.set_nodelay(true), socket.set_tcp_keepalive(&probes)];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    results.push(socket.set_tcp_user_timeout(Some(Duration::from_secs(30))));
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}
