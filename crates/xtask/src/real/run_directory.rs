//! Where one run keeps its files: below the target folder, named by its process.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use crate::outcome::{Doing, Failure};

/// The files of one run.
#[derive(Debug)]
pub(super) struct RunDirectory(PathBuf);

impl RunDirectory {
    /// Makes the folder of this run, and removes those of runs that are over.
    pub(super) fn create() -> Result<Self, Failure> {
        let program = env::current_exe().doing("find this program's file")?;
        let all = program.parent().unwrap_or(Path::new(".")).join("real");
        remove_old(&all);
        let this = Self(all.join(process::id().to_string()));
        for folder in [this.state(), this.logs()] {
            fs::create_dir_all(&folder).doing(format_args!("make {}", folder.display()))?;
        }
        Ok(this)
    }

    /// For what the programs write; in memory inside the namespaces.
    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// For what the programs say: a folder for each cluster, a file for each program.
    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(super) fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.0).doing(format_args!("remove {}", self.0.display()))
    }
}

/// A run that was interrupted, or failed, left its folder.
fn remove_old(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // The next run tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
