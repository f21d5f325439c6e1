//! Sockets: one port, by UDP and by TCP.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use crate::error::Error;

use super::answer::{Answers, Reaction, Transport};

/// The port that is free for TCP may be taken for UDP; another one is tried then.
const ATTEMPTS: usize = 16;

/// Listens on a free port, and serves it until the tasks are dropped.
pub(super) async fn start(answers: &Arc<Answers>) -> Result<(SocketAddr, JoinSet<()>), Error> {
    let (listener, socket, address) = bind().await.map_err(|source| Error::Listen {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        source,
    })?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_udp(Arc::clone(answers), Arc::new(socket)));
    tasks.spawn(serve_tcp(Arc::clone(answers), listener));
    Ok((address, tasks))
}

async fn bind() -> io::Result<(TcpListener, UdpSocket, SocketAddr)> {
    let mut attempts = 0;
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        attempts += 1;
        match UdpSocket::bind(address).await {
            Ok(socket) => return Ok((listener, socket, address)),
            Err(error) if attempts == ATTEMPTS => return Err(error),
            Err(_) => {}
        }
    }
}

async fn serve_udp(answers: Arc<Answers>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut queries = JoinSet::new();
    loop {
        // An error is what became of a former answer, such as a client that went away.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default().to_vec();
        let (answers, socket) = (Arc::clone(&answers), Arc::clone(&socket));
        queries.spawn(async move {
            if let Reaction::Say(bytes) = answers.react(&query, Transport::Udp).await {
                socket.send_to(&bytes, client).await.ok();
            }
        });
        while queries.try_join_next().is_some() {}
    }
}

async fn serve_tcp(answers: Arc<Answers>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let answers = Arc::clone(&answers);
        connections.spawn(async move {
            // However it ends, it ends.
            serve_connection(&answers, stream).await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Messages with their length before them (RFC 1035 section 4.2.2), one after the other.
async fn serve_connection(answers: &Answers, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut query = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut query).await?;
        match answers.react(&query, Transport::Tcp).await {
            Reaction::Say(bytes) => {
                let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
                let mut message = length.to_be_bytes().to_vec();
                message.extend(bytes);
                stream.write_all(&message).await?;
            }
            Reaction::Ignore => {}
            Reaction::HangUp => return Ok(()),
            Reaction::Stall => std::future::pending().await,
        }
    }
}
