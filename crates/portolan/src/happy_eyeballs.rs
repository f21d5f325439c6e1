//! Connecting to whichever of two addresses answers (RFC 8305).

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::sleep};

/// How long the preferred address has before the other one of a dual-stack Pod is dialled besides
/// (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address that answers.
///
/// # Cancel safety
/// Dropping the future closes what was opened.
pub(crate) async fn connect(
    address: SocketAddr,
    alternate: Option<SocketAddr>,
) -> io::Result<TcpStream> {
    let Some(alternate) = alternate else {
        return TcpStream::connect(address).await;
    };
    let first = TcpStream::connect(address);
    tokio::pin!(first);
    let failed = tokio::select! {
        connected = &mut first => match connected {
            Ok(tcp) => return Ok(tcp),
            Err(error) => Some(error),
        },
        () = sleep(HEAD_START) => None,
    };
    let second = TcpStream::connect(alternate);
    let Some(error) = failed else {
        tokio::pin!(second);
        return tokio::select! {
            connected = &mut first => match connected {
                Ok(tcp) => Ok(tcp),
                Err(error) => second.await.map_err(|_| error),
            },
            connected = &mut second => match connected {
                Ok(tcp) => Ok(tcp),
                Err(_) => first.await,
            },
        };
    };
    // The preferred address says best what is wrong.
    second.await.map_err(|_| error)
}
