//! Reading and writing plain JSON objects.
//!
//! The cluster keeps objects as [`serde_json::Value`], as it stores fields that it knows nothing
//! about. These helpers read a field by its JSON pointer (RFC 6901) and take an absent field for
//! an empty one, which is what Kubernetes means by it.

use serde_json::{Map, Value};

/// The text at `pointer`, or `""`.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The integer at `pointer`.
pub(crate) fn integer(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// Whether the field at `pointer` is `true`.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer) == Some(&Value::Bool(true))
}

/// The elements of the array at `pointer`, or none.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The text entries of the object at `pointer` (labels, annotations, a selector).
pub(crate) fn entries<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// The value of the label `key`.
pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .pointer("/metadata/labels")?
        .get(key)
        .and_then(Value::as_str)
}

/// The value of the annotation `key`.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .pointer("/metadata/annotations")?
        .get(key)
        .and_then(Value::as_str)
}

/// Sets the field that `path` leads to, making the objects on the way.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    match path {
        [] => *value = new.into(),
        [first, rest @ ..] => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            if let Some(map) = value.as_object_mut() {
                let field = map.entry((*first).to_owned()).or_insert(Value::Null);
                set(field, rest, new);
            }
        }
    }
}

/// Sets the field that `path` leads to unless it has a value already.
pub(crate) fn default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let pointer: String = path.iter().flat_map(|step| ["/", step]).collect();
    if value.pointer(&pointer).is_none_or(Value::is_null) {
        set(value, path, new);
    }
}

/// Removes the field that `path` leads to.
pub(crate) fn remove(value: &mut Value, path: &[&str]) {
    match path {
        [] => {}
        [last] => {
            if let Some(map) = value.as_object_mut() {
                map.remove(*last);
            }
        }
        [first, rest @ ..] => {
            if let Some(field) = value.get_mut(*first) {
                remove(field, rest);
            }
        }
    }
}

/// Copies field `key` of `from`, or its absence, to `to`.
pub(crate) fn copy_field(from: &Value, to: &mut Value, key: &str) {
    match from.get(key) {
        Some(field) => set(to, &[key], field.clone()),
        None => remove(to, &[key]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_absent_field_reads_as_empty() {
        let pod = json!({"metadata": {"name": "db-0", "labels": {"app": "db"}}});
        assert_eq!(text(&pod, "/metadata/name"), "db-0");
        assert_eq!(text(&pod, "/spec/nodeName"), "");
        assert!(items(&pod, "/status/conditions").is_empty());
        assert_eq!(label(&pod, "app"), Some("db"));
        assert_eq!(annotation(&pod, "app"), None);
    }

    #[test]
    fn setting_makes_the_way_and_defaulting_keeps_what_is_there() {
        let mut object = json!({"spec": null});
        set(&mut object, &["spec", "type"], "ClusterIP");
        default(&mut object, &["spec", "type"], "NodePort");
        default(&mut object, &["spec", "clusterIP"], "None");
        assert_eq!(
            object,
            json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}})
        );
        remove(&mut object, &["spec", "type"]);
        remove(&mut object, &["status", "phase"]);
        assert_eq!(object, json!({"spec": {"clusterIP": "None"}}));
    }
}
