//! Servers that do exactly what a test says, byte for byte.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

/// Reads the head of an HTTP/1.1 request.
pub(super) async fn read_head(io: &mut impl Io) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.expect("a request"));
    }
    String::from_utf8(head).unwrap()
}

pub(super) async fn write(io: &mut impl Io, text: &str) {
    io.write_all(text.as_bytes()).await.unwrap();
}

pub(super) async fn answer(io: &mut impl Io, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    write(io, &text).await;
}

/// Reads whatever comes until the client closes the connection.
pub(super) async fn until_closed(mut io: impl Io) {
    let _ = io.read_to_end(&mut Vec::new()).await;
}

/// Whether the client has closed the connection, without having said anything more.
pub(super) async fn is_closed(io: &mut impl Io) -> bool {
    matches!(io.read(&mut [0; 1]).await, Ok(0) | Err(_))
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The server's end of an HTTP/2 connection.
pub(super) struct Http2<S> {
    io: S,
}

impl<S: Io> Http2<S> {
    pub(super) async fn start(mut io: S) -> Self {
        let mut preface = [0; 24];
        io.read_exact(&mut preface).await.expect("HTTP/2");
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut this = Self { io };
        this.write(SETTINGS, 0, 0, &[]).await;
        this
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.io.write_all(&frame).await.unwrap();
    }

    async fn read(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, ref stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.io.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(*stream);
        Some((kind, flags, stream, payload))
    }

    /// The stream of the next request, once it has been sent whole, and its body.
    pub(super) async fn request(&mut self) -> Option<(u32, Vec<u8>)> {
        let mut body = Vec::new();
        loop {
            match self.read().await? {
                (HEADERS, flags, stream, _) if flags & END_STREAM != 0 => {
                    return Some((stream, body));
                }
                (DATA, flags, stream, payload) => {
                    body.extend(payload);
                    if flags & END_STREAM != 0 {
                        return Some((stream, body));
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether a ping comes within that time, whatever else does.
    pub(super) async fn is_pinged_within(&mut self, time: std::time::Duration) -> bool {
        let pinged = async {
            while let Some((kind, ..)) = self.read().await {
                if kind == PING {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(time, pinged).await.unwrap_or(false)
    }

    /// Answers 200 (entry 8 of the static table), with a body or without.
    pub(super) async fn answer(&mut self, stream: u32, body: &str) {
        let last = if body.is_empty() { END_STREAM } else { 0 };
        self.write(HEADERS, END_HEADERS | last, stream, &[0x88])
            .await;
        if !body.is_empty() {
            self.write(DATA, END_STREAM, stream, body.as_bytes()).await;
        }
    }

    pub(super) async fn reset(&mut self, stream: u32, reason: h2::Reason) {
        let reason = u32::from(reason).to_be_bytes();
        self.write(RST_STREAM, 0, stream, &reason).await;
    }

    /// Says that no stream beyond `last` has been or will be processed.
    pub(super) async fn go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), [0; 4]].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// Reads whatever comes until the client closes the connection.
    pub(super) async fn until_closed(self) {
        until_closed(self.io).await;
    }
}
