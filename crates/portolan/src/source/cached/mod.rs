//! Endpoints kept on disk, for a start while no source can be reached.

mod format;
mod keeper;
mod store;

use std::{
    any::type_name,
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{EndpointSet, Resolution, ServiceRef, Source, SourceError, SourceErrorKind};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

use keeper::Keeper;
use store::Store;

/// A source whose last good endpoints are kept on disk. See [`cached`].
#[derive(Clone)]
pub struct Cached {
    source: Arc<dyn Source>,
    directory: PathBuf,
    settings: Settings,
}

#[derive(Clone, Debug)]
struct Settings {
    origin: Arc<str>,
    head_start: Duration,
    max_age: Duration,
    write_every: Duration,
}

/// Goes by `source`, and keeps its last good endpoints in `directory`: so that a program that is started while
/// the API server is down has something to go by.
///
/// ```
/// use portolan::{Cluster, Endpoint, Placement, source::{self, Fixed}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let kube = Fixed::from_iter([Endpoint::new(Placement::new("db-0"), "10.0.0.1:5432".parse()?)]);
/// // In a cluster: `let kube = Cluster::infer().await?;`, and a volume that outlives the container.
/// let cluster = Cluster::from_source(source::cached(kube, directory.path()));
/// let nodes = cluster.service("db.shop:client")?.nodes()?;
/// assert_eq!(nodes.pick("user:17").await?.endpoint().placement().as_str(), "db-0");
/// # Ok(())
/// # }
/// ```
///
/// # When the kept endpoints are used
/// At the start only, and once: as soon as the source fails, or has said nothing for the time of
/// [`head_start`](Cached::head_start). They are told together with a failure, so their age is in every
/// [`Error`](crate::Error) and [`View`](crate::View), and counts for
/// [`max_staleness`](crate::BalancerBuilder::max_staleness). The source's first good word takes their place. With
/// another source to ask, put that behind: `first_of(cached(kube, directory), dns)` goes by what was kept
/// while DNS is being asked.
///
/// # When they are written
/// Each time they change, but every few seconds at most ([`write_every`](Cached::write_every)), and every five
/// minutes while they do not, which keeps their age right; never while the source fails. On background
/// threads, one write of a Service at a time, to a new file that is synced and then renamed, so that a crash
/// leaves the one or the other. When the Service is absent or has no endpoints, the file is removed.
/// A write that fails is logged and tried again; nothing else depends on it.
///
/// # What is refused
/// Each of these with a warning, and then it is as if nothing had been kept: a file that is truncated, corrupt
/// (by checksum) or larger than 16 MiB; of another Service or another [`origin`](Cached::origin); of a later
/// format; older than [`max_age`](Cached::max_age), or from the future; one that is no regular file, does not
/// belong to the user that the program runs as, or that anybody may write to.
///
/// Files are readable by their owner alone (mode 0600), and so is the directory if it is made. Whoever can write
/// to the directory as this user decides where requests go: the checksum finds accidents, not forgeries.
#[must_use]
pub fn cached<S: Source + 'static>(source: S, directory: impl AsRef<Path>) -> Cached {
    Cached {
        source: Arc::new(source),
        directory: directory.as_ref().to_owned(),
        settings: Settings {
            origin: type_name::<S>().into(),
            head_start: Duration::from_secs(1),
            max_age: Duration::from_secs(86_400),
            write_every: Duration::from_secs(5),
        },
    }
}

impl Cached {
    /// Whose endpoints these are. What was kept for one origin is never used for another: give each cluster a
    /// name of its own where several share a directory. Default: the type of the source.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Arc<str>>) -> Self {
        self.settings.origin = origin.into();
        self
    }

    /// How long, at the start, the source may say nothing before the kept endpoints are used. Default: 1 s, many
    /// times what a healthy API server needs, and little of the 5 s that a request waits.
    #[must_use]
    pub fn head_start(mut self, head_start: Duration) -> Self {
        self.settings.head_start = head_start;
        self
    }

    /// How old the kept endpoints may be to be used. Default: a day, which is an outage over night. Shorter
    /// is safer where Pods come and go and do not prove who they are, since addresses are given out again.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.settings.max_age = max_age;
        self
    }

    /// How often a Service's endpoints are written at most. Default: every 5 s, so that a rolling update of
    /// many Pods costs a handful of writes. A change that was not written yet is lost when the program ends.
    #[must_use]
    pub fn write_every(mut self, interval: Duration) -> Self {
        self.settings.write_every = interval;
        self
    }
}

impl Source for Cached {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        let Settings {
            origin,
            head_start,
            max_age,
            write_every,
        } = self.settings.clone();
        let store = Arc::new(Store::new(&self.directory, service, origin));
        let watch = Watch {
            inner: self.source.watch(service),
            keeper: Keeper::new(Arc::clone(&store), write_every),
            store,
            max_age,
            fall_back: FallBack::After(head_start),
            kept: None,
            to_say: VecDeque::new(),
        };
        stream::unfold(watch, |mut watch| async {
            let resolution = watch.next().await;
            Some((resolution, watch))
        })
        .boxed()
    }

    fn suspect(&self, service: &ServiceRef) {
        self.source.suspect(service);
    }
}

struct Watch {
    inner: BoxStream<'static, Resolution>,
    keeper: Keeper,
    store: Arc<Store>,
    max_age: Duration,
    fall_back: FallBack,
    /// How old the kept endpoints were at that moment, while they are all that is known.
    kept: Option<(Duration, Instant)>,
    to_say: VecDeque<Resolution>,
}

/// Whether the kept endpoints may still be used.
#[derive(Clone, Copy, Debug)]
enum FallBack {
    /// The time begins with the first poll: nothing is asked of anybody before.
    After(Duration),
    At(Instant),
    Never,
}

/// A disk that takes longer than this is as good as none.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

impl Watch {
    async fn next(&mut self) -> Resolution {
        loop {
            if let Some(resolution) = self.to_say.pop_front() {
                return resolution;
            }
            if let FallBack::After(head_start) = self.fall_back {
                // Beyond what the clock can say is for ever.
                let at = Instant::now().checked_add(head_start);
                self.fall_back = at.map_or(FallBack::Never, FallBack::At);
            }
            let silent_until = match self.fall_back {
                FallBack::At(at) => Some(at),
                _ => None,
            };
            tokio::select! {
                said = self.inner.next() => match said {
                    Some(said) => self.hear(said).await,
                    None => self.end().await,
                },
                () = sleep_until(silent_until.unwrap_or_else(Instant::now)), if silent_until.is_some() => {
                    self.hear_nothing().await;
                }
                () = self.keeper.work() => {}
            }
        }
    }

    async fn hear(&mut self, said: Resolution) {
        match said {
            Resolution::Failed(error) => {
                self.keeper.pause();
                self.use_kept().await;
                let error = self.with_age(error);
                self.to_say.push_back(Resolution::Failed(error));
            }
            good => {
                self.fall_back = FallBack::Never;
                self.kept = None;
                self.keeper.keep(match &good {
                    Resolution::Present(endpoints) if !endpoints.is_empty() => {
                        Some(endpoints.clone())
                    }
                    _ => None,
                });
                self.to_say.push_back(good);
            }
        }
    }

    async fn hear_nothing(&mut self) {
        // A word that is there at the last moment has come in time.
        match self.inner.next().now_or_never() {
            Some(Some(said)) => return self.hear(said).await,
            Some(None) => return self.end().await,
            None => {}
        }
        if self.use_kept().await {
            let silence = "the source has said nothing yet";
            let error = SourceError::new(SourceErrorKind::Unavailable, silence);
            let error = self.with_age(error);
            self.to_say.push_back(Resolution::Failed(error));
        }
    }

    async fn end(&mut self) {
        self.inner = stream::pending().boxed();
        let ended = "the source has ended, and says nothing more";
        let error = SourceError::new(SourceErrorKind::Unavailable, ended);
        self.hear(Resolution::Failed(error)).await;
    }

    /// Says what was kept, if it is to be said still and there is something.
    async fn use_kept(&mut self) -> bool {
        if matches!(self.fall_back, FallBack::Never) {
            return false;
        }
        self.fall_back = FallBack::Never;
        let Some((endpoints, age)) = read(Arc::clone(&self.store), self.max_age).await else {
            return false;
        };
        let (service, path) = (self.store.service(), self.store.path().display());
        tracing::warn!(service, %path, ?age, "the source cannot be reached: using the endpoints that were kept");
        self.kept = Some((age, Instant::now()));
        self.to_say.push_back(Resolution::Present(endpoints));
        true
    }

    /// The same failure with the age of what was kept, while that is all there is.
    fn with_age(&self, error: SourceError) -> SourceError {
        let Some((age, at)) = self.kept else {
            return error;
        };
        let age = age + at.elapsed();
        let (seconds, path) = (age.as_secs(), self.store.path().display());
        let message = format!("{error}; using the endpoints of {seconds} s ago from {path}");
        SourceError::new(error.kind(), message)
            .with_age(age.max(error.age()))
            .with_cause(error)
    }
}

/// What was kept, if it may be used.
async fn read(store: Arc<Store>, max_age: Duration) -> Option<(EndpointSet, Duration)> {
    let reading = Arc::clone(&store);
    let read = spawn_blocking(move || reading.read(max_age));
    let (service, path) = (store.service(), store.path().display());
    match timeout(READ_TIMEOUT, read).await {
        Ok(Ok(Ok(kept))) => kept,
        Ok(Ok(Err(refusal))) => {
            tracing::warn!(service, %path, %refusal, "the endpoints that were kept are not used");
            None
        }
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(service, %path, "the endpoints that were kept cannot be read in time");
            None
        }
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("source", &self.source)
            .field("directory", &self.directory)
            .field("settings", &self.settings)
            .finish()
    }
}

#[cfg(test)]
mod tests;
