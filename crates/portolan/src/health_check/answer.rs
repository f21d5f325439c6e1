//! What comes of asking an endpoint.

/// What comes of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The endpoint is well.
    Well,
    /// It is not, for this reason.
    Ill(String),
    /// It was not asked: all of its connections are busy, or it is gone by now.
    #[cfg(feature = "http")]
    NotAsked,
    /// It does not know the question, and never will.
    #[cfg(feature = "grpc")]
    Unknown(String),
}
