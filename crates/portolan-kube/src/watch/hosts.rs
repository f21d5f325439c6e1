//! The DNS names that a Service needs, each asked of whoever knows DNS for as long as it is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use futures::{Stream, StreamExt as _, stream};
use portolan_core::{EndpointSet, HostResolver, Resolution, SourceError, SourceErrorKind};

use crate::resolve::{Followed, Host};

type Answers = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

/// The names that are followed.
pub(super) struct Hosts {
    resolver: Option<Arc<dyn HostResolver>>,
    followed: BTreeMap<Host, Answers>,
}

impl Hosts {
    pub(super) fn new(resolver: Option<Arc<dyn HostResolver>>) -> Self {
        Self {
            resolver,
            followed: BTreeMap::new(),
        }
    }

    /// Follows these names, and no others any more.
    pub(super) fn follow(&mut self, needed: &BTreeSet<Host>) {
        self.followed.retain(|host, _| needed.contains(host));
        for host in needed {
            if !self.followed.contains_key(host) {
                let answers = answers(self.resolver.as_deref(), host);
                self.followed.insert(host.clone(), answers);
            }
        }
    }

    /// Passes on that a connection failed: to an address of which name, nobody says.
    pub(super) fn suspect(&self) {
        if let Some(resolver) = &self.resolver {
            for host in self.followed.keys() {
                resolver.suspect_host(host.name.as_str());
            }
        }
    }

    /// The next that is learnt of any of them.
    ///
    /// # Cancel safety
    /// Nothing is lost: an answer is taken only when it is returned.
    pub(super) async fn next(&mut self) -> (Host, Resolution) {
        poll_fn(|cx| {
            for (host, answers) in &mut self.followed {
                if let Poll::Ready(Some(answer)) = answers.poll_next_unpin(cx) {
                    return Poll::Ready((host.clone(), answer));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// What the resolver says, for ever; where there is none, that there is none.
fn answers(resolver: Option<&dyn HostResolver>, host: &Host) -> Answers {
    let Some(resolver) = resolver else {
        let message = format!(
            "to find the addresses of `{}`, a DNS client is needed: give one to \
             `portolan_kube::Cluster::with_host_resolver`, such as `portolan::dns::Dns` (feature `dns`)",
            host.name
        );
        let missing = SourceError::new(SourceErrorKind::Invalid, message);
        return Box::pin(stream::iter([Resolution::Failed(missing)]).chain(stream::pending()));
    };
    let ended = format!(
        "nothing more will be learnt of `{}`: the resolver has ended",
        host.name
    );
    let ended = SourceError::new(SourceErrorKind::Unavailable, ended);
    let answers = resolver.follow(host.name.as_str(), host.port);
    Box::pin(
        answers
            .chain(stream::iter([Resolution::Failed(ended)]))
            .chain(stream::pending()),
    )
}

/// Notes what was learnt of a name. A failure takes nothing away.
pub(super) fn note(known: &mut Followed<EndpointSet>, host: &Host, answer: Resolution) {
    match answer {
        Resolution::Present(addresses) => {
            *known = Followed {
                known: Some(addresses),
                failure: None,
            };
        }
        Resolution::Absent => {
            // The Service is there; it is the name that leads nowhere.
            tracing::warn!(host = %host.name, "there is no such name in DNS");
            *known = Followed {
                known: Some(EndpointSet::default()),
                failure: None,
            };
        }
        Resolution::Failed(failure) => known.failure = Some(failure),
        // A later kind of resolution teaches this version nothing.
        _ => {}
    }
}
