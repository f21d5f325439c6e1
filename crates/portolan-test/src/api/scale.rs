//! The subresource `scale`: the number of replicas, without the rest of the workload.

use serde_json::{Value, json};

use crate::json;

use super::refusal::Refusal;

/// The `autoscaling/v1` Scale of a workload.
pub(crate) fn show(workload: &Value) -> Value {
    let selector = json::entries(workload, "/spec/selector/matchLabels")
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": json::text(workload, "/metadata/name"),
            "namespace": json::text(workload, "/metadata/namespace"),
            "uid": json::text(workload, "/metadata/uid"),
            "resourceVersion": json::text(workload, "/metadata/resourceVersion"),
            "creationTimestamp": json::text(workload, "/metadata/creationTimestamp"),
        },
        "spec": {"replicas": json::integer(workload, "/spec/replicas").unwrap_or(0)},
        "status": {
            "replicas": json::integer(workload, "/status/replicas").unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}

/// Sets the replicas of a workload as `scale` says.
pub(crate) fn write(workload: &mut Value, scale: &Value) -> Result<(), Refusal> {
    let replicas = json::integer(scale, "/spec/replicas").unwrap_or(0);
    if replicas < 0 {
        let name = json::text(workload, "/metadata/name");
        let why = "Invalid value: must be greater than or equal to 0";
        return Err(Refusal::invalid("Scale", name, "spec.replicas", why));
    }
    match json::text(scale, "/metadata/resourceVersion") {
        "" => {}
        version => json::set(workload, &["metadata", "resourceVersion"], version),
    }
    json::set(workload, &["spec", "replicas"], replicas);
    Ok(())
}
