//! Which of several sources is gone by: a decision, without clock or I/O.

use std::{fmt::Write, time::Duration};

use portolan_core::{EndpointSet, Resolution, SourceError, SourceErrorKind, Time};

use super::super::adopt::adopt;

/// See the setters of [`FirstOf`](super::FirstOf).
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) grace: Duration,
    pub(super) settle: Duration,
    pub(super) head_start: Duration,
    pub(super) warm: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            settle: Duration::from_secs(10),
            head_start: Duration::from_secs(1),
            warm: false,
        }
    }
}

/// What the sources have said, who of them is in charge, and what has been passed on.
#[derive(Debug)]
pub(super) struct Election {
    settings: Settings,
    members: Vec<Member>,
    in_charge: Option<usize>,
    /// The word of the one in charge that is to be passed on.
    news: bool,
    /// The failure that was passed on last, where nothing good was since.
    told_failure: Option<String>,
}

/// One source.
#[derive(Debug, Default)]
struct Member {
    /// Since when it has been asked.
    asked: Option<Time>,
    word: Word,
    /// What it said before it failed, or says.
    last_good: Option<Answer>,
}

#[derive(Debug, Default)]
enum Word {
    /// It has not said anything yet.
    #[default]
    Nothing,
    Good {
        since: Time,
    },
    Failing {
        since: Time,
        error: SourceError,
    },
}

#[derive(Clone, Debug)]
enum Answer {
    Present(EndpointSet),
    Absent,
}

impl Election {
    /// Nobody has been asked yet.
    pub(super) fn new(members: usize, settings: Settings) -> Self {
        Self {
            settings,
            members: std::iter::repeat_with(Member::default)
                .take(members)
                .collect(),
            in_charge: None,
            news: false,
            told_failure: None,
        }
    }

    /// Takes up what one of the sources says.
    pub(super) fn hear(&mut self, now: Time, who: usize, said: Resolution) {
        let Some(member) = self.members.get_mut(who) else {
            return;
        };
        let answer = match said {
            Resolution::Present(endpoints) => Answer::Present(endpoints),
            Resolution::Absent => Answer::Absent,
            Resolution::Failed(error) => {
                let since = member.failing_since().unwrap_or(now);
                member.word = Word::Failing { since, error };
                return;
            }
            // A later kind of resolution says nothing that this version understands.
            _ => return,
        };
        let since = member.good_since().unwrap_or(now);
        member.word = Word::Good { since };
        member.last_good = Some(answer);
        self.news |= self.in_charge == Some(who);
    }

    /// Decides whom to go by and whom to ask, and says what is new to whoever listens. To be asked again
    /// until there is nothing new.
    pub(super) fn decide(&mut self, now: Time) -> Option<Resolution> {
        let heir = self.heir(now);
        if heir != self.in_charge {
            self.in_charge = heir;
            self.news = true;
        }
        self.ask(now);
        if std::mem::take(&mut self.news)
            && let Some(answer) = self.answer()
        {
            self.told_failure = None;
            return Some(answer);
        }
        let failure = self.failure(now)?;
        let text = failure.to_string();
        if self.told_failure.as_ref() == Some(&text) {
            return None;
        }
        self.told_failure = Some(text);
        Some(Resolution::Failed(failure))
    }

    /// When time alone may change a decision.
    pub(super) fn next_look(&self, now: Time) -> Option<Time> {
        let in_charge = self.in_charge;
        let Settings {
            grace,
            settle,
            head_start,
            ..
        } = self.settings;
        let look_at = |(who, member): (usize, &Member)| match member.word {
            Word::Nothing => member.asked.map(|asked| asked + head_start),
            Word::Failing { since, .. } => (in_charge == Some(who)).then(|| since + grace),
            Word::Good { since } => in_charge
                .is_some_and(|in_charge| who <= in_charge)
                .then(|| since + settle),
        };
        let looks = self.members.iter().enumerate().filter_map(look_at);
        looks.filter(|at| *at > now).min()
    }

    /// Whether this one is to be followed.
    pub(super) fn is_asked(&self, who: usize) -> bool {
        self.members
            .get(who)
            .is_some_and(|member| member.asked.is_some())
    }

    /// Whose word counts.
    pub(super) fn in_charge(&self) -> Option<usize> {
        self.in_charge
    }

    /// What there is against each of those who were asked.
    pub(super) fn reasons(&self) -> String {
        let mut reasons = String::new();
        for (who, member) in self.members.iter().enumerate() {
            let separator = if reasons.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = match &member.word {
                Word::Failing { error, .. } => {
                    write!(reasons, "{separator}{} source: {error}", Nth(who))
                }
                Word::Nothing if member.asked.is_some() => {
                    write!(reasons, "{separator}{} source: no word yet", Nth(who))
                }
                Word::Good { .. } if !member.has_endpoints() => {
                    write!(reasons, "{separator}{} source: no endpoints", Nth(who))
                }
                _ => Ok(()),
            };
        }
        reasons
    }

    fn heir(&self, now: Time) -> Option<usize> {
        let Settings { grace, settle, .. } = self.settings;
        let Some((who, in_charge)) = self
            .in_charge
            .and_then(|who| Some((who, self.members.get(who)?)))
        else {
            return self.successor(0, now, |_| true);
        };
        let failing_since = in_charge.failing_since();
        // Where there is nothing to lose, there is nothing to wait for.
        let at_once = failing_since.is_some() || !in_charge.has_endpoints();
        let may_return = |(who, member): &(usize, &Member)| {
            let good_since = member.good_since();
            let has_settled = good_since.is_some_and(|since| at_once || now.since(since) >= settle);
            // An empty list takes the place of a full one only where the first of all says so.
            has_settled && (*who == 0 || member.has_endpoints() || !in_charge.has_endpoints())
        };
        let mut earlier = self.members.iter().enumerate().take(who);
        if let Some((better, _)) = earlier.find(may_return) {
            return Some(better);
        }
        failing_since
            .filter(|since| now.since(*since) >= grace)
            .and_then(|_| self.successor(who + 1, now, Member::has_endpoints))
            .or(self.in_charge)
    }

    /// The first from `from` on that is good, if none before it is still to be waited for.
    fn successor(&self, from: usize, now: Time, fit: impl Fn(&Member) -> bool) -> Option<usize> {
        for (who, member) in self.members.iter().enumerate().skip(from) {
            match member.word {
                Word::Good { .. } if fit(member) => return Some(who),
                Word::Nothing if !self.is_late(member, now) => return None,
                _ => {}
            }
        }
        None
    }

    /// Asks as many as are needed, and lets go of the others once that is certain.
    fn ask(&mut self, now: Time) {
        let first = self.in_charge.unwrap_or(0);
        let is_settled = self.in_charge.is_some_and(|who| {
            let good_since = self.members.get(who).and_then(Member::good_since);
            good_since.is_some_and(|since| now.since(since) >= self.settings.settle)
        });
        let mut needed = true;
        for who in 0..self.members.len() {
            let Some(member) = self.members.get_mut(who) else {
                continue;
            };
            if needed || self.settings.warm {
                member.asked.get_or_insert(now);
            } else if is_settled {
                *member = Member::default();
            }
            if who >= first {
                needed &= self
                    .members
                    .get(who)
                    .is_some_and(|member| match member.word {
                        Word::Failing { .. } => true,
                        Word::Nothing => self.is_late(member, now),
                        // A list that is gone by needs no other, even an empty one.
                        Word::Good { .. } => self.in_charge != Some(who) && !member.has_endpoints(),
                    });
            }
        }
    }

    /// Whether it has been asked, and has said nothing for so long that others may speak.
    fn is_late(&self, member: &Member, now: Time) -> bool {
        member
            .asked
            .is_some_and(|asked| now.since(asked) >= self.settings.head_start)
    }

    /// What the one in charge says, with what those before it know.
    fn answer(&self) -> Option<Resolution> {
        let who = self.in_charge?;
        let answer = self.members.get(who)?.last_good.as_ref()?;
        let Answer::Present(endpoints) = answer else {
            return Some(Resolution::Absent);
        };
        let known: Vec<&EndpointSet> = self
            .members
            .iter()
            .take(who)
            .filter_map(|member| match &member.last_good {
                Some(Answer::Present(endpoints)) => Some(endpoints),
                _ => None,
            })
            .collect();
        Some(Resolution::Present(adopt(endpoints, &known)))
    }

    /// That nobody can say anything, where it is so.
    fn failure(&self, now: Time) -> Option<SourceError> {
        let is_failing = |member: &Member| member.failing_since().is_some();
        let failing = match self.in_charge {
            Some(who) => is_failing(self.members.get(who)?),
            // Where nobody has said anything at all there is nothing to say yet.
            None => {
                let may_speak = |member: &Member| match member.word {
                    Word::Nothing => !self.is_late(member, now),
                    Word::Good { .. } => true,
                    Word::Failing { .. } => false,
                };
                self.members.iter().any(is_failing) && !self.members.iter().any(may_speak)
            }
        };
        if !failing {
            return None;
        }
        let errors = || {
            self.members.iter().filter_map(|member| match &member.word {
                Word::Failing { error, .. } => Some(error),
                _ => None,
            })
        };
        // Waiting is in vain only where it is for all of them.
        let is_in_vain = |error: &SourceError| error.kind() == SourceErrorKind::Invalid;
        let kind = if errors().filter(|error| is_in_vain(error)).count() == self.members.len() {
            SourceErrorKind::Invalid
        } else {
            let mut others = errors().filter(|error| !is_in_vain(error));
            others
                .next()
                .map_or(SourceErrorKind::Unavailable, SourceError::kind)
        };
        let in_charge = self.in_charge.and_then(|who| self.members.get(who));
        let age = match in_charge.map(|member| &member.word) {
            Some(Word::Failing { error, .. }) => error.age(),
            _ => Duration::ZERO,
        };
        let failure = SourceError::new(kind, self.reasons()).with_age(age);
        Some(match errors().next() {
            Some(first) => failure.with_cause(first.clone()),
            None => failure,
        })
    }
}

impl Member {
    fn good_since(&self) -> Option<Time> {
        match self.word {
            Word::Good { since } => Some(since),
            _ => None,
        }
    }

    fn failing_since(&self) -> Option<Time> {
        match self.word {
            Word::Failing { since, .. } => Some(since),
            _ => None,
        }
    }

    fn has_endpoints(&self) -> bool {
        matches!(&self.last_good, Some(Answer::Present(endpoints)) if !endpoints.is_empty())
    }
}

/// A place in the order, in words.
struct Nth(usize);

impl std::fmt::Display for Nth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("first"),
            1 => f.write_str("second"),
            2 => f.write_str("third"),
            nth => write!(f, "{}th", nth + 1),
        }
    }
}

#[cfg(test)]
mod tests;
