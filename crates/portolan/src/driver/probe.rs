//! Finding out when an endpoint that could not be reached can be again.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{
    Reachability,
    backoff::{Backoff, BackoffSettings},
    counters::Tally,
};

/// A task that dials an endpoint from time to time until it answers. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Probe(AbortHandle);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

impl Probe {
    pub(super) fn start(address: SocketAddr, reachability: Reachability) -> Self {
        let dial = async move {
            let mut backoff = Backoff::new(BackoffSettings::CONNECT);
            loop {
                sleep(backoff.next()).await;
                Tally::count(&reachability.tally().probes);
                if let Ok(Ok(_)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                    reachability.reached();
                    return;
                }
            }
        };
        Self(tokio::spawn(dial).abort_handle())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.abort();
    }
}
