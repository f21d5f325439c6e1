//! TLS by the Service's name, whichever endpoint is dialled.

use std::{fmt, sync::Arc};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::{ConnectError, Offer, Stream};

/// Whose certificate is expected, and how it is checked. One for all endpoints, which so share
/// sessions.
pub(crate) struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
    both: TlsConnector,
}

impl Tls {
    pub(super) fn new(config: &ClientConfig, name: ServerName<'static>) -> Self {
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Self {
            name,
            http1: offering(&[b"http/1.1"]),
            http2: offering(&[b"h2"]),
            both: offering(&[b"h2", b"http/1.1"]),
        }
    }

    /// The same, where the certificate is expected to be another's.
    pub(super) fn named(&self, name: ServerName<'static>) -> Self {
        Self {
            name,
            http1: self.http1.clone(),
            http2: self.http2.clone(),
            both: self.both.clone(),
        }
    }

    pub(super) async fn handshake(
        &self,
        tcp: TcpStream,
        offer: Offer,
    ) -> Result<Stream, ConnectError> {
        let connector = match offer {
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
            Offer::Both => &self.both,
        };
        match connector.connect(self.name.clone(), tcp).await {
            Ok(tls) => Ok(Stream::Tls(Box::new(tls))),
            Err(error) => Err(ConnectError::Tls {
                name: self.name.to_str().into_owned(),
                source: Arc::new(error),
            }),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
