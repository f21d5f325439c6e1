//! `cargo xtask examples`: every example runs to its end, by itself.

use std::process::{ExitCode, Stdio};

use serde_json::Value;

use crate::{
    outcome::{Failure, cargo, must_succeed, say},
    packages::{packages, strings},
};

/// Runs the examples of all packages as the README says, but with nobody at the terminal.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let packages = packages()?;
    let targets = packages
        .iter()
        .filter_map(|package| package.get("targets")?.as_array())
        .flatten();
    let mut examples: Vec<Example<'_>> = targets.filter_map(Example::of).collect();
    // The one that is the front door must work before the others are of interest.
    examples.sort_by_key(|example| (example.name != "quickstart", example.name));
    if examples.is_empty() {
        return Err(Failure::new("there are no examples"));
    }
    for example in examples {
        example.run()?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Example<'a> {
    name: &'a str,
    features: String,
}

impl<'a> Example<'a> {
    /// `None` for a target of another kind.
    fn of(target: &'a Value) -> Option<Self> {
        strings(target, "kind").contains(&"example").then_some(())?;
        let features = strings(target, "required-features").join(",");
        Some(Self {
            name: target.get("name")?.as_str()?,
            features,
        })
    }

    fn run(&self) -> Result<(), Failure> {
        say(format_args!("running example {}", self.name));
        let mut run = cargo();
        run.args(["run", "--quiet", "--release", "--example", self.name])
            .stdin(Stdio::null());
        if !self.features.is_empty() {
            run.args(["--features", &self.features]);
        }
        must_succeed(&mut run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_examples_among_targets() {
        let example = json!({ "name": "e", "kind": ["example"], "required-features": ["x", "y"] });
        let example = Example::of(&example).unwrap();
        assert_eq!((example.name, example.features.as_str()), ("e", "x,y"));
        assert!(Example::of(&json!({ "name": "l", "kind": ["lib"] })).is_none());
    }
}
