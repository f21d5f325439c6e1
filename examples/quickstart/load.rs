//! A steady load: so many requests a second, whatever becomes of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use tokio::{
    sync::{Semaphore, oneshot},
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{Client, Result, tally::Tally};

/// The load, until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

const TICK: Duration = Duration::from_millis(2);
/// No more than these are under way at once; a machine that cannot keep up sends fewer.
pub(crate) const MAX_UNDER_WAY: usize = 2048;
/// A request that has not been answered by then is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

impl Load {
    pub(crate) fn start(client: Client, path: PathAndQuery, rate: u32, tally: Arc<Tally>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut requests = JoinSet::new();
            tokio::select! {
                () = send(client, path, rate, tally, &mut requests) => {}
                _ = stopped => {}
            }
            // Those under way end by themselves: each has a deadline.
            while requests.join_next().await.is_some() {}
        });
        Self { stop, task }
    }

    /// Stops sending, and waits for what is under way.
    pub(crate) async fn stop(self) {
        let Self { stop, task } = self;
        // An error says that the task has ended already.
        let _ = stop.send(());
        let _ = task.await;
    }
}

async fn send(
    client: Client,
    path: PathAndQuery,
    rate: u32,
    tally: Arc<Tally>,
    requests: &mut JoinSet<()>,
) {
    let places = Arc::new(Semaphore::new(MAX_UNDER_WAY));
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut due = 0.0;
    let mut last = Instant::now();
    loop {
        tick.tick().await;
        due += last.elapsed().as_secs_f64() * f64::from(rate);
        last = Instant::now();
        while due >= 1.0 {
            due -= 1.0;
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tally.left_out();
                continue;
            };
            let (client, path, tally) = (client.clone(), path.clone(), Arc::clone(&tally));
            requests.spawn(async move {
                let _place = place;
                request(client, path, &tally).await;
            });
        }
        while requests.try_join_next().is_some() {}
    }
}

/// One request, from the call to the end of the body.
async fn request(client: Client, path: PathAndQuery, tally: &Tally) {
    let started = Instant::now();
    match timeout(PATIENCE, exchange(&client, path)).await {
        Ok(Ok(response)) => tally.answered(response.status(), started.elapsed()),
        Ok(Err(error)) => tally.failed(|| error.to_string()),
        Err(_) => tally.failed(|| format!("no answer within {PATIENCE:?}")),
    }
}

/// Sends a GET and reads the answer to its end.
pub(crate) async fn exchange(client: &Client, path: PathAndQuery) -> Result<Response<()>> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.into();
    let response = client.send(request).await?;
    let (head, mut body) = response.into_parts();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| format!("the answer broke off: {error}"))?;
    }
    Ok(Response::from_parts(head, ()))
}
