//! Owner references: what belongs to what.

use serde_json::{Value, json};

use crate::json;

/// The reference that a controller leaves on what it makes for `owner`.
pub(super) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": json::text(owner, "/apiVersion"),
        "kind": json::text(owner, "/kind"),
        "name": json::text(owner, "/metadata/name"),
        "uid": json::text(owner, "/metadata/uid"),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Whether `owner` made `object`.
pub(super) fn owns(owner: &Value, object: &Value) -> bool {
    let uid = json::text(owner, "/metadata/uid");
    json::items(object, "/metadata/ownerReferences")
        .iter()
        .any(|reference| {
            json::text(reference, "/uid") == uid && json::flag(reference, "/controller")
        })
}
