//! Endpoints from a file that is watched.

mod format;
mod look;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{Resolution, ServiceRef, Source, SourceError, SourceErrorKind};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use look::Reader;

/// The endpoints that a file names. See [`file()`].
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
    interval: Duration,
}

/// The endpoints that a file names, followed as the file changes: for other registries that can write one,
/// for a ConfigMap, and by hand.
///
/// ```
/// use portolan::{Cluster, source};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("endpoints.yaml");
/// std::fs::write(&path, "
/// endpoints:
/// - placement: db-0
///   address: 10.0.0.1:5432
///   zone: eu-1a
/// - placement: db-1
///   address: '[fd00::2]:5432'
///   weight: 2
/// ")?;
/// let cluster = Cluster::from_source(source::file(&path));
/// let nodes = cluster.service("db.shop:client")?.nodes()?;
/// assert!(nodes.pick("user:17").await?.endpoint().placement().as_str().starts_with("db-"));
/// # Ok(())
/// # }
/// ```
///
/// # Format
/// YAML or, which is a part of it, JSON, in UTF-8, 4 MiB at most. Either one list, for whatever Service is
/// asked for:
///
/// ```yaml
/// endpoints: [ … ]
/// ```
///
/// or several, by the Service's name, written as a [`ServiceRef`] is. A namespace or a port that is not
/// written stands for any; of several that fit, the one that says most counts (a namespace says more than a
/// port does). A Service that is not named is absent.
///
/// ```yaml
/// services:
///   db.shop:client: [ … ]
///   cache.shop: []
/// ```
///
/// An endpoint is
///
/// | field | what it is | where it is not written |
/// |---|---|---|
/// | `address` | IP address and port, `10.0.0.1:5432` or `[fd00::1]:5432` | an error |
/// | `placement` | the stable name, see [`Placement`](crate::Placement) | the address |
/// | `uid` | what tells this life of it from the one before | none |
/// | `alternate` | address and port in the other IP family | none |
/// | `ready`, `serving`, `terminating` | see [`Conditions`](crate::Conditions::new) | `true`, as `ready`, `false` |
/// | `weight` | its share of the load, see [`Weight`](crate::Weight) | 1 |
/// | `ordinal` | its number within a StatefulSet | none |
/// | `pod`, `node`, `zone` | where it runs | none |
/// | `host` | the DNS name of which the address is one, see [`Endpoint::with_host`](crate::Endpoint::with_host) | none |
/// | `hints` | `zones` and `nodes`, see [`Hints`](crate::Hints) | none |
///
/// Another field is an error, so that one that is misspelt is found out.
///
/// # Watching
/// The file is looked at every second ([`poll_every`](File::poll_every)), and read when it has changed and
/// then stayed as it is for one look more: so whoever writes it in place, and is half done, is waited for.
/// Better still, write another file and rename it. Replacing a symbolic link, or one on the way to the file,
/// as the kubelet does for a ConfigMap, is seen.
///
/// # When it cannot be read
/// A file that is missing, empty, too large or wrong is a [`Resolution::Failed`] that says where: file, line,
/// column and field. The last good endpoints stay until there is a good file again. To take all endpoints away,
/// write `endpoints: []`.
#[must_use]
pub fn file(path: impl AsRef<Path>) -> File {
    File {
        path: path.as_ref().to_owned(),
        interval: Duration::from_secs(1),
    }
}

impl File {
    /// How often the file is looked at; a change is taken up after two looks. Default: 1 s, which costs a few
    /// microseconds of a background thread; the kubelet itself takes up to a minute to update a ConfigMap.
    #[must_use]
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }
}

// Why it is polled: a watch by inotify and its like is a watch on an inode or a directory. With a ConfigMap the
// file is behind two symbolic links, of which the first is replaced, so three directories and the file would
// have to be watched, and anew after each change; on network file systems, and on some that containers are made
// of, changes made elsewhere are never told at all, so that one would have to look from time to time anyway.
// One `stat` a second sees everything, and a change of endpoints that somebody writes by hand can wait for it.

impl Source for File {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        let reader = Reader::new(self.path.clone(), service.clone(), self.interval);
        let watch = Watch {
            path: self.path.clone(),
            interval: self.interval,
            reader: Some(reader),
            looking: None,
            stalled: false,
        };
        stream::unfold(watch, |mut watch| async {
            let resolution = watch.next().await;
            Some((resolution, watch))
        })
        .boxed()
    }
}

struct Watch {
    path: PathBuf,
    interval: Duration,
    /// Not here while it looks: then it is on a thread that may block.
    reader: Option<Reader>,
    looking: Option<JoinHandle<(Reader, Option<Resolution>)>>,
    /// It was said that the file system does not answer.
    stalled: bool,
}

/// A file system that does not answer for so long has failed, as far as anybody can tell.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

impl Watch {
    async fn next(&mut self) -> Resolution {
        loop {
            let Some(looking) = &mut self.looking else {
                let Some(mut reader) = self.reader.take() else {
                    // It was lost with its thread, and that was said.
                    return std::future::pending().await;
                };
                if std::mem::take(&mut self.stalled) {
                    reader.forget();
                }
                self.looking = Some(spawn_blocking(move || {
                    let news = reader.look();
                    (reader, news)
                }));
                continue;
            };
            let Ok(looked) = timeout(LOOK_TIMEOUT, looking).await else {
                // There is no second look before the first one ends, or they would pile up.
                self.stalled = true;
                return self.fail("the file system does not answer");
            };
            self.looking = None;
            let Ok((reader, news)) = looked else {
                return self.fail("it is not looked at any more: the runtime is shutting down");
            };
            self.reader = Some(reader);
            match news {
                Some(resolution) => return resolution,
                None => sleep(self.interval).await,
            }
        }
    }

    fn fail(&self, why: &str) -> Resolution {
        let message = format!("{}: {why}", self.path.display());
        Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, message))
    }
}

#[cfg(test)]
mod tests;
