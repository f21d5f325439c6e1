//! Lengths of time, as text.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time: `250ms`, `2s`, `1m30s`.
///
/// Whole numbers with their units, the greater first. That is what Go, Kubernetes, humantime and jiff read as well; and
/// unlike all that one of those reads, it can be said by a pattern, so that an editor knows what will be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub(super) struct Text(pub(super) Duration);

/// The units, the greater first, in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// So many digits a number may have: more than anybody waits in any unit, and nothing overflows.
const DIGITS: usize = 9;

impl TryFrom<Cow<'_, str>> for Text {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Self, String> {
        parse(&text).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no length of time: whole numbers of up to {DIGITS} digits with a unit (h, m, s, ms, us, \
                 ns), the greater first, as in 250ms, 2s or 1m30s"
            )
        })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut units, mut sum) = (text, UNITS.iter(), Duration::ZERO);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        if number.len() > DIGITS {
            return None;
        }
        // Only units that are less than the one before are left.
        let (_, nanos) = units.find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        // Nine digits times an hour: below 2^72, so in two halves.
        let all = u128::from(number) * u128::from(*nanos);
        let seconds = u64::try_from(all / 1_000_000_000).ok()?;
        sum += Duration::new(seconds, (all % 1_000_000_000) as u32);
        rest = after;
    }
    Some(sum)
}

/// What is such, from the beginning on, and the rest.
fn split(text: &str, such: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !such(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, nanos) in UNITS {
            let (number, left) = (rest / u128::from(nanos), rest % u128::from(nanos));
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
            rest = left;
        }
        Ok(())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.to_string()
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let numbers = UNITS.map(|(unit, _)| format!("([0-9]{{1,{DIGITS}}}{unit})?"));
        json_schema!({
            "description": "A length of time: whole numbers with a unit (h, m, s, ms, us, ns), the greater first.",
            "type": "string",
            "pattern": format!("^{}$", numbers.concat()),
            "minLength": 2,
            "examples": ["250ms", "2s", "1m30s"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        Text::try_from(Cow::Borrowed(text)).ok().map(|text| text.0)
    }

    #[test]
    fn what_is_read() {
        let ms = Duration::from_millis;
        assert_eq!(read("250ms"), Some(ms(250)));
        assert_eq!(read("2s"), Some(ms(2_000)));
        assert_eq!(read("1m30s"), Some(ms(90_000)));
        assert_eq!(read("1h5ns"), Some(ms(3_600_000) + Duration::from_nanos(5)));
        assert_eq!(read("0s"), Some(Duration::ZERO));
        assert!(read("999999999h999999999m").is_some());
        for text in [
            "",
            "s",
            "2",
            "2 s",
            " 2s",
            "2s ",
            "-2s",
            "+2s",
            "1.5s",
            "1s1m",
            "1s1s",
            "2sec",
            "2S",
            "1234567890s",
            "٢s",
            "2µs",
            "ms2",
            "2s3",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_written_as_it_is_read(nanos in any::<u64>()) {
            let written = Text(Duration::from_nanos(nanos)).to_string();
            prop_assert_eq!(read(&written), Some(Duration::from_nanos(nanos)));
        }

        #[test]
        fn nothing_panics(text in "\\PC*", near in "[0-9hmsun .]{0,24}") {
            let _ = (read(&text), read(&near));
        }
    }
}
