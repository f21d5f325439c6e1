//! Passing on that connections fail, to those who follow the same Service.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hickory_resolver::proto::rr::Name;
use tokio::sync::watch;

/// Who follows which Service. All streams of a Service, whatever their port, share one notifier.
#[derive(Debug, Default)]
pub(crate) struct Suspicions(Mutex<HashMap<Name, Weak<watch::Sender<()>>>>);

/// One stream's share of a notifier, which lives as long as anybody has one.
#[derive(Debug)]
pub(crate) struct Suspicion {
    notified: watch::Receiver<()>,
    _notifier: Arc<watch::Sender<()>>,
}

impl Suspicions {
    /// Takes a share in the notifier of a Service.
    pub(crate) fn subscribe(&self, service: &Name) -> Suspicion {
        let mut notifiers = self.lock();
        notifiers.retain(|_, notifier| notifier.strong_count() > 0);
        let known = notifiers.get(service).and_then(Weak::upgrade);
        let notifier = known.unwrap_or_else(|| {
            let notifier = Arc::new(watch::Sender::new(()));
            notifiers.insert(service.clone(), Arc::downgrade(&notifier));
            notifier
        });
        Suspicion {
            notified: notifier.subscribe(),
            _notifier: notifier,
        }
    }

    /// Tells everybody who follows the Service.
    pub(crate) fn suspect(&self, service: &Name) {
        let notifier = self.lock().get(service).and_then(Weak::upgrade);
        if let Some(notifier) = notifier {
            notifier.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Weak<watch::Sender<()>>>> {
        // A map is whole whoever panicked while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Suspicion {
    /// Whatever was suspected so far is about to be looked into.
    pub(crate) fn clear(&mut self) {
        self.notified.mark_unchanged();
    }

    /// Waits for a suspicion since the last [`clear`](Self::clear).
    pub(crate) async fn raised(&mut self) {
        if self.notified.changed().await.is_err() {
            // Its notifier is held here, so this is never reached.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::names::host;

    #[test]
    fn all_who_follow_a_service_are_told_and_nobody_else() {
        let suspicions = Suspicions::default();
        let [db, web] = ["db.shop", "web.shop"].map(|name| host(name).unwrap());
        let mut one = suspicions.subscribe(&db);
        let mut two = suspicions.subscribe(&db);
        let mut other = suspicions.subscribe(&web);
        suspicions.suspect(&db);
        assert!(one.raised().now_or_never().is_some());
        assert!(two.raised().now_or_never().is_some());
        assert!(other.raised().now_or_never().is_none());
        assert!(one.raised().now_or_never().is_none(), "each is told once");
    }

    #[test]
    fn a_suspicion_is_kept_until_somebody_looks_and_then_forgotten() {
        let suspicions = Suspicions::default();
        let db = host("db.shop").unwrap();
        let mut one = suspicions.subscribe(&db);
        suspicions.suspect(&db);
        suspicions.suspect(&db);
        one.clear();
        assert!(one.raised().now_or_never().is_none());
    }

    #[test]
    fn services_that_nobody_follows_any_more_are_forgotten() {
        let suspicions = Suspicions::default();
        for n in 0..100 {
            suspicions.subscribe(&host(&format!("db-{n}.shop")).unwrap());
        }
        assert!(suspicions.lock().len() <= 1, "{}", suspicions.lock().len());
    }
}
