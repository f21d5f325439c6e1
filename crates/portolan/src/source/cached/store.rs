//! The file in which the endpoints of one Service are kept. Everything here blocks.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use portolan_core::{EndpointSet, ServiceRef};

use super::format::{Owner, Refusal, decode, encode};

/// Several times what the largest Service needs, and nothing that could fill the memory.
pub(super) const MAX_LENGTH: u64 = 16 << 20;

/// A file of that name which is this old was left by a program that ended while it was writing.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    path: PathBuf,
    service: String,
    origin: Arc<str>,
}

impl Store {
    pub(super) fn new(directory: &Path, service: &ServiceRef, origin: Arc<str>) -> Self {
        // Those that reach it in another way have other endpoints.
        let service = match service.reach() {
            Some(reach) => format!("{service} by {reach:?}"),
            None => service.to_string(),
        };
        Self {
            directory: directory.to_owned(),
            path: directory.join(file_name(&service, &origin)),
            service,
            origin,
        }
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept and how old it is, if there is something.
    pub(super) fn read(
        &self,
        max_age: Duration,
    ) -> Result<Option<(EndpointSet, Duration)>, Refusal> {
        // Not followed, and looked at before it is opened: to open a pipe would wait for a writer.
        let metadata = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if !metadata.is_file() {
            return Err(Refusal::NotAFile);
        }
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        #[cfg(unix)]
        check_owner(&metadata)?;
        if metadata.len() > MAX_LENGTH {
            return Err(Refusal::TooLarge(metadata.len()));
        }
        let mut bytes = Vec::new();
        file.take(MAX_LENGTH).read_to_end(&mut bytes)?;
        decode(&bytes, self.owner(), SystemTime::now(), max_age).map(Some)
    }

    /// Puts these, which were good at that time, in the place of what was kept: whole, or not at all.
    pub(super) fn write(&self, endpoints: &EndpointSet, good_at: SystemTime) -> io::Result<()> {
        let bytes = encode(self.owner(), endpoints, good_at)?;
        if bytes.len() as u64 > MAX_LENGTH {
            let length = bytes.len();
            let message = format!("{length} bytes are more than the limit of {MAX_LENGTH}");
            return Err(io::Error::other(message));
        }
        create_directory(&self.directory)?;
        self.remove_left_behind();
        let temporary = self.temporary();
        let written = create(&temporary)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                // Or the name could reach the disk before the content.
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // What matters is the error before.
            let _ = fs::remove_file(&temporary);
            return written;
        }
        self.sync_directory()
    }

    /// Keeps nothing any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_directory(),
        }
    }

    fn owner(&self) -> Owner<'_> {
        Owner {
            service: &self.service,
            origin: &self.origin,
        }
    }

    /// A name that no other writer has, in this process or another.
    fn temporary(&self) -> PathBuf {
        let unique = format!("{:016x}", fastrand::u64(..));
        self.path.with_extension(format!("{unique}.tmp"))
    }

    fn remove_left_behind(&self) {
        let Some(stem) = self.path.file_stem().and_then(|stem| stem.to_str()) else {
            return;
        };
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_ours = name
                .to_str()
                .is_some_and(|name| name.starts_with(stem) && name.ends_with(".tmp"));
            let is_old = || {
                let modified = entry.metadata().ok()?.modified().ok()?;
                let age = SystemTime::now().duration_since(modified).ok()?;
                Some(age > LEFT_BEHIND)
            };
            if is_ours && is_old() == Some(true) {
                // It is looked at again with the next write.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        // Elsewhere a directory cannot be opened, and renaming is durable by itself, or never.
        if cfg!(unix) {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// A name that says which Service it is, and is another for another origin.
fn file_name(service: &str, origin: &str) -> String {
    let plain = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '.' | '-' => letter,
        _ => '_',
    };
    // Names of files may have 255 bytes, which a name with a domain could exceed.
    let readable: String = service.chars().map(plain).take(100).collect();
    let mut hash = crc32fast::Hasher::new();
    hash.update(service.as_bytes());
    hash.update(b"\0");
    hash.update(origin.as_bytes());
    format!("{readable}-{:08x}.endpoints", hash.finalize())
}

fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Its group may write to it: the kubelet gives a volume with an `fsGroup` to that group, file by file.
#[cfg(unix)]
fn check_owner(metadata: &fs::Metadata) -> Result<(), Refusal> {
    use std::os::unix::fs::MetadataExt;

    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(Refusal::OtherUser { owner, user });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(Refusal::Writable(mode));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
