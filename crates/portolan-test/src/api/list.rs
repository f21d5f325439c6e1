//! Lists: whole, in pages, and as of a resource version.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::json;
use crate::store::{Key, Store, StoreError};

use super::query::{Continue, VersionMatch};
use super::refusal::Refusal;
use super::route::ResourceRequest;

/// Answers a list.
pub(crate) fn list(store: &Store, request: &ResourceRequest) -> Result<Value, Refusal> {
    let query = &request.query;
    let resource = request.kind.resource();
    let at = match (&query.continued, query.version, query.version_match) {
        (Some(token), ..) => Some(token.version),
        (None, Some(version), Some(VersionMatch::Exact)) => Some(version),
        _ => None,
    };
    let listing = store
        .list(request.kind, at)
        .map_err(|error| expired_as_list(error, request))?;
    if let (None, Some(asked)) = (at, query.version)
        && asked > listing.version
    {
        let newest = listing.version;
        let future = StoreError::Future { asked, newest };
        return Err(Refusal::from_store(future, &resource, ""));
    }

    let after = query.continued.as_ref().map(|token| &token.after);
    let mut found = listing.objects.iter().filter(|(key, object)| {
        after.is_none_or(|after| key > after)
            && (request.namespace.is_empty() || key.namespace == request.namespace)
            && query.selection.matches(object)
    });
    let limit = query.limit.unwrap_or(usize::MAX);
    let page: Vec<&(Key, Arc<Value>)> = found.by_ref().take(limit).collect();
    let remaining = found.count();

    let mut metadata = json!({"resourceVersion": listing.version.to_string()});
    if let (Some((last, _)), true) = (page.last(), remaining > 0) {
        let token = Continue {
            version: listing.version,
            after: last.clone(),
        };
        json::set(&mut metadata, &["continue"], token.to_token());
        json::set(&mut metadata, &["remainingItemCount"], remaining);
    }
    let items: Vec<Value> = page
        .into_iter()
        .map(|(_, object)| as_item(object))
        .collect();
    Ok(json!({
        "kind": format!("{}List", resource.kind),
        "apiVersion": resource.api_version(),
        "metadata": metadata,
        "items": items,
    }))
}

/// The items of a list do not repeat their kind.
fn as_item(object: &Value) -> Value {
    let mut item = object.clone();
    json::remove(&mut item, &["kind"]);
    json::remove(&mut item, &["apiVersion"]);
    item
}

fn expired_as_list(error: StoreError, request: &ResourceRequest) -> Refusal {
    match (&error, &request.query.continued) {
        (StoreError::Expired { .. }, Some(_)) => Refusal::expired(
            "The provided continue parameter is too old to display a consistent list result. \
             You can start a new list without the continue parameter.",
        ),
        (StoreError::Expired { .. }, None) => {
            Refusal::expired("The resourceVersion for the provided list is too old.")
        }
        _ => Refusal::from_store(error, &request.kind.resource(), ""),
    }
}
