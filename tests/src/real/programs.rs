//! Where the programs are that `cargo xtask real` builds.

use std::{env, path::PathBuf};

use super::RealError;

/// The file of a program, in one of the folders that `cargo xtask real` names.
pub(crate) fn find(name: &str) -> Result<PathBuf, RealError> {
    let folders = env::var_os("PORTOLAN_REAL_BIN").ok_or(RealError::NotSetUp)?;
    env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|file| file.exists())
        .ok_or(RealError::NotSetUp)
}
