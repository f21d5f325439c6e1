//! Why a scenario could not go on.

use std::{error::Error, fmt};

/// What a scenario returns.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a scenario could not go on: any error, or a sentence.
///
/// As a test prints it (by `Debug`), it is for people: each cause on a line of its own.
pub struct Failure(Box<dyn Error + Send + Sync>);

impl Failure {
    /// A sentence.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string().into())
    }
}

// Not an `Error` itself, which is what makes this possible.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
