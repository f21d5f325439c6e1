//! HTTP/1.1: a pool of connections, of which some are made ahead of traffic and more on demand.
//!
//! Each connection has a task. A connection that is lent out for a request comes back to its task with
//! the response, and the task puts it into the pool again when the response has been read to its end.

mod tasks;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper::client::conn::http1::SendRequest;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use super::{
    AnswerWithin, Connect, ConnectError, Request, Response, SendError, Target, Transport, deadline,
    later,
};
use crate::{
    backoff::{Backoff, BackoffSettings},
    http::{refusal, replay::Replay, settings::ConnectionSettings},
};
use tasks::{dial_and_put, keep_warm};

/// The connections to one endpoint.
pub(super) struct Pool {
    connect: Connect,
    state: Mutex<State>,
    /// A connection is to be made, maybe.
    wanted: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// The one that was used last is used first, so that what is not needed gets old.
    idle: Vec<Idle>,
    /// Who comes first is served first.
    waiting: VecDeque<oneshot::Sender<Result<Lent, ConnectError>>>,
    /// All that are there, or are being made.
    connections: usize,
    /// Those that are being made.
    dialling: Vec<u64>,
    /// When those that are there will be as old as they may get.
    retirements: Vec<(u64, Instant)>,
    next_id: u64,
    /// Why no connection could be made the last time, and until when no request tries again.
    down: Option<(ConnectError, Instant)>,
    /// The runtime of the connections is gone: there will be none.
    closed: bool,
}

struct Idle {
    connection: Lent,
    since: Instant,
}

/// A connection on which nothing is being done.
struct Lent {
    id: u64,
    sender: SendRequest<Replay>,
    home: mpsc::Sender<Lent>,
    /// When it is as old as it may get.
    retires: Option<Instant>,
}

/// Counts a connection for as long as it is there, or is being made.
struct Counted {
    pool: Weak<Pool>,
    id: u64,
}

/// Sends one request.
pub(super) async fn send(
    mut pool: Arc<Pool>,
    target: &Target,
    mut request: Request,
    within: Option<Duration>,
) -> Result<Response, SendError> {
    let deadline = deadline(&pool.connect.settings, within);
    loop {
        let mut connection = match pool.connection(deadline).await {
            Ok(connection) => connection,
            Err(error) => return Err(SendError::not_connected(error, request)),
        };
        // An answer that is long in coming must not keep the connections of an endpoint that is gone.
        let limit = pool.connect.answer_within();
        let endpoint = Arc::downgrade(&pool);
        drop(pool);
        let (mut head, body) = request.into_parts();
        target.prepare_http1(&mut head);
        // HTTP/1.1 cannot say that a request was not processed. What was not sent at all comes back
        // from hyper; the rest is of use only where it may be sent twice.
        let spare = body.is_idempotent().then(|| (head.clone(), body.spare()));
        let response = connection
            .sender
            .try_send_request(Request::from_parts(head, body));
        let mut error = match AnswerWithin::wait(limit, response).await {
            Ok(Ok(mut response)) => {
                connection.go_home();
                refusal::keep(&mut response, spare);
                return Ok(response);
            }
            Ok(Err(error)) => error,
            // The connection is let go of, and closes: an answer may still come on it.
            Err(too_late) => {
                let again =
                    spare.and_then(|(head, body)| Some(Request::from_parts(head, body.rewind()?)));
                return Err(SendError::too_late(too_late, again));
            }
        };
        let Some(given_back) = error.take_message() else {
            let again =
                spare.and_then(|(head, body)| Some(Request::from_parts(head, body.rewind()?)));
            return Err(SendError::lost(error.into_error(), again));
        };
        // The endpoint closed the connection while it was idle, as it may. Another one will do.
        match endpoint.upgrade() {
            Some(endpoint) if Instant::now() < deadline => {
                pool = endpoint;
                request = given_back;
            }
            _ => return Err(SendError::unsent(error.into_error(), Some(given_back))),
        }
    }
}

impl Lent {
    /// Goes back to its task, which waits for the end of the response.
    fn go_home(self) {
        let home = self.home.clone();
        // There is room for one, and there is only one. If the task is gone, so is the connection.
        let _ = home.try_send(self);
    }

    fn is_old(&self) -> bool {
        self.retires.is_some_and(|at| at <= Instant::now())
    }
}

impl Pool {
    /// Starts to connect, with this connection as the first if there is one already.
    pub(super) fn start(connect: Connect, first: Option<Transport>) -> Arc<Self> {
        let pool = Arc::new(Self {
            connect,
            state: Mutex::default(),
            wanted: Arc::default(),
        });
        let first = first.map(|transport| (transport, pool.count(&mut pool.state())));
        tokio::spawn(keep_warm(Arc::downgrade(&pool), first));
        pool
    }

    /// The lock is held for a few instructions at a time, and never while anything is waited for.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection: an idle one, else the first that is made or comes free.
    async fn connection(self: &Arc<Self>, deadline: Instant) -> Result<Lent, ConnectError> {
        let lent = match self.idle_or_wait() {
            Asked::Idle(connection) => return Ok(connection),
            Asked::Busy => return Err(self.busy()),
            Asked::Gone => return Err(ConnectError::Gone),
            Asked::Down(error) => return Err(error),
            Asked::Wait(lent, dial) => {
                if let Some(counted) = dial {
                    let connect = self.connect.clone();
                    self.connect
                        .runtime
                        .spawn(dial_and_put(connect, None, counted));
                }
                lent
            }
        };
        match self.connect.until(deadline, lent).await {
            Ok(Ok(lent)) => lent,
            Ok(Err(_)) => Err(ConnectError::Gone),
            // Dials are over by now, one way or the other: what did not come is a free connection.
            Err(_) if self.state().connections >= self.connect.settings.max_connections => {
                Err(self.busy())
            }
            Err(_) => Err(ConnectError::TimedOut(
                self.connect.settings.connect_timeout,
            )),
        }
    }

    fn idle_or_wait(self: &Arc<Self>) -> Asked {
        let max = self.connect.settings.max_connections;
        let mut state = self.state();
        while let Some(Idle { connection, .. }) = state.idle.pop() {
            // One that is not ready was closed by the endpoint. Its task will see to it.
            if connection.sender.is_ready() {
                return Asked::Idle(connection);
            }
        }
        if state.closed {
            return Asked::Gone;
        }
        // Or where all endpoints are away, each request would dial each of them.
        let is_down = |until: Instant| Instant::now() < until && state.made() == 0;
        if let Some((error, _)) = state.down.as_ref().filter(|(_, until)| is_down(*until)) {
            return Asked::Down(error.clone());
        }
        if state.waiting.len() >= max {
            state.waiting.retain(|waiting| !waiting.is_closed());
            if state.waiting.len() >= max {
                return Asked::Busy;
            }
        }
        let (lend, lent) = oneshot::channel();
        state.waiting.push_back(lend);
        let dial = state.connections < max && state.waiting.len() > state.dialling.len();
        Asked::Wait(lent, dial.then(|| self.count(&mut state)))
    }

    fn busy(&self) -> ConnectError {
        ConnectError::Busy {
            connections: self.connect.settings.max_connections,
        }
    }

    fn count(self: &Arc<Self>, state: &mut State) -> Counted {
        state.connections += 1;
        state.next_id += 1;
        let id = state.next_id;
        state.dialling.push(id);
        Counted {
            pool: Arc::downgrade(self),
            id,
        }
    }

    /// A connection is free: for who has been waiting for it, else for who comes next. One that is as old as it
    /// may get closes, unless it is one of those that are kept ready: then another one has to be there first.
    fn put(&self, mut connection: Lent) {
        let mut state = self.state();
        state.is_made(connection.id);
        state.down = None;
        if connection.is_old() {
            if state.made() > self.connect.settings.connections || !state.waiting.is_empty() {
                drop(state);
                return;
            }
            self.wanted.notify_one();
        }
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(Ok(connection)) {
                Ok(()) => return,
                // It was cancelled.
                Err(Ok(still_here)) => connection = still_here,
                Err(Err(_)) => return,
            }
        }
        state.idle.push(Idle {
            connection,
            since: Instant::now(),
        });
    }

    /// A connection could not be made. Nobody should wait for the next: there are other endpoints.
    fn cannot_connect(&self, error: &ConnectError) {
        let waiting = {
            let mut state = self.state();
            // There is no room for more, and those that there are will do.
            if matches!(error, ConnectError::NoPlace { .. }) && state.made() > 0 {
                return;
            }
            self.connect.reachability.not_reached();
            let pause = Backoff::new(BackoffSettings::CONNECT).next();
            state.down = Some((error.clone(), later(pause)));
            std::mem::take(&mut state.waiting)
        };
        for waiting in waiting {
            let _ = waiting.send(Err(error.clone()));
        }
    }

    /// Closes what has been idle for too long, and finds out what is to be made.
    fn look_after(self: &Arc<Self>) -> Chores {
        let settings = &self.connect.settings;
        let mut state = self.state();
        let spare = state.connections.saturating_sub(settings.connections);
        let old = state
            .idle
            .iter()
            .take(spare)
            .take_while(|idle| idle.since.elapsed() >= settings.idle_timeout)
            .count();
        let mut closing: Vec<Idle> = state.idle.drain(..old).collect();
        closing.extend(state.retire(settings));
        // Where a connection closes that a request waits for, another one has to be made for it.
        state.waiting.retain(|waiting| !waiting.is_closed());
        let abandoned = state.waiting.len() > state.dialling.len()
            && state.connections < settings.max_connections;
        let for_waiting = abandoned.then(|| self.count(&mut state));
        let missing = self.missing(&state, state.old());
        let until = state.next_retirement();
        drop(state);
        drop(closing);
        Chores {
            for_waiting,
            missing,
            until,
        }
    }

    /// How many are to be made ahead of traffic, besides those that are there; `old` ones of those are to be replaced.
    fn missing(&self, state: &State, old: usize) -> usize {
        let settings = &self.connect.settings;
        let out_of_reach = !self.connect.reachability.is_reachable();
        settings
            .connections
            .saturating_sub(state.connections.saturating_sub(old))
            .min(settings.max_connections.saturating_sub(state.connections))
            .max(usize::from(out_of_reach))
    }

    /// Counts those that are to be made now. Whether they are to replace others, which were good, besides.
    fn count_missing(self: &Arc<Self>) -> (Vec<Counted>, bool) {
        let mut state = self.state();
        let old = state.old();
        let missing = self.missing(&state, old);
        let counted = (0..missing).map(|_| self.count(&mut state)).collect();
        (counted, old > 0)
    }
}

impl State {
    /// Those that are there, and not being made.
    fn made(&self) -> usize {
        self.connections.saturating_sub(self.dialling.len())
    }

    /// How many idle ones are as old as they may get.
    fn old(&self) -> usize {
        let is_old = |idle: &&Idle| idle.connection.is_old();
        self.idle.iter().filter(is_old).count()
    }

    /// Takes out the idle ones that are old, as far as enough others are there, or there is no room for others.
    fn retire(&mut self, settings: &ConnectionSettings) -> Vec<Idle> {
        let mut spare = self.made().saturating_sub(settings.connections);
        if self.connections >= settings.max_connections {
            spare = spare.max(1);
        }
        let mut closing = Vec::new();
        while closing.len() < spare {
            let Some(old) = self.idle.iter().position(|idle| idle.connection.is_old()) else {
                break;
            };
            closing.push(self.idle.remove(old));
        }
        closing
    }

    /// When the next one will be as old as it may get.
    fn next_retirement(&self) -> Option<Instant> {
        let now = Instant::now();
        let retirements = self.retirements.iter().map(|(_, at)| *at);
        retirements.filter(|at| *at > now).min()
    }

    fn is_made(&mut self, id: u64) {
        if let Some(position) = self.dialling.iter().position(|dialling| *dialling == id) {
            self.dialling.swap_remove(position);
        }
    }
}

/// What comes of asking for a connection.
enum Asked {
    Idle(Lent),
    Wait(
        oneshot::Receiver<Result<Lent, ConnectError>>,
        Option<Counted>,
    ),
    Busy,
    Gone,
    /// There is none, and none could be made a moment ago.
    Down(ConnectError),
}

/// Which connections are to be made.
struct Chores {
    /// One for a request that waits, at once.
    for_waiting: Option<Counted>,
    /// So many ahead of traffic.
    missing: usize,
    /// When there will be more to do.
    until: Option<Instant>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Tells the task that keeps it warm.
        self.wanted.notify_one();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let gone = {
            let mut state = pool.state();
            state.is_made(self.id);
            state.connections = state.connections.saturating_sub(1);
            state.retirements.retain(|(id, _)| *id != self.id);
            let position = state
                .idle
                .iter()
                .position(|idle| idle.connection.id == self.id);
            position.map(|position| state.idle.remove(position))
        };
        drop(gone);
        pool.wanted.notify_one();
    }
}
