//! The garbage collector: what belonged to a deleted object goes, and so does what was in a
//! deleted namespace.

use std::collections::HashSet;

use serde_json::Value;

use crate::json;
use crate::kind::Kind;
use crate::store::{Deletion, Key, StoreError};

use super::Controllers;
use super::pods::is_terminating;

pub(super) fn collect(controllers: &Controllers) {
    collect_orphans(controllers);
    for namespace in controllers.store.objects(Kind::Namespace) {
        if is_terminating(&namespace) {
            empty(controllers, &namespace);
        }
    }
}

/// Deletes the objects whose owners are all gone.
fn collect_orphans(controllers: &Controllers) {
    let alive: HashSet<String> = Kind::ALL
        .into_iter()
        .flat_map(|kind| controllers.store.objects(kind))
        .map(|object| json::text(&object, "/metadata/uid").to_owned())
        .collect();
    let gone = |reference: &Value| {
        // An owner of a kind that is not served here cannot be judged.
        Kind::named(json::text(reference, "/kind")).is_some()
            && !alive.contains(json::text(reference, "/uid"))
    };
    for kind in Kind::ALL {
        for object in controllers.store.objects(kind) {
            let owners = json::items(&object, "/metadata/ownerReferences");
            if !owners.is_empty() && owners.iter().all(gone) {
                delete(controllers, kind, &object);
            }
        }
    }
}

/// Deletes what is in a namespace, and lets the namespace go once it is empty.
fn empty(controllers: &Controllers, namespace: &Value) {
    let name = json::text(namespace, "/metadata/name");
    let contents = || {
        Kind::ALL.into_iter().flat_map(|kind| {
            let mut objects = controllers.store.objects(kind);
            objects.retain(|object| json::text(object, "/metadata/namespace") == name);
            objects.into_iter().map(move |object| (kind, object))
        })
    };
    for (kind, object) in contents() {
        delete(controllers, kind, &object);
    }
    let left = contents().count();
    let key = Key::of(namespace);
    let written = controllers
        .store
        .update(Kind::Namespace, &key, |namespace| {
            json::set(namespace, &["status", "phase"], "Terminating");
            if left == 0 {
                json::remove(namespace, &["metadata", "finalizers"]);
            }
            Ok::<(), StoreError>(())
        });
    if let Err(error) = written {
        tracing::debug!(%error, name, "the namespace went by itself");
    }
}

fn delete(controllers: &Controllers, kind: Kind, object: &Value) {
    if kind == Kind::Pod {
        if !is_terminating(object) {
            controllers.delete_pod(object);
        }
        return;
    }
    let deletion = Deletion {
        uid: Some(json::text(object, "/metadata/uid").to_owned()),
        ..Deletion::default()
    };
    // If it is gone by itself, so much the better.
    controllers
        .store
        .delete(kind, &Key::of(object), &deletion)
        .ok();
}
