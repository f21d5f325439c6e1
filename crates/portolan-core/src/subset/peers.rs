//! Which of its peers a client is.

/// Which one of how many clients this is.
///
/// All of them must count alike: by the order of their names, say, or by the ordinal of a StatefulSet's Pod.
///
/// ```
/// use portolan_core::subset::Peers;
///
/// let first = Peers::new(0, 3)?;
/// assert!(Peers::new(3, 3).is_err());
/// assert!(Peers::new(0, 0).is_err());
/// # Ok::<(), portolan_core::subset::PeersError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peers {
    index: u32,
    count: u32,
}

/// A client that is none of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no client is number {index} of {count}: there is at least one, this one, and the first is number 0"
)]
#[non_exhaustive]
pub struct PeersError {
    /// The number that it was said to be.
    pub index: u32,
    /// How many there were said to be.
    pub count: u32,
}

impl Peers {
    /// This client alone.
    pub const ALONE: Self = Self { index: 0, count: 1 };

    /// The client of this number, from 0 on, of so many.
    ///
    /// # Errors
    /// Where there is no such one.
    pub fn new(index: u32, count: u32) -> Result<Self, PeersError> {
        match index < count {
            true => Ok(Self { index, count }),
            false => Err(PeersError { index, count }),
        }
    }

    /// Which one this is.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }
}
