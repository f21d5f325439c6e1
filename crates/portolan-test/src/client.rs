//! Objects of the API as plain JSON, through any `kube::Client`.

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::Value;

use crate::kind::Kind;

/// The API of `kind` in `namespace`; in all of them if it is empty.
pub(crate) fn api(client: &Client, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    let resource = resource(kind);
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

fn resource(kind: Kind) -> ApiResource {
    let resource = kind.resource();
    ApiResource {
        group: resource.group.to_owned(),
        version: resource.version.to_owned(),
        api_version: resource.api_version(),
        kind: resource.kind.to_owned(),
        plural: resource.plural.to_owned(),
    }
}

/// The whole object as JSON.
pub(crate) fn to_json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// JSON as an object.
///
/// # Errors
/// If its metadata is malformed.
pub(crate) fn from_json(object: Value) -> Result<DynamicObject, kube::Error> {
    serde_json::from_value(object).map_err(kube::Error::SerdeError)
}

/// Whether the API said that there is no such object (any more), or another one of its name.
pub(crate) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
}

/// Whether the API said that the object is there already.
pub(crate) fn is_there_already(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == "AlreadyExists")
}
