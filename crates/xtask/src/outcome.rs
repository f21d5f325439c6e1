//! How a chore speaks and fails: lines on standard error, and one kind of error in words.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

/// Why a chore stopped, for the person who ran it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Says what was being done when an error came up.
pub(crate) trait Doing<T> {
    /// `what` completes the sentence "could not …".
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format_args!("could not {what}: {error}")))
    }
}

/// Writes a line to standard error; a closed terminal is no reason to stop.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Runs a command to its end, and fails with the command line if it failed.
pub(crate) fn must_succeed(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().doing(format_args!("run {command:?}"))?;
    succeeded(status, command)
}

/// Fails with the command line if its end was not a success.
pub(crate) fn succeeded(status: ExitStatus, command: &Command) -> Result<(), Failure> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format_args!("{command:?} failed: {status}")))
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// The root of the repository.
pub(crate) fn workspace() -> PathBuf {
    let this_crate = Path::new(env!("CARGO_MANIFEST_DIR"));
    this_crate
        .ancestors()
        .nth(2)
        .unwrap_or(this_crate)
        .to_path_buf()
}
