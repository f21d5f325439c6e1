//! What few requests need, beside those that do not.

use std::ops::{Deref, DerefMut};

/// A box that is nearly always empty.
///
/// To let go of an empty one is a look, in the place where it is done; what it takes to let go of a full one is out of the
/// way. (Otherwise each request would call a function for each of these, to find nothing: 17 instructions.)
#[derive(Debug)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

impl<T> Seldom<T> {
    pub(crate) const EMPTY: Self = Self(None);

    pub(crate) fn full(content: T) -> Self {
        Self(Some(Box::new(content)))
    }

    /// Empty, unless `condition` holds.
    #[inline]
    pub(crate) fn full_if(condition: bool, content: impl FnOnce() -> T) -> Self {
        match condition {
            true => Self::full(content()),
            false => Self(None),
        }
    }
}

impl<T> Default for Seldom<T> {
    #[inline]
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Seldom<T> {
    type Target = Option<Box<T>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for Seldom<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T> Drop for Seldom<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(content) = self.0.take() {
            let_go(content);
        }
    }
}

#[cold]
#[inline(never)]
fn let_go<T>(content: Box<T>) {
    drop(content);
}
