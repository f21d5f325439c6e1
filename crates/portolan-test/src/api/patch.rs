//! The kinds of patch that the API takes.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// How a PATCH request changes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// RFC 7396: maps are merged, lists replaced.
    Merge,
    /// As merge, but lists of maps are merged by the key of their kind.
    Strategic,
    /// RFC 6902: a list of operations.
    Json,
    /// Server-side apply: creates what is absent. Field owners are not tracked.
    Apply,
}

impl PatchKind {
    pub(crate) fn of(content_type: &str) -> Result<Self, Refusal> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence {
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/json-patch+json" => Ok(Self::Json),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            other => Err(Refusal::unsupported_media_type(other)),
        }
    }

    /// Changes `object` as `patch` says.
    pub(crate) fn apply(self, object: &mut Value, patch: &Value) -> Result<(), Refusal> {
        match self {
            Self::Merge => json_patch::merge(object, patch),
            Self::Strategic | Self::Apply => merge_strategically(object, patch),
            Self::Json => {
                let patch: json_patch::Patch = serde_json::from_value(patch.clone())
                    .map_err(|error| Refusal::bad_request(error.to_string()))?;
                json_patch::patch(object, &patch)
                    .map_err(|error| Refusal::invalid("", "", "patch", &error.to_string()))?;
            }
        }
        Ok(())
    }
}

fn merge_strategically(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if fields.get("$patch").and_then(Value::as_str) == Some("replace") {
        *target = without_directives(fields);
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('$')) {
        match (value, merge_key(name, value)) {
            (Value::Null, _) => {
                object.remove(name);
            }
            (Value::Array(changes), Some(key)) => {
                let list = object.entry(name.clone()).or_insert(Value::Null);
                merge_list(list, changes, key);
            }
            _ => merge_strategically(object.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

/// Merges a list of maps: the element with the same key changes, a new one is added.
fn merge_list(list: &mut Value, changes: &[Value], key: &str) {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for change in changes {
        let place = list
            .iter()
            .position(|element| element.get(key) == change.get(key));
        let delete = change.get("$patch").and_then(Value::as_str) == Some("delete");
        match (place, delete) {
            (Some(place), true) => {
                list.remove(place);
            }
            (Some(place), false) => {
                if let Some(element) = list.get_mut(place) {
                    merge_strategically(element, change);
                }
            }
            (None, true) => {}
            (None, false) => list.push(change.clone()),
        }
    }
}

/// The field that tells the elements of list `name` apart; `None` if the list is replaced whole.
fn merge_key(name: &str, list: &Value) -> Option<&'static str> {
    let first = list.get(0)?;
    Some(match name {
        "conditions" | "addresses" => "type",
        "containers" | "initContainers" | "volumes" | "env" => "name",
        "ports" if first.get("containerPort").is_some() => "containerPort",
        "ports" if first.get("targetPort").is_some() || first.get("nodePort").is_some() => "port",
        "podIPs" => "ip",
        "ownerReferences" => "uid",
        "taints" => "key",
        _ => return None,
    })
}

fn without_directives(fields: &Map<String, Value>) -> Value {
    let kept = fields.iter().filter(|(name, _)| !name.starts_with('$'));
    Value::Object(
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(kind: PatchKind, mut object: Value, patch: Value) -> Value {
        kind.apply(&mut object, &patch).unwrap();
        object
    }

    #[test]
    fn merge_replaces_lists_and_strategic_merges_them_by_key() {
        let pod = json!({"status": {"conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "x"},
        ]}});
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(
            patched(PatchKind::Merge, pod.clone(), patch.clone()),
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        );
        assert_eq!(
            patched(PatchKind::Strategic, pod, patch),
            json!({"status": {"conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": "True", "reason": "x"},
            ]}})
        );
    }

    #[test]
    fn directives_delete_and_replace() {
        let object = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "x": {"y": 1}}});
        let patch = json!({"spec": {
            "containers": [{"name": "a", "$patch": "delete"}],
            "x": {"$patch": "replace", "z": 2},
            "$setElementOrder/containers": [{"name": "b"}],
        }});
        assert_eq!(
            patched(PatchKind::Strategic, object, patch),
            json!({"spec": {"containers": [{"name": "b"}], "x": {"z": 2}}})
        );
    }

    #[test]
    fn json_patch_tests_before_it_changes() {
        let mut object = json!({"spec": {"replicas": 3}});
        let patch = json!([
            {"op": "test", "path": "/spec/replicas", "value": 2},
            {"op": "replace", "path": "/spec/replicas", "value": 4},
        ]);
        assert!(PatchKind::Json.apply(&mut object, &patch).is_err());
        let patch = json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]);
        PatchKind::Json.apply(&mut object, &patch).unwrap();
        assert_eq!(object, json!({"spec": {"replicas": 4}}));
    }
}
