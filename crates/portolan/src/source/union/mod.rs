//! Several clusters or Services as one.

mod merge;

use std::{fmt, sync::Arc, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{Resolution, ServiceRef, Source, Weight};
use tokio::time::sleep;

use super::streams::Streams;
use crate::{BuildError, clock::Clock};
use merge::Merge;

/// Several sources that are used together. See [`union`].
#[derive(Clone)]
pub struct Union {
    members: Arc<[Member]>,
    head_start: Duration,
}

/// One source of a [`union`]. See [`member`].
#[derive(Clone)]
pub struct Member {
    name: Arc<str>,
    source: Arc<dyn Source>,
    service: Option<ServiceRef>,
    priority: u32,
    weight: Weight,
}

/// Several clusters or Services as one: `east` and, at need, `west`.
///
/// ```
/// use portolan::{Cluster, Endpoint, Placement, source::{Fixed, member, union}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let east = Fixed::from_iter([Endpoint::new(Placement::new("db-0"), "10.1.0.1:5432".parse()?)]);
/// let west = Fixed::from_iter([Endpoint::new(Placement::new("db-0"), "10.2.0.1:5432".parse()?)]);
///
/// let cluster = Cluster::from_source(union([
///     member("east", east),
///     member("west", west).priority(1).service("db.disaster-recovery".parse()?),
/// ])?);
///
/// let nodes = cluster.service("db.shop")?.nodes()?;
/// let lease = nodes.pick("user:17").await?;
/// assert_eq!(lease.endpoint().placement().as_str(), "east/db-0");
/// # Ok(())
/// # }
/// ```
///
/// # Names
/// An endpoint's placement is its member's name, a slash, and the placement that the member's source gave it:
/// `db-0` of `east` and `db-0` of `west` are two, for rings, shards and pins. The ordinal stays: where two
/// members are StatefulSets, there are two endpoints of ordinal 0. A Pod that two members name, by UID and
/// address, is there once, as the first of them has it.
///
/// # Priorities
/// Only the members of one priority are used at a time: of the lowest number that has an endpoint which is
/// ready and has a weight. Where there is none anywhere, the next best decides in the same way: one that is
/// ready; one that still serves while it terminates; any at all.
///
/// # Weights
/// Each endpoint's own weight is multiplied by its member's, so a member's share is its weight times the
/// number of its endpoints. All policies go by weights but [`RoundRobin`](crate::policy::RoundRobin). A
/// product that is too large is the largest weight.
///
/// # Staleness
/// A member that fails keeps its last good part, and the union fails only when all do. So the age of one
/// member's part shows in no error, and no [`max_staleness`](crate::BalancerBuilder::max_staleness) ends it: that of
/// endpoints which were kept on disk neither, while another member is well. Put
/// what is kept round the union, not into it.
///
/// # Reach
/// Where the members that are used differ, the union has a reach other than `Pods`, and is for its own Node
/// alone (`internalTrafficPolicy: Local`), if one of them has or is.
///
/// # When members fail
/// The last good list of a member that fails is used on; one that has never said anything counts for
/// nothing. It is a failure of the whole where all members fail, or where none has said anything but that it
/// fails; and the Service is absent where it is absent for all. At the start, a priority is used as soon as each member up to it has
/// spoken, or after the time of [`head_start`](Union::head_start).
///
/// Which cluster is near is not asked here: that is what priorities are for. One cluster that should be
/// followed in two ways is for [`first_of`](super::first_of), and a member may be one of those.
///
/// # Errors
/// Where there is no member, or a name is empty, has a slash, or is another's.
pub fn union(members: impl IntoIterator<Item = Member>) -> Result<Union, BuildError> {
    let members: Arc<[Member]> = members.into_iter().collect();
    let refuse = |value: &str, expected| {
        Err(BuildError::Setting {
            setting: "the name of a member",
            value: format!("{value:?}"),
            expected,
        })
    };
    if members.is_empty() {
        return refuse("", "expected at least one member");
    }
    for (nth, Member { name, .. }) in members.iter().enumerate() {
        if name.is_empty() || name.contains('/') {
            return refuse(name, "expected a name, without a slash");
        }
        if members.iter().take(nth).any(|other| other.name == *name) {
            return refuse(name, "expected each member to have a name of its own");
        }
    }
    Ok(Union {
        members,
        head_start: Duration::from_secs(1),
    })
}

/// One source of a [`union`], under a name that tells its endpoints from the others'. Its priority is 0 and
/// its weight 1, and it is asked for the Service that the union is asked for, until something else is said.
#[must_use]
pub fn member(name: impl Into<Arc<str>>, source: impl Source + 'static) -> Member {
    Member {
        name: name.into(),
        source: Arc::new(source),
        service: None,
        priority: 0,
        weight: Weight::ONE,
    }
}

impl Member {
    /// The Service that this member is asked for, whatever the union is asked for: it may have another name
    /// in another cluster.
    #[must_use]
    pub fn service(mut self, service: ServiceRef) -> Self {
        self.service = Some(service);
        self
    }

    /// When it is used: while no member of a lower number has an endpoint to offer. Default: 0.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// What its endpoints' weights are multiplied by. Default: 1. A member of weight 0 gets no requests where
    /// any other has endpoints.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Weight::new(weight);
        self
    }
}

impl Union {
    /// How long, at the start, members that have not spoken are waited for. Default: 1 s, many times what a
    /// healthy API server needs, and little of the 5 s that a request waits.
    #[must_use]
    pub fn head_start(mut self, head_start: Duration) -> Self {
        self.head_start = head_start;
        self
    }
}

impl Source for Union {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        let watch = Watch {
            members: Arc::clone(&self.members),
            service: service.clone(),
            merge: Merge::new(&self.members),
            streams: Streams::new(self.members.len()),
            head_start: Some(self.head_start),
        };
        stream::unfold(watch, |mut watch| async {
            let resolution = watch.next().await;
            Some((resolution, watch))
        })
        .boxed()
    }

    /// Whose endpoint it was is not known here: each looks at its own.
    fn suspect(&self, service: &ServiceRef) {
        for member in &*self.members {
            member
                .source
                .suspect(member.service.as_ref().unwrap_or(service));
        }
    }
}

struct Watch {
    members: Arc<[Member]>,
    service: ServiceRef,
    merge: Merge,
    streams: Streams,
    /// How long the first resolution may still wait for members that have not spoken.
    head_start: Option<Duration>,
}

impl Watch {
    async fn next(&mut self) -> Resolution {
        for (nth, member) in self.members.iter().enumerate() {
            let service = member.service.as_ref().unwrap_or(&self.service);
            let watch = || member.source.watch(service);
            self.streams.set(nth, true, watch);
        }
        let clock = Clock::start();
        let started = clock.now();
        loop {
            let left = self
                .head_start
                .map(|head_start| head_start.saturating_sub(clock.now().since(started)));
            tokio::select! {
                // A word that is there at the last moment has come in time.
                biased;
                (who, said) = self.streams.next() => self.hear(who, said),
                () = sleep(left.unwrap_or_default()), if left.is_some() => {
                    self.head_start = None;
                    self.merge.stop_waiting();
                }
            }
            if let Some(resolution) = self.merge.resolution() {
                self.head_start = None;
                self.merge.stop_waiting();
                return resolution;
            }
        }
    }

    fn hear(&mut self, who: usize, said: Resolution) {
        if let (Resolution::Failed(error), Some(member)) = (&said, self.members.get(who)) {
            let (service, member) = (&self.service, &member.name);
            tracing::warn!(%service, %member, %error, "a member is failing: its last good endpoints stay");
        }
        self.merge.hear(who, said);
    }
}

impl fmt::Debug for Union {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Union")
            .field("members", &self.members)
            .field("head_start", &self.head_start)
            .finish()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("service", &self.service)
            .field("priority", &self.priority)
            .field("weight", &self.weight)
            .finish()
    }
}

#[cfg(test)]
mod tests;
