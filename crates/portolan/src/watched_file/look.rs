//! Looking at a file, and reading it once it has changed and stays as it is. Everything here blocks.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use portolan_core::{SourceError, SourceErrorKind};

/// What a text means, or what is wrong with it.
type Parse<T> = dyn Fn(&str) -> Result<T, String> + Send;

/// Looks at one file.
pub(super) struct Reader<T> {
    path: PathBuf,
    parse: Box<Parse<T>>,
    interval: Duration,
    /// The file when it was last looked at.
    glanced: Glance,
    /// How many looks in a row have found it different.
    restless: u32,
    /// The file when it was last read.
    read: Option<Stamp>,
    /// What was said last.
    said: Option<Said>,
    /// The system opens files at present.
    #[cfg(test)]
    opens: bool,
}

#[derive(Debug)]
enum Glance {
    Never,
    At(Stamp),
    Missing,
}

#[derive(Debug, PartialEq)]
enum Said {
    Good(String),
    Failure(String),
}

/// What tells a file from another, and from itself before it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Device, inode, and the time of its last change, which nobody can set back.
    #[cfg(unix)]
    identity: (u64, u64, i64, i64),
}

/// Well above the endpoints of the largest Service, or its shards, and nothing that could fill the memory.
const MAX_LENGTH: u64 = 4 << 20;

/// A file that is replaced more often than it is looked at is read all the same, if seldom.
const MAX_RESTLESS: u32 = 5;

impl<T> Reader<T> {
    pub(super) fn new(
        path: PathBuf,
        parse: impl Fn(&str) -> Result<T, String> + Send + 'static,
        interval: Duration,
    ) -> Self {
        Self {
            path,
            parse: Box::new(parse),
            interval,
            glanced: Glance::Never,
            restless: 0,
            read: None,
            said: None,
            #[cfg(test)]
            opens: true,
        }
    }

    /// Whatever is there is news again: something else has been said meanwhile.
    pub(super) fn forget(&mut self) {
        self.read = None;
        self.said = None;
    }

    /// Looks at the file. What is new, if anything.
    pub(super) fn look(&mut self) -> Option<Result<T, SourceError>> {
        let stamp = match self.stamp() {
            Ok(stamp) => stamp,
            Err(failure) => {
                self.glanced = Glance::Missing;
                self.read = None;
                return self.fail(failure);
            }
        };
        if self.read == Some(stamp) {
            return None;
        }
        let stays = match self.glanced {
            Glance::At(before) => before == stamp,
            // At the start there is nothing to compare with, and no reason to wait for a file that has been
            // there for long.
            Glance::Never => stamp.is_older_than(self.interval),
            Glance::Missing => false,
        };
        self.glanced = Glance::At(stamp);
        self.restless = if stays { 0 } else { self.restless + 1 };
        if !stays && self.restless < MAX_RESTLESS {
            return None;
        }
        self.restless = 0;
        match self.read(stamp) {
            // It was written to while it was read.
            Ok(None) => None,
            Ok(Some(text)) => {
                self.read = Some(stamp);
                self.take_up(text)
            }
            Err(failure) => {
                // What is wrong with the content stays wrong; what the system could not do just now, it can
                // perhaps the next time.
                if failure.0 == SourceErrorKind::Corrupt {
                    self.read = Some(stamp);
                }
                self.fail(failure)
            }
        }
    }

    fn take_up(&mut self, text: String) -> Option<Result<T, SourceError>> {
        // Another text may do it no harm, and the file is looked at until then.
        let parse = AssertUnwindSafe(|| (self.parse)(&text));
        let meaning = match catch_unwind(parse) {
            Ok(Ok(meaning)) => meaning,
            Ok(Err(error)) => return self.fail((SourceErrorKind::Corrupt, error)),
            Err(_) => {
                let error = "whoever reads it panicked at what it says".to_owned();
                return self.fail((SourceErrorKind::Corrupt, error));
            }
        };
        let said = Said::Good(text);
        if self.said.as_ref() == Some(&said) {
            return None;
        }
        self.said = Some(said);
        Some(Ok(meaning))
    }

    fn fail(&mut self, (kind, what): (SourceErrorKind, String)) -> Option<Result<T, SourceError>> {
        let message = format!("{}: {what}", self.path.display());
        let said = Said::Failure(message.clone());
        if self.said.as_ref() == Some(&said) {
            return None;
        }
        self.said = Some(said);
        Some(Err(SourceError::new(kind, message)))
    }

    fn stamp(&self) -> Result<Stamp, (SourceErrorKind, String)> {
        let metadata = std::fs::metadata(&self.path).map_err(unreadable)?;
        // To open a pipe would wait for somebody who writes to it.
        if !metadata.is_file() {
            return Err((SourceErrorKind::Corrupt, "not a file".to_owned()));
        }
        Ok(Stamp::of(&metadata))
    }

    /// The text; `None` where the file is not, or no more, the one that was looked at.
    fn read(&self, looked_at: Stamp) -> Result<Option<String>, (SourceErrorKind, String)> {
        if looked_at.length > MAX_LENGTH {
            let (length, limit) = (looked_at.length, MAX_LENGTH);
            let message = format!("it has {length} bytes, more than the limit of {limit}");
            return Err((SourceErrorKind::Corrupt, message));
        }
        #[cfg(test)]
        if !self.opens {
            return Err(unreadable(io::Error::other("too many open files")));
        }
        let file = File::open(&self.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        // It may have grown since.
        (&file)
            .take(MAX_LENGTH + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let afterwards = Stamp::of(&file.metadata().map_err(unreadable)?);
        if afterwards != looked_at || bytes.len() as u64 != looked_at.length {
            return Ok(None);
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..valid).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            (
                SourceErrorKind::Corrupt,
                format!("not UTF-8 at line {line}"),
            )
        })
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            identity: (
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ),
        }
    }

    fn is_older_than(self, age: Duration) -> bool {
        let now = SystemTime::now();
        self.modified
            .and_then(|modified| now.duration_since(modified).ok())
            .is_some_and(|since| since >= age)
    }
}

fn unreadable(error: io::Error) -> (SourceErrorKind, String) {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => SourceErrorKind::Forbidden,
        _ => SourceErrorKind::Unavailable,
    };
    (kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_once_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watched");
        std::fs::write(&path, "text").unwrap();
        let mut reader = Reader::new(path, |text| Ok(text.to_owned()), Duration::ZERO);
        // It is there, and cannot be opened.
        reader.opens = false;
        assert!(matches!(reader.look(), Some(Err(_))));
        assert!(reader.look().is_none(), "it is said once");
        reader.opens = true;
        assert!(matches!(reader.look(), Some(Ok(_))));
    }

    #[test]
    fn a_text_at_which_the_parser_panics_is_wrong_until_there_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watched");
        std::fs::write(&path, "bad").unwrap();
        let parse = |text: &str| {
            assert_ne!(text, "bad");
            Ok(text.to_owned())
        };
        let mut reader = Reader::new(path.clone(), parse, Duration::ZERO);
        let error = reader.look().unwrap().unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Corrupt);
        assert!(error.to_string().contains("panicked"), "{error}");
        assert!(reader.look().is_none(), "it is said once");
        std::fs::write(&path, "better").unwrap();
        let mut looks = (0..3).filter_map(|_| reader.look());
        assert_eq!(looks.next().unwrap().unwrap(), "better");
    }

    #[test]
    fn what_was_forgotten_is_news_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watched");
        std::fs::write(&path, "text").unwrap();
        let mut reader = Reader::new(path, |text| Ok(text.to_owned()), Duration::ZERO);
        assert!(reader.look().is_some());
        assert!(reader.look().is_none());
        reader.forget();
        assert!(reader.look().is_some());
        assert!(reader.look().is_none());
    }
}
