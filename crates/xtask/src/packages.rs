//! What cargo says about the packages of the workspace.

use std::process::Stdio;

use serde_json::Value;

use crate::outcome::{Doing, Failure, cargo, succeeded};

/// The packages, as `cargo metadata` describes them.
pub(crate) fn packages() -> Result<Vec<Value>, Failure> {
    let mut metadata = cargo();
    metadata
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .stderr(Stdio::inherit());
    let output = metadata.output().doing("run cargo metadata")?;
    succeeded(output.status, &metadata)?;
    let metadata: Value = serde_json::from_slice(&output.stdout).doing("read cargo's metadata")?;
    Ok(metadata
        .get("packages")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default())
}

/// The strings of an array that may be missing.
pub(crate) fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let array = value.get(key).and_then(Value::as_array);
    array
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
