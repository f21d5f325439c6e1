//! Revisions of a workload's template.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;
use crate::store::Key;

use super::{Controllers, ownership};

/// The letters of hashes in names: no vowels, as in Kubernetes.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for a template: the same for the same text.
pub(super) fn template_hash(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    let mut rest = hasher.finish();
    let base = LETTERS.len() as u64;
    let letters = std::iter::from_fn(|| {
        let letter = usize::try_from(rest % base)
            .ok()
            .and_then(|i| LETTERS.get(i));
        rest /= base;
        letter.map(|letter| char::from(*letter))
    });
    letters.take(10).collect()
}

/// The name of the revision that stands for the present template of `set`; made if it is new.
pub(super) fn ensure(controllers: &Controllers, set: &Value) -> String {
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let name = format!(
        "{}-{}",
        json::text(set, "/metadata/name"),
        template_hash(&template)
    );
    let namespace = json::text(set, "/metadata/namespace");
    let key = Key::new(namespace, name.clone());
    if controllers
        .store
        .get(Kind::ControllerRevision, &key)
        .is_none()
    {
        let revision = controllers
            .store
            .objects(Kind::ControllerRevision)
            .iter()
            .filter(|revision| ownership::owns(set, revision))
            .count();
        let object = json!({
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": set.pointer("/spec/selector/matchLabels"),
                "ownerReferences": [ownership::reference(set)],
            },
            "data": {"spec": {"template": template}},
            "revision": revision + 1,
        });
        controllers.create(Kind::ControllerRevision, object);
    }
    name
}

/// The template of a revision of `set`.
pub(super) fn template(controllers: &Controllers, set: &Value, revision: &str) -> Option<Value> {
    let key = Key::new(json::text(set, "/metadata/namespace"), revision);
    let revision = controllers.store.get(Kind::ControllerRevision, &key)?;
    revision.pointer("/data/spec/template").cloned()
}
