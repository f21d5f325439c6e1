//! What controllers ask of a Pod, and how they make one.

use serde_json::{Value, json};

use crate::json;

use super::ownership;

/// Whether the Pod's condition Ready is true.
pub(super) fn is_ready(pod: &Value) -> bool {
    json::items(pod, "/status/conditions")
        .iter()
        .any(|condition| {
            json::text(condition, "/type") == "Ready" && json::text(condition, "/status") == "True"
        })
}

/// Whether the Pod is being deleted.
pub(super) fn is_terminating(pod: &Value) -> bool {
    !json::text(pod, "/metadata/deletionTimestamp").is_empty()
}

/// Whether the Pod has ended for good.
pub(super) fn is_over(pod: &Value) -> bool {
    matches!(json::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// A Pod of `workload` from its template `{metadata, spec}`.
pub(super) fn from_template(workload: &Value, template: &Value, name: &str) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": name,
            "namespace": json::text(workload, "/metadata/namespace"),
            "ownerReferences": [ownership::reference(workload)],
        },
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    });
    for field in ["labels", "annotations"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            json::set(&mut pod, &["metadata", field], value.clone());
        }
    }
    pod
}
