//! Which step of the client answers which change, and how much later.

use std::time::{Duration, Instant};

use crate::story::Step;

/// From `at` on, a Pod takes requests, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) at: Instant,
    /// Its UID, or its address where it has none.
    pub(crate) pod: String,
    pub(crate) takes: bool,
}

/// A note of the cluster, and what was being done there.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) note: Note,
    pub(crate) step: Option<Step>,
}

/// What kind of change it was, as the summary has it, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rolled,
    Killed,
    StartedAgain,
    ScaledUp,
    ScaledDown,
    /// Of a cluster where others do what they do.
    Came,
    Left,
}

impl Kind {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Rolled => "rolling restart",
            Self::Killed => "kill",
            Self::StartedAgain => "started again",
            Self::ScaledUp => "scale up",
            Self::ScaledDown => "scale down",
            Self::Came => "Pods that came",
            Self::Left => "Pods that left",
        }
    }
}

impl Change {
    pub(crate) fn kind(&self) -> Kind {
        match (self.step, self.note.takes) {
            (Some(Step::Roll), _) => Kind::Rolled,
            (Some(Step::Kill | Step::Restart), false) => Kind::Killed,
            (Some(Step::Kill | Step::Restart), true) => Kind::StartedAgain,
            (Some(Step::ScaleUp), _) => Kind::ScaledUp,
            (Some(Step::ScaleDown), _) => Kind::ScaledDown,
            (Some(Step::Calm) | None, true) => Kind::Came,
            (Some(Step::Calm) | None, false) => Kind::Left,
        }
    }
}

/// How long after each change the client did the same: nothing where it found out first, `None` where it
/// never did. What was taken back before the client did it is left out.
pub(crate) fn lags(changes: &[Change], client: &[Note]) -> Vec<(Kind, Option<Duration>)> {
    let mut lags = Vec::new();
    for (place, change) in changes.iter().enumerate() {
        let of_same_pod = |other: &&Change| other.note.pod == change.note.pod;
        // Before the Pod's former change, the client cannot have meant this one.
        let former = changes.iter().take(place).rfind(of_same_pod);
        let followed = client.iter().find(|note| {
            note.pod == change.note.pod
                && note.takes == change.note.takes
                && former.is_none_or(|former| note.at >= former.note.at)
        });
        let taken_back = changes.iter().skip(place + 1).any(|it| of_same_pod(&it));
        match followed {
            Some(note) => {
                let lag = note.at.saturating_duration_since(change.note.at);
                lags.push((change.kind(), Some(lag)));
            }
            None if taken_back => {}
            None => lags.push((change.kind(), None)),
        }
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn note(at: Instant, pod: &str, takes: bool) -> Note {
        let pod = pod.to_owned();
        Note { at, pod, takes }
    }

    fn change(at: Instant, pod: &str, takes: bool) -> Change {
        let note = note(at, pod, takes);
        Change { note, step: None }
    }

    #[test]
    fn each_change_counts_whoever_hears_of_it_first() {
        let start = Instant::now();
        let changes = [
            change(start + MS, "a", false),
            change(start + 6 * MS, "b", true),
        ];
        let client = [
            note(start, "a", true),
            note(start + 3 * MS, "a", false),
            note(start + 4 * MS, "b", true),
        ];
        let expected = [
            (Kind::Left, Some(2 * MS)),
            (Kind::Came, Some(Duration::ZERO)),
        ];
        assert_eq!(lags(&changes, &client), expected);
    }

    #[test]
    fn a_pod_that_comes_back_is_followed_anew() {
        let start = Instant::now();
        let changes = [
            change(start + 10 * MS, "a", false),
            change(start + 20 * MS, "a", true),
        ];
        let client = [
            note(start, "a", true),
            note(start + 11 * MS, "a", false),
            note(start + 25 * MS, "a", true),
        ];
        let expected = [(Kind::Left, Some(MS)), (Kind::Came, Some(5 * MS))];
        assert_eq!(lags(&changes, &client), expected);
    }

    #[test]
    fn what_was_taken_back_counts_for_nothing_and_what_was_missed_does() {
        let start = Instant::now();
        let changes = [
            change(start + MS, "a", true),
            change(start + 2 * MS, "a", false),
            change(start + 3 * MS, "b", true),
        ];
        assert_eq!(
            lags(&changes, &[]),
            [(Kind::Left, None), (Kind::Came, None)]
        );
    }
}
