//! Why the store refuses.

/// A refusal of the store; the API turns it into a `Status`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("no such object")]
    NotFound,
    #[error("the object exists already")]
    AlreadyExists,
    /// Optimistic concurrency: somebody else wrote in between.
    #[error(
        "the object has been modified; please apply your changes to the latest version and try again"
    )]
    Conflict,
    #[error(
        "Precondition failed: {field} in precondition: {asked}, {field} in object meta: {found}"
    )]
    Precondition {
        field: &'static str,
        asked: String,
        found: String,
    },
    /// The history does not reach back that far.
    #[error("too old resource version: {asked} ({oldest})")]
    Expired { asked: u64, oldest: u64 },
    /// The version has not been yet.
    #[error("Too large resource version: {asked}, current: {newest}")]
    Future { asked: u64, newest: u64 },
}
