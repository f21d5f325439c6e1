//! Finding out which protocol an endpoint speaks, by TLS (ALPN, RFC 7301).

use tokio::{sync::watch, time::sleep};

use super::{Connect, ConnectError, Offer, Protocol, deadline};
use crate::backoff::{Backoff, BackoffSettings};

/// The first connection is made with both protocols on offer. What comes of it holds for as long as
/// this incarnation of the endpoint lives.
pub(super) struct Negotiation {
    outcome: watch::Receiver<Outcome>,
    connect: Connect,
}

#[derive(Clone)]
enum Outcome {
    Unknown,
    Known(Protocol),
    Down(ConnectError),
}

impl Negotiation {
    pub(super) fn start(connect: Connect) -> Self {
        let (sender, outcome) = watch::channel(Outcome::Unknown);
        tokio::spawn(negotiate(connect.clone(), sender));
        Self { outcome, connect }
    }

    pub(super) async fn outcome(&self) -> Result<Protocol, ConnectError> {
        if let Outcome::Known(protocol) = &*self.outcome.borrow() {
            return Ok(protocol.clone());
        }
        self.connect.turns.hurry();
        let mut outcome = self.outcome.clone();
        let settled = outcome.wait_for(|outcome| !matches!(outcome, Outcome::Unknown));
        match self
            .connect
            .until(deadline(&self.connect.settings, None), settled)
            .await
        {
            Ok(Ok(outcome)) => match &*outcome {
                Outcome::Known(protocol) => Ok(protocol.clone()),
                Outcome::Down(error) => Err(error.clone()),
                Outcome::Unknown => Err(ConnectError::Gone),
            },
            Ok(Err(_)) => Err(ConnectError::Gone),
            Err(_) => Err(ConnectError::TimedOut(
                self.connect.settings.connect_timeout,
            )),
        }
    }
}

async fn negotiate(connect: Connect, outcome: watch::Sender<Outcome>) {
    let mut backoff = Backoff::new(BackoffSettings::CONNECT);
    let mut is_first = true;
    loop {
        let dial = async {
            let _turn = match std::mem::take(&mut is_first) {
                true => connect.turns.first().await,
                false => connect.turns.next().await,
            };
            connect.dialer.dial(Offer::Both).await
        };
        let made = tokio::select! {
            made = dial => made,
            () = outcome.closed() => return,
        };
        match made {
            Ok(transport) => {
                let protocol = if transport.agreed_to_http2() {
                    connect.http2(Some(transport))
                } else {
                    connect.http1(Some(transport))
                };
                outcome.send_replace(Outcome::Known(protocol));
                return;
            }
            Err(error) => {
                outcome.send_replace(Outcome::Down(error));
                connect.reachability.not_reached();
            }
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = outcome.closed() => return,
        }
    }
}
