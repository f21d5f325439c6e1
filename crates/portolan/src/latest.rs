//! What somebody who is slow to look must still see.

use portolan_core::{Resolution, SourceError};

/// The newest word of a source and, where that is a failure, the last good one before it.
///
/// A good resolution is whole, so one replaces all that were before it. A failure is no resolution: it
/// takes nothing away, least of all a good one that nobody has seen yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest {
    generation: u64,
    good: Option<(u64, Resolution)>,
    failure: Option<(u64, SourceError)>,
}

impl Latest {
    /// Puts this in the place of what was there.
    pub(crate) fn put(&mut self, resolution: Resolution) {
        self.generation += 1;
        match resolution {
            Resolution::Failed(error) => self.failure = Some((self.generation, error)),
            good => {
                self.good = Some((self.generation, good));
                self.failure = None;
            }
        }
    }

    /// What somebody who has seen everything up to `seen` has to see next.
    pub(crate) fn next(&self, seen: &mut u64) -> Option<Resolution> {
        if let Some((generation, good)) = self.good.as_ref().filter(|(at, _)| at > seen) {
            *seen = *generation;
            return Some(good.clone());
        }
        let (generation, error) = self.failure.as_ref().filter(|(at, _)| at > seen)?;
        *seen = *generation;
        Some(Resolution::Failed(error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{EndpointSet, SourceErrorKind};

    use super::*;

    #[test]
    fn a_failure_hides_no_good_word_that_was_not_seen() {
        let failed = || {
            let error = SourceError::new(SourceErrorKind::Unavailable, "no answer");
            Resolution::Failed(error)
        };
        let mut latest = Latest::default();
        let mut seen = 0;
        latest.put(Resolution::Absent);
        latest.put(Resolution::Present(EndpointSet::default()));
        latest.put(failed());
        let good = latest.next(&mut seen);
        assert!(matches!(good, Some(Resolution::Present(_))), "{good:?}");
        let failure = latest.next(&mut seen);
        assert!(
            matches!(failure, Some(Resolution::Failed(_))),
            "{failure:?}"
        );
        assert!(latest.next(&mut seen).is_none());
        // What mends a failure makes it no news.
        latest.put(failed());
        latest.put(Resolution::Absent);
        assert!(matches!(latest.next(&mut seen), Some(Resolution::Absent)));
        assert!(latest.next(&mut seen).is_none());
    }
}
