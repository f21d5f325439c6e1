//! A file that is looked at, and read when it has changed and stays as it is.

mod look;

use std::{path::PathBuf, time::Duration};

use futures::{Stream, stream};
use portolan_core::{SourceError, SourceErrorKind};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use look::Reader;

// Why it is polled: a watch by inotify and its like is a watch on an inode or a directory. With a ConfigMap the
// file is behind two symbolic links, of which the first is replaced, so three directories and the file would
// have to be watched, and anew after each change; on network file systems, and on some that containers are made
// of, changes made elsewhere are never told at all, so that one would have to look from time to time anyway.
// One `stat` a second sees everything, and a change of endpoints that somebody writes by hand can wait for it.

/// What was read, or why nothing could be.
type News<T> = Result<T, SourceError>;

/// What the file says, by `parse`, whenever that is another text; and why it cannot be read, or makes no sense, whenever that is
/// another reason. For ever.
pub(crate) fn watch<T: Send + 'static>(
    path: PathBuf,
    parse: impl Fn(&str) -> Result<T, String> + Send + 'static,
    interval: Duration,
) -> impl Stream<Item = News<T>> + Send {
    let watch = Watch {
        reader: Some(Reader::new(path.clone(), parse, interval)),
        path,
        interval,
        looking: None,
        stalled: false,
    };
    stream::unfold(watch, |mut watch| async {
        let news = watch.next().await;
        Some((news, watch))
    })
}

/// The reader is back, with what is new, if anything.
type Looked<T> = (Reader<T>, Option<News<T>>);

struct Watch<T> {
    path: PathBuf,
    interval: Duration,
    /// Not here while it looks: then it is on a thread that may block.
    reader: Option<Reader<T>>,
    looking: Option<JoinHandle<Looked<T>>>,
    /// It was said that the file system does not answer, and it has not since.
    stalled: bool,
}

/// A file system that does not answer for so long has failed, as far as anybody can tell.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

impl<T: Send + 'static> Watch<T> {
    async fn next(&mut self) -> News<T> {
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
                if std::mem::replace(&mut self.stalled, true) {
                    continue;
                }
                return self.fail("the file system does not answer");
            };
            self.looking = None;
            match looked {
                Ok((reader, news)) => {
                    self.reader = Some(reader);
                    match news {
                        Some(news) => return news,
                        None => sleep(self.interval).await,
                    }
                }
                Err(error) if error.is_panic() => {
                    return self.fail("it is not looked at any more: looking at it panicked");
                }
                Err(_) => {
                    return self.fail("it is not looked at any more: the runtime is shutting down");
                }
            }
        }
    }

    fn fail(&self, why: &str) -> News<T> {
        let message = format!("{}: {why}", self.path.display());
        Err(SourceError::new(SourceErrorKind::Unavailable, message))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::mpsc::{Sender, channel},
    };

    use futures::{FutureExt as _, StreamExt as _};
    use tokio::time::advance;

    use super::*;

    /// A file whose looks end when they are let, and who lets them.
    fn hanging() -> (
        tempfile::TempDir,
        impl Stream<Item = News<String>>,
        Sender<()>,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watched");
        std::fs::write(&path, "text").unwrap();
        let (let_go, held) = channel();
        let parse = move |text: &str| {
            let _ = held.recv();
            Ok(text.to_owned())
        };
        let news = watch(path, parse, Duration::ZERO);
        (directory, news, let_go)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_system_that_does_not_answer_is_told_of_once() {
        let (_directory, news, let_go) = hanging();
        let mut news = pin!(news);
        assert!(news.next().now_or_never().is_none());
        advance(LOOK_TIMEOUT).await;
        let told = news.next().now_or_never().unwrap().unwrap();
        assert!(told.unwrap_err().to_string().contains("does not answer"));
        for _ in 0..10 {
            advance(LOOK_TIMEOUT).await;
            assert!(news.next().now_or_never().is_none());
        }
        // Once it answers, what the file says is news again, and the next time that it does not is another one.
        let_go.send(()).unwrap();
        let told = news.next().await.unwrap();
        assert_eq!(told.unwrap(), "text");
        assert!(news.next().now_or_never().is_none());
        advance(LOOK_TIMEOUT).await;
        assert!(news.next().now_or_never().unwrap().unwrap().is_err());
    }
}
