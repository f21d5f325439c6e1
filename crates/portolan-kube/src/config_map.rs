//! ConfigMaps, of which one text matters.

use std::{collections::BTreeMap, sync::Arc};

use portolan_core::{SourceError, SourceErrorKind};
use serde::{Deserialize, de::IgnoredAny};

use crate::object::{Meta, Object, Resource, Scope, Selector, null_is_default};

/// `v1` ConfigMap.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireConfigMap {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    data: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    binary_data: BTreeMap<String, IgnoredAny>,
}

impl Object for WireConfigMap {
    const RESOURCE: Resource = Resource {
        group: "",
        plural: "configmaps",
        // One is asked for by its name; a server that does not select sends those of the namespace.
        most: 100_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        Selector::by_name(scope)
    }
}

impl WireConfigMap {
    /// The text under this key, if there is one.
    pub(crate) fn text(mut self, key: &str) -> Result<Option<Arc<str>>, SourceError> {
        if let Some(text) = self.data.remove(key) {
            return Ok(Some(text.into()));
        }
        if self.binary_data.contains_key(key) {
            let message = format!(
                "`{}` of ConfigMap `{}` is no text: it stands in `binaryData`, where `kubectl` puts what is not UTF-8",
                key.escape_debug(),
                self.metadata.name
            );
            return Err(SourceError::new(SourceErrorKind::Corrupt, message));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text(more: Value) -> Result<Option<Arc<str>>, SourceError> {
        let mut object = json!({ "metadata": { "name": "shards" } });
        for (field, value) in more.as_object().unwrap() {
            object[field] = value.clone();
        }
        serde_json::from_value::<WireConfigMap>(object)
            .unwrap()
            .text("map")
    }

    #[test]
    fn a_text_is_there_or_is_not() {
        let there = text(json!({ "data": { "map": "a\nb", "other": "c" } }));
        assert_eq!(there.unwrap().as_deref(), Some("a\nb"));
        assert_eq!(
            text(json!({ "data": { "map": "" } })).unwrap().as_deref(),
            Some("")
        );
        for none in [
            json!({}),
            json!({ "data": null }),
            json!({ "data": { "other": "c" } }),
        ] {
            assert_eq!(text(none).unwrap(), None);
        }
        let error = text(json!({ "binaryData": { "map": "/w==" } })).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Corrupt);
        assert!(
            error.to_string().starts_with("`map` of ConfigMap `shards`"),
            "{error}"
        );
    }
}
