//! The tasks behind a pool: the one that keeps it warm, and one for each connection.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::future::join_all;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Counted, Lent, Pool};
use crate::{
    backoff::{Backoff, BackoffSettings},
    http::{
        endpoint::{Connect, ConnectError, Offer, Transport, http2::GOOD_LIFE, later},
        replay::Replay,
    },
};

/// Keeps as many connections as are to be ready, tries until an endpoint out of reach can be reached
/// again, and closes what nobody needs. Ends with the pool.
pub(super) async fn keep_warm(pool: Weak<Pool>, first: Option<(Transport, Counted)>) {
    let Some((connect, news)) = pool
        .upgrade()
        .map(|pool| (pool.connect.clone(), Arc::clone(&pool.wanted)))
    else {
        return;
    };
    let _closing = Closing(Weak::clone(&pool));
    if let Some((transport, counted)) = first {
        dial_and_put(connect.clone(), Some(transport), counted).await;
    }
    let nap = (connect.settings.idle_timeout / 4).max(Duration::from_millis(10));
    let mut backoff = Backoff::new(BackoffSettings::CONNECT);
    let mut last = None;
    let mut next = Instant::now();
    let mut is_first = true;
    loop {
        let Some(chores) = pool.upgrade().map(|pool| pool.look_after()) else {
            return;
        };
        if let Some(counted) = chores.for_waiting {
            tokio::spawn(dial_and_put(connect.clone(), None, counted));
        }
        if chores.missing > 0 && next <= Instant::now() {
            let turn = tokio::select! {
                turn = async {
                    match std::mem::take(&mut is_first) {
                        true => connect.turns.first().await,
                        false => connect.turns.next().await,
                    }
                } => turn,
                // Something has changed: there may be something else to do, or nothing any more.
                () = news.notified() => continue,
            };
            // Meanwhile requests may have made the connections that they needed.
            let Some((counted, replace)) = pool.upgrade().map(|pool| pool.count_missing()) else {
                return;
            };
            if counted.is_empty() {
                continue;
            }
            let started = Instant::now();
            let dials = counted
                .into_iter()
                .map(|counted| dial_and_put(connect.clone(), None, counted));
            let connected = join_all(dials).await.into_iter().all(|connected| connected);
            drop(turn);
            // An endpoint that closes connections as soon as they are made is as good as one that
            // cannot be connected to.
            let lasted = replace || last.is_none_or(|last| started - last >= GOOD_LIFE);
            last = Some(Instant::now());
            next = if connected && lasted {
                backoff.reset();
                Instant::now()
            } else {
                later(backoff.next())
            };
            continue;
        }
        let until = match chores.missing {
            0 => chores
                .until
                .map_or(later(nap), |until| until.min(later(nap))),
            _ => next,
        };
        tokio::select! {
            () = news.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

/// Tells those who wait for a connection that none will come, where the runtime is shut down.
struct Closing(Weak<Pool>);

impl Drop for Closing {
    fn drop(&mut self) {
        let waiting = self.0.upgrade().map(|pool| {
            let mut state = pool.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        });
        drop(waiting);
    }
}

/// Makes a connection, and puts it into the pool. Whether it could be made.
pub(super) async fn dial_and_put(
    connect: Connect,
    ready_made: Option<Transport>,
    counted: Counted,
) -> bool {
    let address = connect.dialer.address;
    let made = establish(&connect, ready_made).await;
    let Some(pool) = counted.pool.upgrade() else {
        return false;
    };
    match made {
        Ok((sender, connection)) => {
            tracing::debug!(%address, "connected");
            connect.reachability.reached();
            let (home, returns) = mpsc::channel(1);
            let retires = connect.settings.life().map(later);
            if let Some(at) = retires {
                pool.state().retirements.push((counted.id, at));
                pool.wanted.notify_one();
            }
            let new = Lent {
                id: counted.id,
                sender,
                home,
                retires,
            };
            // Its task puts it into the pool as soon as it is ready.
            new.go_home();
            tokio::spawn(run(connection, returns, counted));
            true
        }
        Err(error) => {
            tracing::debug!(%address, %error, "cannot connect");
            pool.cannot_connect(&error);
            false
        }
    }
}

type Http1 = Connection<TokioIo<Transport>, Replay>;

async fn establish(
    connect: &Connect,
    ready_made: Option<Transport>,
) -> Result<(SendRequest<Replay>, Http1), ConnectError> {
    let transport = match ready_made {
        Some(transport) => transport,
        None => connect.dialer.dial(Offer::Http1).await?,
    };
    Builder::new()
        .handshake(TokioIo::new(transport))
        .await
        .map_err(|error| ConnectError::Http(Arc::new(error)))
}

/// Runs one connection to its end, and puts it into the pool whenever it is free.
async fn run(connection: Http1, mut returns: mpsc::Receiver<Lent>, counted: Counted) {
    let pool = Weak::clone(&counted.pool);
    let put_when_free = async move {
        while let Some(mut lent) = returns.recv().await {
            if lent.sender.ready().await.is_err() {
                return;
            }
            let Some(pool) = pool.upgrade() else {
                return;
            };
            pool.put(lent);
        }
    };
    let connection = connection.with_upgrades();
    tokio::pin!(connection, put_when_free);
    tokio::select! {
        _ = &mut connection => {}
        // Nobody will use it again. What is under way is finished.
        () = &mut put_when_free => {
            let _ = connection.await;
        }
    }
    drop(counted);
}
