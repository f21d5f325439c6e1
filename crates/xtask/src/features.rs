//! `cargo xtask features`: no feature of a library needs another one to compile.

use std::process::{ExitCode, Stdio};

use serde_json::Value;

use crate::outcome::{Doing, Failure, cargo, must_succeed, say};

/// Checks each library crate with no feature, with each one alone, and with all together.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    for library in libraries()? {
        check(&library.name, &["--no-default-features"])?;
        for feature in &library.features {
            check(
                &library.name,
                &["--no-default-features", "--features", feature],
            )?;
        }
        check(&library.name, &["--all-features"])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(package: &str, features: &[&str]) -> Result<(), Failure> {
    say(format_args!("checking {package} {}", features.join(" ")));
    must_succeed(
        cargo()
            .args(["check", "--quiet", "--package", package])
            .args(features),
    )
}

struct Library {
    name: String,
    features: Vec<String>,
}

/// The workspace's crates that are published, which are the ones users choose features of.
fn libraries() -> Result<Vec<Library>, Failure> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .stderr(Stdio::inherit())
        .output()
        .doing("run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).doing("read cargo's metadata")?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    Ok(packages.into_iter().flatten().filter_map(library).collect())
}

/// `None` for a package that is not published.
fn library(package: &Value) -> Option<Library> {
    // `publish = false` comes as an empty list of registries, the default as null.
    package.get("publish")?.as_null()?;
    let features = package.get("features")?.as_object()?;
    Some(Library {
        name: package.get("name")?.as_str()?.to_owned(),
        features: features
            .keys()
            .filter(|name| *name != "default")
            .cloned()
            .collect(),
    })
}
