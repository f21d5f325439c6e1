//! A steady load: so many requests a second, whatever becomes of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::{
    sync::{Semaphore, oneshot},
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tower::ServiceExt;

use crate::{Client, tally::Tally};

/// The load, until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

const TICK: Duration = Duration::from_millis(2);
/// No more than these are under way at once; a machine that cannot keep up sends fewer.
const MAX_UNDER_WAY: usize = 2048;

impl Load {
    pub(crate) fn start(client: Client, rate: u32, tally: Arc<Tally>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut requests = JoinSet::new();
            tokio::select! {
                () = send(client, rate, tally, &mut requests) => {}
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

async fn send(client: Client, rate: u32, tally: Arc<Tally>, requests: &mut JoinSet<()>) {
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
                break;
            };
            let (client, tally) = (client.clone(), Arc::clone(&tally));
            requests.spawn(async move {
                let _place = place;
                request(client, &tally).await;
            });
        }
        while requests.try_join_next().is_some() {}
    }
}

/// One request, from the call to the end of the body.
async fn request(client: Client, tally: &Tally) {
    let started = Instant::now();
    let request = Request::new(Empty::<Bytes>::new());
    let response = match client.oneshot(request).await {
        Ok(response) => response,
        Err(error) => return tally.failed(error.to_string()),
    };
    let status = response.status();
    let pod = response
        .headers()
        .get("x-pod")
        .and_then(|pod| pod.to_str().ok())
        .unwrap_or("?")
        .to_owned();
    match response.into_body().collect().await {
        Ok(_) if status.is_success() => tally.answered(&pod, started.elapsed()),
        Ok(_) => tally.failed(format!("{pod} answered {status}")),
        Err(error) => tally.failed(format!("{pod} broke off: {error}")),
    }
}
