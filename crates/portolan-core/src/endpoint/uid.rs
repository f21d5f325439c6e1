//! Which of all Pods that ever bore a name.

use std::{fmt, sync::Arc};

/// The UID of a Pod (`metadata.uid`).
///
/// Those of Kubernetes are UUIDs, of which 16 bytes are kept and not 36 characters, for there is one for each
/// endpoint. Other sources may have any text. Either way it is displayed as it was given.
///
/// ```
/// use portolan_core::Uid;
///
/// let uid = Uid::from("8c4f1d7e-30a5-4a9c-b3a1-5f6f0e2d9b17");
/// assert_eq!(uid, "8c4f1d7e-30a5-4a9c-b3a1-5f6f0e2d9b17");
/// assert_eq!(uid.to_string(), "8c4f1d7e-30a5-4a9c-b3a1-5f6f0e2d9b17");
/// assert_eq!(Uid::from("whatever it is").to_string(), "whatever it is");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Text);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Text {
    /// Written in one way only, so that equal texts are equal UIDs: see [`parse`].
    Uuid([u8; 16]),
    Other(Arc<str>),
}

/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// The UUID that is written like this, in lower case and with all its hyphens, as Kubernetes does. Any other
/// spelling would not come out again as it went in.
fn parse(text: &str) -> Option<[u8; 16]> {
    let characters: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut number = 0_u128;
    for (at, character) in characters.iter().enumerate() {
        let digit = match (character, HYPHENS.contains(&at)) {
            (b'-', true) => continue,
            (b'0'..=b'9', false) => character - b'0',
            (b'a'..=b'f', false) => character - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(digit);
    }
    Some(number.to_be_bytes())
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(parse(text).map_or_else(|| Text::Other(text.into()), Text::Uuid))
    }
}

impl From<String> for Uid {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Arc<str>> for Uid {
    fn from(text: Arc<str>) -> Self {
        Self(parse(&text).map_or_else(|| Text::Other(text), Text::Uuid))
    }
}

impl PartialEq<str> for Uid {
    fn eq(&self, other: &str) -> bool {
        match &self.0 {
            Text::Uuid(uuid) => parse(other).as_ref() == Some(uuid),
            Text::Other(text) => **text == *other,
        }
    }
}

impl PartialEq<&str> for Uid {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Text::Uuid(uuid) => {
                let number = u128::from_be_bytes(*uuid);
                let group = |digits: u32, from_the_right: u32| {
                    number >> (4 * from_the_right) & ((1 << (4 * digits)) - 1)
                };
                write!(
                    f,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    group(8, 24),
                    group(4, 20),
                    group(4, 16),
                    group(4, 12),
                    group(12, 0),
                )
            }
            Text::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uid({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_uuid_is_kept_small_and_displayed_as_it_was_given(
            text in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ) {
            let uid = Uid::from(text.as_str());
            prop_assert!(matches!(uid.0, Text::Uuid(_)));
            prop_assert_eq!(uid.to_string(), text.clone());
            prop_assert_eq!(&uid, text.as_str());
            prop_assert_eq!(Uid::from(Arc::<str>::from(text)), uid);
        }

        #[test]
        fn any_text_is_displayed_as_it_was_given(text in "[0-9a-fA-F-]{35,37}|.*", other in "[0-9a-f-]{36}|.*") {
            let (uid, another) = (Uid::from(text.as_str()), Uid::from(other.as_str()));
            prop_assert_eq!(uid.to_string(), text.clone());
            prop_assert_eq!(uid == another, text == other);
            prop_assert_eq!(uid == *other, text == other);
        }
    }

    #[test]
    fn another_spelling_of_a_uuid_is_another_uid() {
        let uuid = "8c4f1d7e-30a5-4a9c-b3a1-5f6f0e2d9b17";
        for other in [
            uuid.to_uppercase(),
            uuid.replace('-', ""),
            uuid.replace("7e-3", "-7e3"),
            format!("{{{uuid}}}"),
        ] {
            let uid = Uid::from(other.as_str());
            assert!(matches!(uid.0, Text::Other(_)) && uid != uuid, "{other}");
            assert_eq!(uid.to_string(), other);
        }
    }
}
