//! Endpoints as the program itself tells them: another registry, a test.

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{Resolution, ServiceRef, Source};
use tokio::sync::watch;

use crate::latest::Latest;

/// A source that says what its [`Teller`] tells, for every Service. See [`channel`].
#[derive(Clone, Debug)]
pub struct Channel(watch::Receiver<Latest>);

/// Tells a [`Channel`] what the endpoints are.
#[derive(Debug)]
pub struct Teller(watch::Sender<Latest>);

/// A source, and the handle that feeds it.
///
/// Only the newest resolution counts: one that was not taken up yet is replaced by the next, except
/// that a failure leaves what was known before it. When the teller is dropped, what it said last stands.
///
/// ```
/// use portolan::{Cluster, Endpoint, Placement, Resolution, source};
///
/// let (teller, channel) = source::channel();
/// let cluster = Cluster::from_source(channel);
/// let endpoint = Endpoint::new(Placement::new("db-0"), "10.0.0.1:5432".parse()?);
/// teller.tell(Resolution::Present([endpoint].into_iter().collect()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn channel() -> (Teller, Channel) {
    let (sender, receiver) = watch::channel(Latest::default());
    (Teller(sender), Channel(receiver))
}

impl Teller {
    /// Says how it is now.
    pub fn tell(&self, resolution: Resolution) {
        self.0.send_modify(|latest| latest.put(resolution));
    }
}

impl Source for Channel {
    fn watch(&self, _: &ServiceRef) -> BoxStream<'static, Resolution> {
        // What was said before this watch began is news to it.
        let nothing_seen = 0;
        let state = (self.0.clone(), nothing_seen);
        stream::unfold(state, |(mut receiver, mut seen)| async move {
            loop {
                let next = receiver.borrow_and_update().next(&mut seen);
                if let Some(resolution) = next {
                    return Some((resolution, (receiver, seen)));
                }
                if receiver.changed().await.is_err() {
                    // Nothing more will be said; that is not the end of what has been.
                    std::future::pending::<()>().await;
                }
            }
        })
        .boxed()
    }
}
