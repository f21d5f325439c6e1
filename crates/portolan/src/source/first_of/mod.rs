//! One source in the place of another that fails.

mod election;

use std::{fmt, sync::Arc, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{Resolution, ServiceRef, Source};
use tokio::time::sleep;

use super::streams::Streams;
use crate::clock::Clock;
use election::{Election, Settings};

/// Several sources of the same Service, in order of authority. See [`first_of`].
#[derive(Clone)]
pub struct FirstOf {
    sources: Vec<Arc<dyn Source>>,
    settings: Settings,
}

/// Goes by `first`; by `second`, while the first fails. More can follow: [`or`](FirstOf::or).
///
/// ```
/// use portolan::{Cluster, Endpoint, Placement, source::{self, Fixed, first_of}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (_teller, kube) = source::channel();
/// // In a cluster: `let kube = Cluster::infer().await?;`
/// let by_hand = Fixed::from_iter([Endpoint::new(Placement::new("db-0"), "10.0.0.1:5432".parse()?)]);
/// let cluster = Cluster::from_source(first_of(kube, by_hand));
///
/// let nodes = cluster.service("db.shop")?.nodes()?;
/// assert_eq!(nodes.pick("user:17").await?.endpoint().placement().as_str(), "db-0");
/// # Ok(())
/// # }
/// ```
///
/// # Who is gone by
/// - **The first, while it works**: whatever it says counts, be it that the Service has no endpoints, or
///   that there is none. The second is not even asked, so a healthy API server costs no DNS queries
///   (unless it should be [kept warm](FirstOf::keep_warm)).
/// - **Its last good list, when it fails**, for the time of [`grace`](FirstOf::grace): a blip moves nothing.
///   That the list is stale is told at once, and the second is asked already.
/// - **The second, after that**, if it names endpoints. One that names none takes over from no list that has
///   some: old endpoints, of which most are there still, are better than none. Once it is gone by, its word
///   counts as the first's did.
/// - **The first again**, once it has worked for the time of [`settle`](FirstOf::settle), or as soon as the
///   second fails or has no endpoints. The second is let go of after the same time. The same goes for any
///   earlier source among [several](FirstOf::or), except that only the first of all may say "none" where a
///   later one has endpoints.
/// - **Nobody, if all fail**: the last good list stays, and the error says what each of them said.
///
/// So two hand-overs to a later source are at least a grace apart, whatever the sources do.
///
/// # At the start
/// The first is asked. The next is asked as well as soon as that one fails, or has said nothing for the
/// time of [`head_start`](FirstOf::head_start); from then on whoever says something first is gone by.
///
/// # Which Pods are the same
/// DNS knows no UIDs, no zones and no nodes; and it is the incarnation, the UID and the address, that
/// connections and measurements belong to. Where a later source names an address and port that an earlier
/// one knew when it failed, under the same placement or under none but its address, the earlier one's
/// endpoint stands in its place: nothing is dropped when the sources change, and traffic stays in its zone.
/// On the way back a Pod that only the later source knew keeps its state too, where both have the same
/// placement for it. A Pod that gets the address *and* the name of one that is gone, while only DNS is
/// there to ask, is taken for that one until the API is back.
#[must_use = "a source does nothing until a cluster is made of it"]
pub fn first_of(first: impl Source + 'static, second: impl Source + 'static) -> FirstOf {
    FirstOf {
        sources: vec![Arc::new(first), Arc::new(second)],
        settings: Settings::default(),
    }
}

impl FirstOf {
    /// One more source, for when all before it fail.
    #[must_use]
    pub fn or(mut self, next: impl Source + 'static) -> Self {
        self.sources.push(Arc::new(next));
        self
    }

    /// How long a source's last good list is gone by, when it fails, before the next source's is.
    /// Default: 5 s. An API server that is replaced, or whose load balancer is, comes back within that
    /// time; few Pods go meanwhile, and those that do are found out by connecting to them.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How long a source must have worked again before it is gone by. Default: 10 s, twice the grace, so
    /// that one which keeps coming and going is not followed to and fro.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settings.settle = settle;
        self
    }

    /// How long, at the start, a source may say nothing before the next one is asked as well. Default: 1 s,
    /// many times what a healthy API server needs, and little of the 5 s that a request waits.
    #[must_use]
    pub fn head_start(mut self, head_start: Duration) -> Self {
        self.settings.head_start = head_start;
        self
    }

    /// Whether all sources are followed all the time, so that a later one has its list at hand when it is
    /// needed. Default: they are not. It is worth it where a later source takes longer than the grace for
    /// its first word.
    #[must_use]
    pub fn keep_warm(mut self, warm: bool) -> Self {
        self.settings.warm = warm;
        self
    }
}

impl Source for FirstOf {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        let watch = Watch {
            sources: self.sources.clone(),
            service: service.clone(),
            election: Election::new(self.sources.len(), self.settings),
            streams: Streams::new(self.sources.len()),
            clock: Clock::start(),
        };
        stream::unfold(watch, |mut watch| async {
            let resolution = watch.next().await;
            Some((resolution, watch))
        })
        .boxed()
    }

    /// Whichever is in use: one that is not watched for this Service has nothing to look at.
    fn suspect(&self, service: &ServiceRef) {
        self.sources
            .iter()
            .for_each(|source| source.suspect(service));
    }
}

impl fmt::Debug for FirstOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstOf")
            .field("sources", &self.sources)
            .field("settings", &self.settings)
            .finish()
    }
}

struct Watch {
    sources: Vec<Arc<dyn Source>>,
    service: ServiceRef,
    election: Election,
    streams: Streams,
    clock: Clock,
}

impl Watch {
    async fn next(&mut self) -> Resolution {
        loop {
            let in_charge = self.election.in_charge();
            let said = self.election.decide(self.clock.now());
            self.tell_change(in_charge);
            self.follow();
            if let Some(resolution) = said {
                return resolution;
            }
            let now = self.clock.now();
            let look = self.election.next_look(now).map(|at| at.since(now));
            tokio::select! {
                (who, said) = self.streams.next() => self.election.hear(self.clock.now(), who, said),
                () = sleep(look.unwrap_or_default()), if look.is_some() => {}
            }
        }
    }

    /// Follows those who are to be asked, and nobody else.
    fn follow(&mut self) {
        for (who, source) in self.sources.iter().enumerate() {
            let asked = self.election.is_asked(who);
            self.streams.set(who, asked, || source.watch(&self.service));
        }
    }

    fn tell_change(&self, before: Option<usize>) {
        let (Some(before), Some(now)) = (before, self.election.in_charge()) else {
            return;
        };
        if before != now {
            let (from, to) = (before + 1, now + 1);
            let reasons = self.election.reasons();
            let service = &self.service;
            tracing::warn!(%service, from, to, reasons, "another source is gone by from now on");
        }
    }
}

#[cfg(test)]
mod tests;
