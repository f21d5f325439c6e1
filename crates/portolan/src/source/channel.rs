//! Endpoints as the program itself tells them: another registry, a test.

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{Resolution, ServiceRef, Source};
use tokio::sync::watch;

/// A source that says what its [`Teller`] tells, for every Service. See [`channel`].
#[derive(Clone, Debug)]
pub struct Channel(watch::Receiver<Option<Resolution>>);

/// Tells a [`Channel`] what the endpoints are.
#[derive(Debug)]
pub struct Teller(watch::Sender<Option<Resolution>>);

/// A source, and the handle that feeds it.
///
/// Only the newest resolution counts: one that was not taken up yet is replaced by the next. When
/// the teller is dropped, what it said last stands.
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
    let (sender, receiver) = watch::channel(None);
    (Teller(sender), Channel(receiver))
}

impl Teller {
    /// Says how it is now.
    pub fn tell(&self, resolution: Resolution) {
        self.0.send_replace(Some(resolution));
    }
}

impl Source for Channel {
    fn watch(&self, _: &ServiceRef) -> BoxStream<'static, Resolution> {
        let mut receiver = self.0.clone();
        // What was said before this watch began is news to it.
        receiver.mark_changed();
        stream::unfold(receiver, |mut receiver| async move {
            loop {
                if receiver.changed().await.is_err() {
                    // Nothing more will be said; that is not the end of what has been.
                    std::future::pending::<()>().await;
                }
                let said = receiver.borrow_and_update().clone();
                if let Some(resolution) = said {
                    return Some((resolution, receiver));
                }
            }
        })
        .boxed()
    }
}
