//! What is wrong, and where.

use std::{error::Error, fmt};

/// Why a policy could not be read or made, and in which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(path: String, problem: impl Into<String>) -> Self {
        Self {
            path,
            problem: problem.into(),
        }
    }

    /// What a deserializer has to say of what is at this path, as far as it could follow it.
    pub(super) fn unreadable(path: String, problem: impl fmt::Display) -> Self {
        let path = path.trim_end_matches(['.', '?']);
        Self::new(path.to_owned(), problem.to_string())
    }

    /// Of no single field.
    pub(super) fn whole(problem: impl fmt::Display) -> Self {
        Self::new(String::new(), problem.to_string())
    }

    /// The field, as in `shard.over.primary-replica.read-from`, from the outermost policy on; empty where it is the
    /// whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same, of a policy that is in this field of something else: of `policy`, the path begins with `policy.`.
    #[must_use]
    pub fn within(self, field: &str) -> Self {
        let path = match &*self.path {
            "" => field.to_owned(),
            path if path.starts_with('[') => format!("{field}{path}"),
            path => format!("{field}.{path}"),
        };
        Self { path, ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => write!(f, "as a whole: {}", self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl Error for ConfigError {}
