//! The way from a balancer to the API server, which can be disturbed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Forwards TCP connections, for as long as it lives, and breaks or freezes them on demand. It
/// understands nothing of what it forwards, so TLS passes.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    state: watch::Sender<State>,
    _forwarding: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Counts the orders to break what is open.
    cuts: u64,
    /// Counts the orders to freeze what is open.
    freezes: u64,
    /// Whether nothing gets through.
    severed: bool,
}

impl Line {
    /// A line to the server at `target`.
    pub(crate) async fn to(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State::default());
        let mut forwarding = JoinSet::new();
        forwarding.spawn(accept(listener, target, state.subscribe()));
        Ok(Self {
            address,
            state,
            _forwarding: forwarding,
        })
    }

    /// Where to connect instead of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every open connection. New ones are welcome.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Freezes every open connection: it stays open, and nothing passes any more, as when a NAT on
    /// the way has forgotten it. New ones are welcome.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.freezes += 1);
    }

    /// Resets every connection, open and new, until [`mend`](Self::mend).
    pub fn sever(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.severed = true;
        });
    }

    /// Ends [`sever`](Self::sever).
    pub fn mend(&self) {
        self.state.send_modify(|state| state.severed = false);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if state.borrow().severed {
            reset(&client);
            continue;
        }
        connections.spawn(forward(client, target, state.clone()));
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let State { cuts, freezes, .. } = *state.borrow_and_update();
    let mut server = match TcpStream::connect(target).await {
        Ok(server) => server,
        Err(_) => return reset(&client),
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        _ = state.wait_for(|now| now.cuts > cuts || now.freezes > freezes) => {}
    }
    // Whoever freezes first may cut later.
    state.wait_for(|now| now.cuts > cuts).await.ok();
    reset(&client);
    reset(&server);
}

/// Closing sends RST then; if the peer is gone already, all the better.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().ok();
}
