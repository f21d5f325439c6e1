//! The Nodes of the cluster, watched once for all Services that need them, and not at all while none does.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt as _;
use tokio::sync::{Notify, watch};

use super::{follow, informer::Update};
use crate::{
    cluster::Shared,
    node::{Node, WireNode},
    object::Scope,
    resolve::Nodes,
};

/// Where the task that follows the Nodes is found, if there is one.
#[derive(Debug, Default)]
pub(crate) struct NodeRegistry(Mutex<Option<watch::Sender<Nodes>>>);

/// A share of the task; it ends with the last one.
pub(super) struct NodeShare {
    shared: Arc<Shared>,
    nodes: watch::Receiver<Nodes>,
}

impl NodeRegistry {
    /// What the task learns, and the registration for one that has to be started first.
    fn subscribe(self: &Arc<Self>) -> (watch::Receiver<Nodes>, Option<Registration>) {
        let mut running = self.lock();
        if let Some(sender) = &*running {
            return (sender.subscribe(), None);
        }
        let (sender, nodes) = watch::channel(Nodes::default());
        *running = Some(sender.clone());
        let registration = Registration {
            registry: Arc::clone(self),
            sender,
        };
        (nodes, Some(registration))
    }

    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, Option<watch::Sender<Nodes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeShare {
    /// Joins the task, or starts it. It must be called within a Tokio runtime.
    pub(super) fn join(shared: &Arc<Shared>) -> Self {
        let (mut nodes, started) = shared.nodes.subscribe();
        // Without the lock: a runtime that shuts down drops the task here and now, and a task that is
        // dropped takes the lock to sign off.
        if let Some(registration) = started {
            tokio::spawn(watch_nodes(Arc::clone(shared), registration));
        }
        // Whatever is there already is news to who has just come.
        nodes.mark_changed();
        Self {
            shared: Arc::clone(shared),
            nodes,
        }
    }

    /// What is known of the Nodes, each time it changes.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn changed(&mut self) -> Nodes {
        if self.nodes.changed().await.is_err() {
            // The runtime that the task ran on was shut down, and this one was not.
            let shared = Arc::clone(&self.shared);
            *self = Self::join(&shared);
        }
        self.nodes.borrow_and_update().clone()
    }
}

/// The task's side, which is gone when the task is, however it ends.
struct Registration {
    registry: Arc<NodeRegistry>,
    sender: watch::Sender<Nodes>,
}

impl Registration {
    /// Leaves, unless somebody came in the meantime. After `true`, whoever comes starts a new task.
    fn leave(&self) -> bool {
        let mut running = self.registry.lock();
        if self.sender.receiver_count() > 0 {
            return false;
        }
        running.take_if(|running| running.same_channel(&self.sender));
        true
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut running = self.registry.lock();
        running.take_if(|running| running.same_channel(&self.sender));
    }
}

async fn watch_nodes(shared: Arc<Shared>, registration: Registration) {
    let suspicion = Arc::new(Notify::new());
    let updates =
        follow::informer::<WireNode>(&shared, Scope::Cluster, &suspicion, follow::SELDOM_CHANGES);
    let mut updates = pin!(updates);
    let mut known = BTreeMap::new();
    tracing::debug!("watching the nodes");
    loop {
        tokio::select! {
            biased;
            () = registration.sender.closed() => {
                if registration.leave() {
                    tracing::debug!("nobody needs the nodes any more");
                    return;
                }
            }
            Some(update) = updates.next() => take_up(&registration.sender, &mut known, update),
        }
    }
}

/// Nodes say how they are all the time; who listens hears only of what matters.
fn take_up(
    sender: &watch::Sender<Nodes>,
    known: &mut BTreeMap<Arc<str>, Arc<Node>>,
    update: Update<WireNode>,
) {
    let changed = match update {
        Update::Replaced(listed) => {
            let mut former = std::mem::take(known);
            for node in listed.into_iter().map(Node::from) {
                let same = former.remove(&node.name).filter(|former| **former == node);
                let node = same.unwrap_or_else(|| Arc::new(node));
                known.insert(Arc::clone(&node.name), node);
            }
            true
        }
        Update::Applied(node) => {
            let node = Node::from(node);
            let same = known.get(&node.name).is_some_and(|known| **known == node);
            if !same {
                known.insert(Arc::clone(&node.name), Arc::new(node));
            }
            !same
        }
        Update::Deleted(node) => known.remove(node.metadata.name.as_str()).is_some(),
        Update::Failed(failure) => {
            sender.send_modify(|nodes| nodes.failure = Some(failure));
            return;
        }
        Update::Recovered => false,
    };
    sender.send_if_modified(|nodes| {
        let mended = nodes.failure.take().is_some();
        if changed {
            nodes.known = Some(known.values().cloned().collect());
        }
        mended || changed
    });
}
