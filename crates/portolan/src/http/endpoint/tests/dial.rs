use tokio::net::{TcpListener, TcpStream};

use super::*;

/// An address that does not answer, as that of a Node that has died: the queue of its listener is full.
#[cfg(target_os = "linux")]
struct Silent {
    address: SocketAddr,
    _socket: socket2::Socket,
    _queue: Vec<TcpStream>,
}

#[cfg(target_os = "linux")]
impl Silent {
    async fn listen() -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&local.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        let patience = Duration::from_millis(50);
        while let Ok(Ok(queued)) = tokio::time::timeout(patience, TcpStream::connect(address)).await
        {
            queue.push(queued);
            assert!(queue.len() < 100, "the queue does not fill");
        }
        Self {
            address,
            _socket: socket,
            _queue: queue,
        }
    }
}

fn dialer(address: SocketAddr, alternate: Option<SocketAddr>) -> Dialer {
    Dialer {
        address,
        alternate,
        timeout: SOON,
        tally: Arc::default(),
        places: None,
        #[cfg(feature = "tls")]
        tls: None,
    }
}

async fn peer_of(dialer: &Dialer) -> SocketAddr {
    match dialer.dial(Offer::Http1).await.unwrap().stream {
        Stream::Plain(tcp) => tcp.peer_addr().unwrap(),
        #[cfg(feature = "tls")]
        Stream::Tls(_) => unreachable!("no TLS was asked for"),
    }
}

#[tokio::test]
async fn the_other_address_of_a_dual_stack_pod_is_dialled_when_the_first_refuses() {
    let listener = script::listen().await;
    let endpoint = Endpoint::new(Placement::new("orders-0"), nowhere().await)
        .with_alternate(listener.local_addr().unwrap());
    let client = client_of(&endpoint, settings(Version::Http1));
    let mut connection = script::accept(&listener).await;
    let (answer, ()) = tokio::join!(client.ask("/"), async {
        script::read_head(&mut connection).await;
        script::answer(&mut connection, "hello").await;
    });
    assert_eq!(answer, "hello");
}

#[tokio::test]
async fn an_address_of_ipv6_is_dialled_and_its_other_one_is_where_it_refuses() {
    let listener = match TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        // Where a machine has no IPv6 at all there is nothing to dial.
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => return,
        Err(error) => panic!("{error}"),
    };
    let address = listener.local_addr().unwrap();
    assert_eq!(peer_of(&dialer(address, None)).await, address);
    drop(listener);
    let other = script::listen().await;
    let other_address = other.local_addr().unwrap();
    assert_eq!(
        peer_of(&dialer(address, Some(other_address))).await,
        other_address
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_other_address_of_a_dual_stack_pod_is_dialled_besides_when_the_first_says_nothing() {
    let silent = Silent::listen().await;
    let listener = script::listen().await;
    let address = listener.local_addr().unwrap();
    let started = Instant::now();
    let dialer = dialer(silent.address, Some(address));
    assert_eq!(peer_of(&dialer).await, address);
    assert!(started.elapsed() >= Duration::from_millis(250), "too soon");
    // TCP sends the first packet again after a second: it was not that which helped.
    assert!(started.elapsed() < Duration::from_secs(1), "too late");
}

/// A listener whose queue is full does not answer: connecting hangs, as to a node that has died.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connect_that_hangs_is_bounded_and_gives_the_request_back() {
    let silent = Silent::listen().await;
    for version in [Version::Http1, Version::Http2] {
        let settings = ConnectionSettings {
            connect_timeout: Duration::from_millis(100),
            ..settings(version)
        };
        let client = client(silent.address, settings);
        let answer = tokio::time::timeout(SOON, client.send(request("/", "precious")));
        let failure = failure(answer.await.expect("bounded"));
        assert_eq!(failure.sent, Sent::Unreachable);
        assert_eq!(returned(failure).await, "precious");
    }
}

#[cfg(target_os = "linux")]
#[allow(
    clippy::infallible_destructuring_match,
    reason = "with TLS there is another"
)]
fn plain(transport: Transport) -> tokio::net::TcpStream {
    match transport.stream {
        Stream::Plain(tcp) => tcp,
        #[cfg(feature = "tls")]
        _ => panic!("no TLS was asked for"),
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_has_gone_silent_is_found_out_in_half_a_minute() {
    let listener = script::listen().await;
    let dialer = dialer(listener.local_addr().unwrap(), None);
    let tcp = plain(dialer.dial(Offer::Http1).await.unwrap());
    let socket = socket2::SockRef::from(&tcp);
    let seconds = Duration::from_secs;
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(15));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(5));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(30)));
}
