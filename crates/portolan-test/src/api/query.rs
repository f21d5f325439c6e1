//! The query parameters of a request.

use std::time::Duration;

use crate::selector::{FieldSelector, LabelSelector};
use crate::store::Key;

use super::refusal::Refusal;

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    pub(crate) fn matches(&self, object: &serde_json::Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// How a list takes its resource version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// The parameters of a request that this server understands; others are ignored, as the real
/// server does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) watch: bool,
    pub(crate) selection: Selection,
    /// The text of the label selector, for the records.
    pub(crate) label_text: String,
    /// Unset and zero are different: the newest state, or any.
    pub(crate) version: Option<u64>,
    pub(crate) version_match: Option<VersionMatch>,
    pub(crate) limit: Option<usize>,
    pub(crate) continued: Option<Continue>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: Option<bool>,
    pub(crate) dry_run: bool,
    pub(crate) grace: Option<Duration>,
}

/// Where the next page of a list starts: after `key`, in the state at `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continue {
    pub(crate) version: u64,
    pub(crate) after: Key,
}

impl Continue {
    /// The opaque token of the API.
    pub(crate) fn to_token(&self) -> String {
        format!(
            "{}.{}.{}",
            self.version, self.after.namespace, self.after.name
        )
    }

    fn parse(token: &str) -> Option<Self> {
        let mut parts = token.splitn(3, '.');
        let version = parts.next()?.parse().ok()?;
        // A namespace has no dots in its name; the object may.
        let after = Key::new(parts.next()?, parts.next()?);
        Some(Self { version, after })
    }
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            query.read(&name, &value)?;
        }
        Ok(query)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| Refusal::bad_request(format!("{name}: invalid value {value:?}")))
        };
        let flag = matches!(value, "true" | "1" | "");
        match name {
            "watch" => self.watch = flag,
            "allowWatchBookmarks" => self.bookmarks = flag,
            "sendInitialEvents" => self.initial_events = Some(flag),
            "labelSelector" => {
                self.selection.labels =
                    LabelSelector::parse(value).map_err(Refusal::bad_request)?;
                value.clone_into(&mut self.label_text);
            }
            "fieldSelector" => {
                self.selection.fields =
                    FieldSelector::parse(value).map_err(Refusal::bad_request)?;
            }
            "resourceVersion" if !value.is_empty() => self.version = Some(number()?),
            "resourceVersionMatch" => {
                self.version_match = match value {
                    "Exact" => Some(VersionMatch::Exact),
                    "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                    _ => {
                        let why = format!("resourceVersionMatch: Unsupported value: {value:?}");
                        return Err(Refusal::bad_request(why));
                    }
                };
            }
            "limit" => self.limit = usize::try_from(number()?).ok().filter(|limit| *limit > 0),
            "continue" if !value.is_empty() => {
                let token = Continue::parse(value).ok_or_else(|| {
                    Refusal::bad_request(
                        "continue key is not valid: it was not given by this server",
                    )
                })?;
                self.continued = Some(token);
            }
            "timeoutSeconds" => self.timeout = Some(Duration::from_secs(number()?)),
            "gracePeriodSeconds" => self.grace = Some(Duration::from_secs(number()?)),
            "dryRun" => self.dry_run = value == "All",
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continue_token_survives_the_way_to_the_client_and_back() {
        let token = Continue {
            version: 7,
            after: Key::new("shop", "db.with.dots"),
        };
        assert_eq!(Continue::parse(&token.to_token()), Some(token));
        assert_eq!(Continue::parse("nonsense"), None);
    }

    #[test]
    fn unset_and_zero_versions_differ() {
        assert_eq!(Query::parse("resourceVersion=").unwrap().version, None);
        assert_eq!(Query::parse("resourceVersion=0").unwrap().version, Some(0));
        assert!(Query::parse("resourceVersion=x").is_err());
        assert!(Query::parse("limit=-1").is_err());
    }
}
