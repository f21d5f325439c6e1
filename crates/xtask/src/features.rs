//! `cargo xtask features`: no feature of a library needs another one to compile.

use std::process::ExitCode;

use serde_json::Value;

use crate::{
    outcome::{Failure, cargo, must_succeed, say},
    packages::packages,
};

/// Checks each library crate with no feature, with each one alone, and with all together.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    for library in packages()?.iter().filter_map(Library::of) {
        library.check(&["--no-default-features"])?;
        for feature in &library.features {
            library.check(&["--no-default-features", "--features", feature])?;
        }
        library.check(&["--all-features"])?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Library<'a> {
    name: &'a str,
    features: Vec<&'a str>,
}

impl<'a> Library<'a> {
    /// `None` for a package that is not published: nobody chooses features of it.
    fn of(package: &'a Value) -> Option<Self> {
        // `publish = false` comes as an empty list of registries, the default as null.
        package.get("publish")?.as_null()?;
        let features = package.get("features")?.as_object()?.keys();
        Some(Self {
            name: package.get("name")?.as_str()?,
            features: features
                .map(String::as_str)
                .filter(|name| *name != "default")
                .collect(),
        })
    }

    fn check(&self, features: &[&str]) -> Result<(), Failure> {
        say(format_args!(
            "checking {} {}",
            self.name,
            features.join(" ")
        ));
        must_succeed(
            cargo()
                .args(["check", "--quiet", "--package", self.name])
                .args(features),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_published_packages_have_features_to_choose() {
        let features = json!({ "default": ["http"], "http": [], "tls": [] });
        let published = json!({ "name": "a", "publish": null, "features": features });
        assert_eq!(Library::of(&published).unwrap().features, ["http", "tls"]);
        let private = json!({ "name": "b", "publish": [], "features": features });
        assert!(Library::of(&private).is_none());
    }
}
