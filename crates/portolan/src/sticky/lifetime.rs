//! How long a token is good for, by clocks that may be wrong.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::BuildError;

/// How long a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    Limited(Duration),
    Endless,
}

/// When a token was signed: in seconds since 1970, which is all that replicas of a program have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What becomes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It is good for a good while yet.
    Young,
    /// It is good, and to be replaced.
    Old,
    /// It is none any more.
    Over,
}

const DAY: Duration = Duration::from_secs(86_400);

/// How far a token may be ahead of the clock: as far as clocks are wrong by (a time zone, an hour of summer), and no further.
const AHEAD: Duration = DAY;

impl Lifetime {
    /// Twice as long as a client may be silent for certain, for tokens are replaced from half of it on; so who comes once
    /// a day keeps its session, as with the load balancers of clouds.
    pub(super) const DEFAULT: Duration = DAY.saturating_mul(2);

    /// The lifetime that was set, or else one that fits how long the cookie is kept for, where that was set.
    pub(super) fn of(set: Option<Self>, kept: Option<Duration>) -> Result<Self, BuildError> {
        let refuse = |lifetime, expected| {
            Err(BuildError::Setting {
                setting: "sticky.lifetime",
                value: format!("{lifetime:?}"),
                expected,
            })
        };
        match (set, kept) {
            (Some(Self::Limited(lifetime)), _) if lifetime.as_secs() == 0 => {
                refuse(lifetime, "expected a second or more")
            }
            (Some(Self::Limited(lifetime)), Some(kept)) if kept > lifetime => refuse(
                lifetime,
                "expected no less than the cookie's `max_age`, or browsers keep what is over",
            ),
            (Some(lifetime), _) => Ok(lifetime),
            (None, kept) => Ok(Self::Limited(kept.unwrap_or(Self::DEFAULT))),
        }
    }

    /// What becomes of a token that was signed then.
    pub(super) fn age(self, signed: Moment, now: Moment) -> Age {
        let Self::Limited(lifetime) = self else {
            return Age::Young;
        };
        let lifetime = lifetime.as_secs();
        let age = now.0.saturating_sub(signed.0);
        let ahead = signed.0.saturating_sub(now.0);
        if age >= lifetime || ahead > AHEAD.as_secs() {
            return Age::Over;
        }
        // One that is ahead would be good for longer than others, by as much.
        match age.max(ahead) > lifetime / 2 {
            true => Age::Old,
            false => Age::Young,
        }
    }
}

impl Moment {
    /// As a token has it.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        digits.parse().ok().map(Self)
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        // A clock that says less has never been set.
        Self(since.map_or(0, |since| since.as_secs()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Lifetime = Lifetime::Limited(Duration::from_secs(3600));

    fn age(signed: u64, now: u64) -> Age {
        HOUR.age(Moment(signed), Moment(now))
    }

    #[test]
    fn a_token_is_replaced_past_half_its_life_and_then_it_ends() {
        let signed = 1_000_000;
        assert_eq!(age(signed, signed), Age::Young);
        assert_eq!(age(signed, signed + 1800), Age::Young);
        assert_eq!(age(signed, signed + 1801), Age::Old);
        assert_eq!(age(signed, signed + 3599), Age::Old);
        assert_eq!(age(signed, signed + 3600), Age::Over);
        let endless = |now| Lifetime::Endless.age(Moment(signed), Moment(now));
        assert_eq!([endless(0), endless(u64::MAX)], [Age::Young; 2]);
    }

    #[test]
    fn a_clock_that_is_put_back_takes_no_session_away() {
        let signed = 1_000_000;
        // A few seconds are between any two machines.
        assert_eq!(age(signed, signed - 5), Age::Young);
        assert_eq!(age(signed, signed - 1801), Age::Old);
        assert_eq!(age(signed, signed - 86_400), Age::Old);
        assert_eq!(age(signed, signed - 86_401), Age::Over);
        assert_eq!(Moment::from(SystemTime::UNIX_EPOCH - DAY), Moment(0));
    }

    #[test]
    fn a_cookie_is_kept_for_no_longer_than_its_token_is_good_for() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let limited = |of| Some(Lifetime::Limited(of));
        let of = |set, kept| Lifetime::of(set, kept).ok();
        assert_eq!(of(None, None), limited(hours(48)));
        assert_eq!(of(None, Some(hours(1))), limited(hours(1)));
        assert_eq!(of(None, Some(hours(900))), limited(hours(900)));
        assert_eq!(of(limited(hours(2)), Some(hours(2))), limited(hours(2)));
        assert_eq!(of(limited(hours(2)), Some(hours(3))), None);
        let endless = Some(Lifetime::Endless);
        assert_eq!(of(endless, Some(hours(3))), endless);
        assert_eq!(of(limited(Duration::from_millis(999)), None), None);
    }

    proptest! {
        /// However clocks jump, each time is one or the other, and the times at which a token is good are one stretch.
        #[test]
        fn a_token_is_good_for_its_life_and_a_day_at_most(
            signed in any::<u64>(), now in any::<u64>(), lifetime in 1..10_000_000_u64,
        ) {
            let of = Lifetime::Limited(Duration::from_secs(lifetime));
            for now in [now, signed.saturating_add(now % 200_000), signed.saturating_sub(now % 200_000)] {
                let is_over = of.age(Moment(signed), Moment(now)) == Age::Over;
                let (signed, now, lifetime) = (i128::from(signed), i128::from(now), i128::from(lifetime));
                prop_assert_eq!(!is_over, signed - 86_400 <= now && now < signed + lifetime);
            }
        }
    }
}
