//! DNS by bare packets: what a server says, without anybody to make sense of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, Query},
    rr::{Name, RecordType},
};
use tokio::{net::UdpSocket, time::timeout};

use crate::failure::Result;

/// For a server on this machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer of a server, by UDP, to a client that takes `payload` bytes.
///
/// # Errors
/// If none came, or it makes no sense.
pub async fn ask(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    payload: u16,
) -> Result<Message> {
    let mut query = Message::query();
    query.add_query(Query::query(name.parse::<Name>()?, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    query.set_edns(edns);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    socket.send(&query.to_vec()?).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    let length = timeout(PATIENCE, socket.recv(&mut answer)).await??;
    Ok(Message::from_vec(answer.get(..length).unwrap_or_default())?)
}
