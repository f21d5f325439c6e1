//! A write that waits for the primary does not go there once somebody else is it.

use std::{
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _};
use portolan::{
    BoxError, Endpoint, Placement,
    policy::{Epoch, Leadership, PrimaryReplica},
};
use tokio::sync::watch;
use tower::{Layer, Service, ServiceExt};

use crate::cluster_of;

/// Answers with its name; `db-0` only once its door is open.
struct Gated {
    name: String,
    door: watch::Receiver<bool>,
    opens: Pin<Box<dyn Stream<Item = bool> + Send + Sync>>,
    waits: watch::Sender<bool>,
}

impl Gated {
    fn new(name: String, door: watch::Receiver<bool>, waits: watch::Sender<bool>) -> Self {
        let opens = futures::stream::unfold(door.clone(), |mut door| async {
            let open = door.wait_for(|open| *open).await.is_ok();
            Some((open, door))
        });
        let opens = Box::pin(opens);
        Self {
            name,
            door,
            opens,
            waits,
        }
    }
}

impl Clone for Gated {
    fn clone(&self) -> Self {
        Self::new(self.name.clone(), self.door.clone(), self.waits.clone())
    }
}

impl Service<()> for Gated {
    type Response = String;
    type Error = BoxError;
    type Future = Ready<Result<String, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.name == "db-0" && self.opens.poll_next_unpin(cx).is_pending() {
            self.waits.send_replace(true);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.name.clone()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waits_for_an_old_primary_goes_to_the_new_one() {
    for switched in [false, true] {
        let (_teller, cluster) = cluster_of(0..2);
        let leadership = Leadership::new();
        leadership.announce(Placement::new("db-0"), Epoch::new(1));
        let (open, door) = watch::channel(false);
        let (waits, mut waiting) = watch::channel(false);
        let make = move |endpoint: &Endpoint| {
            Gated::new(
                endpoint.placement().to_string(),
                door.clone(),
                waits.clone(),
            )
        };
        let policy = PrimaryReplica::by_leadership(&leadership);
        let layer = cluster
            .service("db:1")
            .unwrap()
            .policy(policy)
            .layer()
            .unwrap();
        let service = layer.layer(make);
        let write = tokio::spawn(service.oneshot(()));
        waiting.wait_for(|waits| *waits).await.unwrap();
        if switched {
            leadership.announce(Placement::new("db-1"), Epoch::new(2));
        }
        // Whether or not the driver has built the next picker by then.
        open.send_replace(true);
        let wanted = if switched { "db-1" } else { "db-0" };
        assert_eq!(write.await.unwrap().unwrap(), wanted);
    }
}
