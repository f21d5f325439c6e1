//! Following answers that say: this belongs elsewhere.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portolan_core::{
    Placement,
    policy::{Learnt, Redirect, Routes},
};
use tokio::time::Instant;

/// What an answer says of where a request belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// It was not served: it is to be sent there.
    Elsewhere(Redirect),
    /// It was served. The next one goes there straight away.
    NextTime(Redirect),
}

/// How redirects are followed: how many for one request, what is remembered, and who is told.
///
/// A redirect leads to a member of the Service, and never to anybody else; where that gets no requests now (it is
/// not ready, or for clients elsewhere), the request waits for it. Where the policy does not admit the request
/// there (a write at a replica), or knows of a later epoch, the policy is asked again. What names a stranger ends in [`ErrorKind::Misdirected`](crate::ErrorKind), as does a request that is sent round and round.
/// The request is sent again as it was the first time; where that is impossible, since more of
/// its body was sent than is kept, the answer is given to the caller as it is.
///
/// ```
/// use portolan::{Follow, policy::Routes};
/// use std::time::Duration;
///
/// let routes = Routes::by_key();
/// let follow = Follow::new()
///     .remember_in(&routes)
///     .max_hops(3)
///     .refresh(Duration::from_secs(1), || println!("the map of shards is out of date"));
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a client's builder has it"]
pub struct Follow(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    max_hops: usize,
    routes: Option<Routes>,
    refresh: Option<Arc<Refresh>>,
}

struct Refresh {
    every: Duration,
    last: Mutex<Option<Instant>>,
    call: Box<dyn Fn() + Send + Sync>,
}

impl Default for Follow {
    fn default() -> Self {
        Self::new()
    }
}

impl Follow {
    /// Follows five redirects of a request at most, as Redis' own clients do, and remembers none.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            max_hops: 5,
            routes: None,
            refresh: None,
        }))
    }

    /// Sets how many redirects are followed for one request. Default: 5.
    pub fn max_hops(mut self, hops: usize) -> Self {
        Arc::make_mut(&mut self.0).max_hops = hops;
        self
    }

    /// Remembers where requests belong. The client's policy should be [over](Routes::over) the same routes.
    pub fn remember_in(mut self, routes: &Routes) -> Self {
        Arc::make_mut(&mut self.0).routes = Some(routes.clone());
        self
    }

    /// Calls `refresh` when a redirect says that what the client goes by is out of date, and no more often than
    /// once in `every`, however many requests are redirected: where one shard has moved, others may have too. What
    /// comes within that time is not made up for afterwards: fetch the map from time to time as well.
    /// It is called in the middle of a request, and must not block: it wakes whoever fetches the map.
    pub fn refresh(mut self, every: Duration, refresh: impl Fn() + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).refresh = Some(Arc::new(Refresh {
            every,
            last: Mutex::new(None),
            call: Box::new(refresh),
        }));
        self
    }

    pub(crate) fn hops(&self) -> usize {
        self.0.max_hops
    }

    /// Takes up what was said of the request of this key.
    pub(crate) fn learn(&self, key: Option<&[u8]>, redirect: &Redirect, to: &Placement) -> Learnt {
        let routes = self.0.routes.as_ref();
        let learnt = routes.map_or(Learnt::Nothing, |routes| routes.learn(key, redirect, to));
        if !matches!(learnt, Learnt::Known | Learnt::Outdated) {
            self.out_of_date();
        }
        learnt
    }

    fn out_of_date(&self) {
        if let Some(refresh) = &self.0.refresh
            && refresh.is_due(Instant::now())
        {
            (refresh.call)();
        }
    }
}

impl Refresh {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= self.every);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("max_hops", &self.0.max_hops)
            .field("routes", &self.0.routes)
            .field(
                "refresh",
                &self.0.refresh.as_ref().map(|refresh| refresh.every),
            )
            .finish()
    }
}
