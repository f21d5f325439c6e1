//! Asking the endpoints themselves who is the primary.
//!
//! Where neither a label nor a Lease nor a header says who is the primary, the servers do when they are asked: Redis' `ROLE`,
//! PostgreSQL's `pg_is_in_recovery()`, a status page. A [`RoleProbe`] asks each endpoint from time to time, and tells a
//! [`Leadership`] and others what comes of it.
//!
//! ```
//! use portolan::{Cluster, Endpoint, policy::{Leadership, PrimaryReplica}, role_probe::{RoleProbe, RoleReport}};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::from_source(portolan::source::Fixed::default());
//! let leadership = Leadership::new();
//! let policy = PrimaryReplica::by_leadership(&leadership);
//! let db = cluster.service("db.shop:client")?.policy(policy).nodes()?;
//!
//! let probe = RoleProbe::new(async |endpoint: Arc<Endpoint>| {
//!     let _connection = tokio::net::TcpStream::connect(endpoint.address()).await?;
//!     // … ask it …
//!     Ok::<_, std::io::Error>(RoleReport::replica())
//! });
//! tokio::spawn(probe.tell_leadership(&leadership).run(db.observe()));
//! # Ok(())
//! # }
//! ```

mod claims;

use std::{
    collections::HashMap,
    fmt::{self, Display},
    future::Future,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use portolan_core::{
    Candidate, Endpoint, EndpointState, Placement,
    policy::{Epoch, Leadership, Position, Progress, ReplicaLag, Role},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use self::claims::Claims;
use crate::Observer;

/// What an endpoint says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RoleReport {
    role: Role,
    epoch: Option<Epoch>,
    lag: Option<Duration>,
    position: Option<Position>,
}

impl RoleReport {
    /// It takes writes.
    ///
    /// Without [epochs](Self::epoch) the only one that says so is the primary. While two say so there is none; of two of which
    /// one does not answer any more, it is the other. Where nobody says so, whoever did last stays the primary for as long as it
    /// does not answer, and is none as soon as it says that it is a replica. Each new primary is announced by an epoch of the
    /// probe's own, one more than the last: so tell nobody's true epochs to the same leadership, for they would be lower.
    pub fn primary() -> Self {
        Self::of(Role::Primary)
    }

    /// It does not.
    pub fn replica() -> Self {
        Self::of(Role::Replica)
    }

    fn of(role: Role) -> Self {
        Self {
            role,
            epoch: None,
            lag: None,
            position: None,
        }
    }

    /// Adds the epoch in which it is: a term, a timeline. Then the highest one counts, as everywhere.
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Adds how far it is behind the primary.
    pub fn lag(mut self, lag: Duration) -> Self {
        self.lag = Some(lag);
        self
    }

    /// Adds how far it has got in what was written.
    pub fn position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }
}

/// Asks each endpoint of a balancer for its role, again and again. See the [module](self).
///
/// Each is asked once at a time, as soon as it is there, and then in each interval, give or take a tenth. No more than 64 are asked
/// at a time.
#[must_use = "it asks nobody until it is run"]
pub struct RoleProbe {
    ask: Arc<Ask>,
    every: Duration,
    timeout: Duration,
    tells: Tells,
}

/// An answer, or why there is none.
type Ask = dyn Fn(Arc<Endpoint>) -> BoxFuture<'static, Result<RoleReport, String>> + Send + Sync;

/// Who is told what comes of it.
#[derive(Clone, Debug, Default)]
struct Tells {
    leadership: Option<Leadership>,
    lag: Option<ReplicaLag>,
    progress: Option<Progress>,
}

/// How many are asked at a time.
const AT_ONCE: usize = 64;

impl RoleProbe {
    /// Asks by `ask`, which gives an endpoint's answer. One that cannot be had says nothing.
    pub fn new<A, E>(ask: impl Fn(Arc<Endpoint>) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<RoleReport, E>> + Send + 'static,
        E: Display,
    {
        Self {
            ask: Arc::new(move |endpoint| {
                let answer = ask(endpoint);
                async { answer.await.map_err(|error| error.to_string()) }.boxed()
            }),
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            tells: Tells::default(),
        }
    }

    /// Sets how often each endpoint is asked. Default: 1 s, within which a failover is noticed.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Sets how long an answer may take. Default: 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Tells the leadership who is the primary.
    pub fn tell_leadership(mut self, leadership: &Leadership) -> Self {
        self.tells.leadership = Some(leadership.clone());
        self
    }

    /// Tells how far replicas are behind.
    pub fn tell_lag(mut self, lag: &ReplicaLag) -> Self {
        self.tells.lag = Some(lag.clone());
        self
    }

    /// Tells how far each has got in what was written.
    pub fn tell_progress(mut self, progress: &Progress) -> Self {
        self.tells.progress = Some(progress.clone());
        self
    }

    /// Asks the endpoints that a balancer's requests may go to, until the balancer is gone. It needs a tokio runtime with
    /// timers.
    ///
    /// # Cancel safety
    /// Dropping the future asks nobody any more. What was told stays.
    pub async fn run(self, mut observer: Observer) {
        let mut asked = Asked {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            members: HashMap::new(),
            answers: FuturesUnordered::new(),
            claims: Claims::new(),
            probe: self,
        };
        asked.look(&observer);
        loop {
            tokio::select! {
                view = observer.changed() => match view {
                    Some(_) => asked.look(&observer),
                    None => return,
                },
                Some((life, answer)) = asked.answers.next() => asked.hear(life, answer),
            }
        }
    }
}

/// Who is asked.
struct Asked {
    probe: RoleProbe,
    places: Arc<Semaphore>,
    /// By the address of its state, which is kept here and so is at nobody else's. Of each an answer is to come, or the next
    /// question: so each is asked once at a time, however often it comes and goes.
    members: HashMap<usize, Member>,
    answers: FuturesUnordered<BoxFuture<'static, (usize, Result<RoleReport, String>)>>,
    claims: Claims,
}

struct Member {
    /// Kept for its address.
    _state: Arc<EndpointState>,
    endpoint: Arc<Endpoint>,
    /// It was the last time that anybody looked.
    is_there: bool,
}

impl Asked {
    /// Looks who is there.
    fn look(&mut self, observer: &Observer) {
        let mut gone: HashMap<usize, Placement> = HashMap::new();
        for (life, member) in &mut self.members {
            if std::mem::replace(&mut member.is_there, false) {
                gone.insert(*life, member.endpoint.placement().clone());
            }
        }
        let view = observer.view();
        for one in view.endpoints() {
            let life = Arc::as_ptr(&one.state).addr();
            gone.remove(&life);
            let member = Member {
                _state: Arc::clone(&one.state),
                endpoint: Arc::clone(&one.endpoint),
                is_there: true,
            };
            if self.members.insert(life, member).is_none() {
                self.ask(life, Arc::clone(&one.endpoint), Duration::ZERO);
            }
        }
        self.claims.count_for(self.round());
        for placement in gone.values() {
            // Unless it is there in another life, which has a say of its own.
            let is_it = |one: &Candidate| one.endpoint.placement() == placement;
            if !view.endpoints().iter().any(is_it) {
                self.claims.gone(placement);
            }
        }
    }

    /// How long it may take from one answer of an endpoint to its next, and some: it is asked after the interval, and then waits
    /// for a place, which all before it may hold for as long as an answer may take.
    fn round(&self) -> Duration {
        let RoleProbe { every, timeout, .. } = &self.probe;
        let turns = self.members.len().div_ceil(AT_ONCE).max(1);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        let answers = timeout.saturating_mul(turns);
        every.saturating_mul(2).saturating_add(answers)
    }

    fn ask(&self, life: usize, endpoint: Arc<Endpoint>, after: Duration) {
        let (ask, limit) = (Arc::clone(&self.probe.ask), self.probe.timeout);
        let places = Arc::clone(&self.places);
        let answer = async move {
            sleep(after).await;
            // Nobody closes the semaphore.
            let _place = places.acquire().await;
            let answer = match timeout(limit, ask(endpoint)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("it did not answer within {limit:?}")),
            };
            (life, answer)
        };
        self.answers.push(answer.boxed());
    }

    fn hear(&mut self, life: usize, answer: Result<RoleReport, String>) {
        let Some(member) = self.members.get(&life).filter(|one| one.is_there) else {
            self.members.remove(&life);
            return;
        };
        let endpoint = Arc::clone(&member.endpoint);
        match answer {
            Ok(report) => self.take_up(&endpoint, report),
            Err(error) => {
                let placement = endpoint.placement();
                tracing::debug!(endpoint = %placement, %error, "an endpoint does not say which role it has");
            }
        }
        let part = 0.9 + 0.2 * fastrand::f64();
        let pause = Duration::try_from_secs_f64(self.probe.every.as_secs_f64() * part);
        self.ask(
            life,
            endpoint,
            pause.unwrap_or(self.probe.every).max(SHORTEST),
        );
    }

    fn take_up(&mut self, endpoint: &Endpoint, report: RoleReport) {
        let tells = &self.probe.tells;
        if let (Some(lags), Some(lag)) = (&tells.lag, report.lag) {
            lags.report(endpoint.placement().clone(), lag);
        }
        if let (Some(progress), Some(position)) = (&tells.progress, report.position) {
            progress.report(endpoint, position);
        }
        if let Some(leadership) = &tells.leadership {
            let (placement, now) = (endpoint.placement(), Instant::now());
            self.claims.hear(placement, report.role, report.epoch, now);
            self.claims.tell(leadership, now);
        }
    }
}

/// Nobody is asked more often.
const SHORTEST: Duration = Duration::from_millis(10);

impl fmt::Debug for RoleProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleProbe")
            .field("every", &self.every)
            .field("timeout", &self.timeout)
            .field("tells", &self.tells)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
