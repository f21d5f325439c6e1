//! HTTP/2: a fixed number of connections, each kept up by a task of its own.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    AnswerWithin, Connect, ConnectError, Offer, Request, Response, SendError, Target, Transport,
    deadline, error,
};
use crate::{
    Reachability,
    backoff::{Backoff, BackoffSettings},
    http::{refusal, replay::Replay},
};

/// A connection that lived so long was a good one: when it is lost, the next is made at once.
pub(super) const GOOD_LIFE: Duration = Duration::from_secs(1);

/// The connections to one endpoint.
pub(super) struct Links {
    links: Box<[watch::Receiver<Link>]>,
    next: AtomicUsize,
    connect: Arc<Connect>,
}

/// How one of the connections is.
#[derive(Clone)]
enum Link {
    /// Being made, and it is not known that it will fail.
    Dialling,
    /// There, as far as is known.
    Up(SendRequest<Replay>),
    /// Cannot be made. It is being tried again.
    Down(ConnectError),
}

impl Link {
    fn is_usable(&self) -> bool {
        matches!(self, Self::Up(connection) if !connection.is_closed())
    }
}

impl Links {
    /// Starts to connect, with this connection as the first if there is one already.
    pub(super) fn start(connect: Connect, mut first: Option<Transport>) -> Self {
        let connect = Arc::new(connect);
        let reach = Arc::new(Reach::new(connect.reachability.clone()));
        let links = (0..connect.settings.connections)
            .map(|_| {
                let (sender, receiver) = watch::channel(Link::Dialling);
                let keep = keep(
                    Arc::clone(&connect),
                    Arc::clone(&reach),
                    sender,
                    first.take(),
                );
                tokio::spawn(keep);
                receiver
            })
            .collect();
        Self {
            links,
            next: AtomicUsize::new(0),
            connect,
        }
    }

    /// A connection. They take turns; one that is down is passed over.
    async fn connection(&self, deadline: Instant) -> Result<SendRequest<Replay>, ConnectError> {
        let (before, after) = {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len().max(1);
            self.links.split_at_checked(turn).unwrap_or_default()
        };
        let mut in_turn = after.iter().chain(before);
        let usable = in_turn.clone().find_map(|link| match &*link.borrow() {
            Link::Up(connection) if !connection.is_closed() => Some(connection.clone()),
            _ => None,
        });
        if let Some(connection) = usable {
            return Ok(connection);
        }
        let Some(link) = in_turn.next() else {
            return Err(ConnectError::Gone);
        };
        if !matches!(&*link.borrow(), Link::Down(_)) {
            self.connect.turns.hurry();
        }
        let mut link = link.clone();
        let settled = link.wait_for(|link| link.is_usable() || matches!(link, Link::Down(_)));
        match self.connect.until(deadline, settled).await {
            Ok(Ok(link)) => match &*link {
                Link::Up(connection) => Ok(connection.clone()),
                Link::Down(error) => Err(error.clone()),
                Link::Dialling => Err(ConnectError::Gone),
            },
            Ok(Err(_)) => Err(ConnectError::Gone),
            Err(_) => Err(ConnectError::TimedOut(
                self.connect.settings.connect_timeout,
            )),
        }
    }
}

/// Sends one request.
///
/// A connection that goes away before it takes the request is replaced, and the request sent on the
/// next: servers that limit the age of a connection do this to healthy clients all the time.
pub(super) async fn send(
    mut links: Arc<Links>,
    target: &Target,
    mut request: Request,
    within: Option<Duration>,
) -> Result<Response, SendError> {
    let deadline = deadline(&links.connect.settings, within);
    loop {
        let mut connection = match links.connection(deadline).await {
            Ok(connection) => connection,
            Err(error) => return Err(SendError::not_connected(error, request)),
        };
        let (mut head, body) = request.into_parts();
        target.prepare_http2(&mut head);
        let spare = (head.clone(), body.spare());
        let response = connection.try_send_request(Request::from_parts(head, body));
        // An answer that is long in coming must not keep the connections of an endpoint that is gone.
        drop(connection);
        let limit = links.connect.answer_within();
        let endpoint = Arc::downgrade(&links);
        drop(links);
        let mut error = match AnswerWithin::wait(limit, response).await {
            Ok(Ok(mut response)) => {
                let (head, body) = spare;
                let spare = body.is_idempotent().then_some((head, body));
                refusal::keep(&mut response, spare);
                return Ok(response);
            }
            Ok(Err(error)) => error,
            Err(too_late) => {
                let (head, body) = spare;
                let again = body.rewind().map(|body| Request::from_parts(head, body));
                return Err(SendError::too_late(too_late, again));
            }
        };
        let given_back = error.take_message();
        let error = error.into_error();
        let unsent = given_back.is_some() || error::is_unprocessed(&error);
        let given_back = given_back.or_else(|| {
            let (head, body) = spare;
            Some(Request::from_parts(head, body.rewind()?))
        });
        if !unsent {
            return Err(SendError::lost(error, given_back));
        }
        match (given_back, endpoint.upgrade()) {
            (Some(again), Some(endpoint))
                if !error::is_refusal(&error) && Instant::now() < deadline =>
            {
                request = again;
                links = endpoint;
            }
            (given_back, _) => return Err(SendError::unsent(error, given_back)),
        }
    }
}

/// Keeps one connection up, until nobody wants it any more.
async fn keep(
    connect: Arc<Connect>,
    reach: Arc<Reach>,
    link: watch::Sender<Link>,
    mut first: Option<Transport>,
) {
    let mut backoff = Backoff::new(BackoffSettings::CONNECT);
    let mut short_lived = 0_u32;
    let mut is_first = true;
    loop {
        let establish = async {
            let ready_made = first.take();
            let _turn = match (&ready_made, std::mem::take(&mut is_first)) {
                (Some(_), _) => None,
                (None, true) => Some(connect.turns.first().await),
                (None, false) => Some(connect.turns.next().await),
            };
            establish(&connect, ready_made).await
        };
        let made = tokio::select! {
            made = establish => made,
            () = link.closed() => return,
        };
        match made {
            Ok((sender, connection)) => {
                // It has a task of its own, for it outlives this one if requests are in flight.
                let mut connection = tokio::spawn(connection);
                let mut since = Instant::now();
                link.send_replace(Link::Up(sender));
                reach.up();
                tracing::debug!(address = %connect.dialer.address, "connected");
                loop {
                    tokio::select! {
                        _ = &mut connection => break,
                        () = link.closed() => return,
                        (sender, next) = successor(&connect) => {
                            // The former one finishes what it holds, and closes.
                            connection = tokio::spawn(next);
                            since = Instant::now();
                            link.send_replace(Link::Up(sender));
                        }
                    }
                }
                tracing::debug!(address = %connect.dialer.address, "connection lost");
                reach.lost();
                if since.elapsed() >= GOOD_LIFE {
                    backoff.reset();
                    short_lived = 0;
                } else {
                    short_lived = short_lived.saturating_add(1);
                }
                // A server may have its reasons to close a connection early, once.
                if short_lived <= 1 {
                    link.send_replace(Link::Dialling);
                    continue;
                }
                link.send_replace(Link::Down(ConnectError::ClosedAtOnce));
            }
            Err(error) => {
                tracing::debug!(address = %connect.dialer.address, %error, "cannot connect");
                link.send_replace(Link::Down(error));
            }
        }
        reach.down();
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = link.closed() => return,
        }
    }
}

/// The connection that takes the place of one as soon as that is as old as it may get; for ever where it may get as
/// old as it likes.
async fn successor(connect: &Connect) -> Established {
    let Some(life) = connect.settings.life() else {
        return std::future::pending().await;
    };
    sleep(life).await;
    let mut backoff = Backoff::new(BackoffSettings::CONNECT);
    loop {
        let turn = connect.turns.next().await;
        let made = establish(connect, None).await;
        drop(turn);
        match made {
            Ok(made) => return made,
            // The old one is better than none.
            Err(error) => {
                tracing::debug!(address = %connect.dialer.address, %error, "cannot connect again");
            }
        }
        sleep(backoff.next()).await;
    }
}

type Established = (
    SendRequest<Replay>,
    Connection<TokioIo<Transport>, Replay, TokioExecutor>,
);

async fn establish(
    connect: &Connect,
    ready_made: Option<Transport>,
) -> Result<Established, ConnectError> {
    let transport = match ready_made {
        Some(transport) => transport,
        None => connect.dialer.dial(Offer::Http2).await?,
    };
    if transport.is_tls() && !transport.agreed_to_http2() {
        return Err(ConnectError::NoHttp2);
    }
    let mut http = Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new());
    if let Some(pings) = connect.settings.keep_alive {
        http.keep_alive_interval(pings.interval)
            .keep_alive_timeout(pings.timeout)
            .keep_alive_while_idle(pings.while_idle);
    }
    http.handshake(TokioIo::new(transport))
        .await
        .map_err(|error| ConnectError::Http(Arc::new(error)))
}

/// Whether the endpoint can be reached: by any of its connections.
struct Reach {
    reachability: Reachability,
    // The count and what is told of it change together.
    up: Mutex<usize>,
}

impl Reach {
    fn new(reachability: Reachability) -> Self {
        Self {
            reachability,
            up: Mutex::new(0),
        }
    }

    fn up(&self) {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        *up += 1;
        self.reachability.reached();
    }

    /// A connection is lost. That says nothing, until it cannot be made again.
    fn lost(&self) {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        *up = up.saturating_sub(1);
    }

    fn down(&self) {
        let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        if *up == 0 {
            self.reachability.not_reached();
        }
    }
}
