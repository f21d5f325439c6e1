//! Servers that speak TLS.

use std::{net::SocketAddr, sync::Arc};

use portolan::http::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Request, Response, serve_on, text};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) trusting: ClientConfig,
}

/// A server with a certificate for `name`, which answers with the name it was asked for in TLS.
pub(crate) async fn server(name: &str, protocols: &[&[u8]]) -> Server {
    serve_tls(name, protocols, |asked_for, request| async move {
        text(format!("{:?} {asked_for:?}", request.version()))
    })
    .await
}

/// A server with a certificate for `name`. `answer` gets the name that it was asked for in TLS.
pub(crate) async fn serve_tls<F, R>(name: &str, protocols: &[&[u8]], answer: F) -> Server
where
    F: Fn(Option<String>, Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let issued = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = issued.cert.der().clone();
    let key = issued.signing_key.serialize_der().try_into().unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            let answer = answer.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate hangs up.
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let asked_for = tls.get_ref().1.server_name().map(str::to_owned);
                serve_on(tls, move |request| answer(asked_for.clone(), request)).await;
            });
        }
    });
    Server { address, trusting }
}
