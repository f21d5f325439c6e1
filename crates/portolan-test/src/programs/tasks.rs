//! Tasks that end with their owner.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

/// Spawns tasks that are aborted when the last clone of it is dropped. It serves hyper as the
/// executor, so that a killed Pod's HTTP/2 streams die with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            task.await;
        });
    }
}
