//! Endpoints from a file that is watched.

mod format;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use portolan_core::{Resolution, ServiceRef, Source};

use crate::watched_file;
use format::Document;

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

impl Source for File {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        let service = service.clone();
        let endpoints = move |text: &str| {
            let document = Document::parse(text)?;
            Ok(match document.endpoints_of(&service) {
                Some(endpoints) => Resolution::Present(endpoints),
                None => Resolution::Absent,
            })
        };
        watched_file::watch(self.path.clone(), endpoints, self.interval)
            .map(|news| news.unwrap_or_else(Resolution::Failed))
            .boxed()
    }
}

#[cfg(test)]
mod tests;
