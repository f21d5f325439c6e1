//! The part of an object's metadata that belongs to the server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::json;
use crate::kind::Kind;

use super::{Deletion, StoreError};

/// The letters of generated names; without vowels, so that no words come up.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Fields that a client cannot change.
const OWNED_BY_SERVER: [&str; 6] = [
    "uid",
    "name",
    "namespace",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// `prefix` and five random letters.
pub(super) fn random_name(random: &mut fastrand::Rng, prefix: &str) -> String {
    let suffix = (0..5).filter_map(|_| {
        let letter = NAME_LETTERS.get(random.usize(..NAME_LETTERS.len()));
        letter.map(|letter| char::from(*letter))
    });
    prefix.chars().chain(suffix).collect()
}

/// Fills in what a new object gets from the server.
pub(super) fn stamp_new(
    object: &mut Value,
    kind: Kind,
    namespace: &str,
    clock: &Clock,
    random: &mut fastrand::Rng,
) {
    let resource = kind.resource();
    json::set(object, &["apiVersion"], resource.api_version());
    json::set(object, &["kind"], resource.kind);
    if json::text(object, "/metadata/name").is_empty() {
        let name = random_name(random, json::text(object, "/metadata/generateName"));
        json::set(object, &["metadata", "name"], name);
    }
    if resource.namespaced {
        json::set(object, &["metadata", "namespace"], namespace);
    } else {
        json::remove(object, &["metadata", "namespace"]);
    }
    json::set(object, &["metadata", "uid"], uid(random));
    json::set(object, &["metadata", "creationTimestamp"], clock.stamp());
    json::set(object, &["metadata", "generation"], 1);
    for field in [
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    ] {
        json::remove(object, &["metadata", field]);
    }
}

/// A random UUID (version 4).
fn uid(random: &mut fastrand::Rng) -> String {
    let bits = random.u128(..);
    let bits = (bits & !(0xf << 76) | (0x4 << 76)) & !(0x3 << 62) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    let mut uid = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            uid.push('-');
        }
        uid.push(digit);
    }
    uid
}

pub(super) fn stamp_version(object: &mut Value, version: u64) {
    json::set(
        object,
        &["metadata", "resourceVersion"],
        version.to_string(),
    );
}

/// Restores in `after` what a client cannot change.
pub(super) fn carry_over(before: &Value, after: &mut Value) {
    json::copy_field(before, after, "apiVersion");
    json::copy_field(before, after, "kind");
    let (Some(old), Some(new)) = (before.get("metadata"), after.get_mut("metadata")) else {
        return json::copy_field(before, after, "metadata");
    };
    for field in OWNED_BY_SERVER
        .into_iter()
        .chain(["resourceVersion", "generation"])
    {
        json::copy_field(old, new, field);
    }
    json::remove(new, &["managedFields"]);
}

/// The generation counts changes of what is asked for: of anything but metadata and status.
pub(super) fn bump_generation(before: &Value, after: &mut Value) {
    let asked = |object: &Value| {
        let mut object = object.clone();
        json::remove(&mut object, &["metadata"]);
        json::remove(&mut object, &["status"]);
        object
    };
    if asked(before) != asked(after) {
        let generation = json::integer(before, "/metadata/generation").unwrap_or(0);
        json::set(after, &["metadata", "generation"], generation + 1);
    }
}

/// Whether `after` is a terminating object that has just lost its last finalizer.
pub(super) fn is_released(before: &Value, after: &Value) -> bool {
    after.pointer("/metadata/deletionTimestamp").is_some()
        && !json::items(before, "/metadata/finalizers").is_empty()
        && json::items(after, "/metadata/finalizers").is_empty()
        && json::integer(after, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
}

pub(super) fn check_preconditions(object: &Value, deletion: &Deletion) -> Result<(), StoreError> {
    let fields = [
        ("UID", "/metadata/uid", &deletion.uid),
        (
            "ResourceVersion",
            "/metadata/resourceVersion",
            &deletion.version,
        ),
    ];
    for (field, pointer, asked) in fields {
        let found = json::text(object, pointer);
        if let Some(asked) = asked
            && asked != found
        {
            return Err(StoreError::Precondition {
                field,
                asked: asked.clone(),
                found: found.to_owned(),
            });
        }
    }
    Ok(())
}

/// A write that names a UID is meant for that incarnation of the object only.
pub(super) fn check_uid(before: &Value, after: &Value) -> Result<(), StoreError> {
    let asked = json::text(after, "/metadata/uid");
    let found = json::text(before, "/metadata/uid");
    if asked.is_empty() || asked == found {
        return Ok(());
    }
    Err(StoreError::Precondition {
        field: "UID",
        asked: asked.to_owned(),
        found: found.to_owned(),
    })
}

/// Marks `object` as terminating for `grace`. False if nothing holds it, so that it is to be
/// removed at once. A grace period that runs already can only become shorter.
pub(super) fn mark_terminating(object: &mut Value, grace: Duration, clock: &Clock) -> bool {
    let held = !json::items(object, "/metadata/finalizers").is_empty();
    if grace.is_zero() && !held {
        return false;
    }
    let seconds = grace.as_secs();
    let running = json::integer(object, "/metadata/deletionGracePeriodSeconds");
    if running.is_none_or(|running| i64::try_from(seconds).is_ok_and(|asked| asked < running)) {
        json::set(
            object,
            &["metadata", "deletionTimestamp"],
            clock.stamp_in(grace),
        );
        json::set(
            object,
            &["metadata", "deletionGracePeriodSeconds"],
            json!(seconds),
        );
    }
    true
}
