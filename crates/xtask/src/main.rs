//! The chores of the repository, as `cargo xtask CHORE`.
//!
//! - `real`: the scenario suite against a real Kubernetes control plane ([`real`]).
//! - `features`: every feature of every library, alone and all together ([`features`]).
//! - `examples`: every example, to its end ([`examples`]).

mod examples;
mod features;
mod outcome;
mod packages;
mod real;

use std::{env, ffi::OsString, process::ExitCode};

use outcome::{Failure, say};

const USAGE: &str = "\
cargo xtask real [--build-only] [--keep] [--release] [-- ARGUMENTS OF THE TESTS]
    Builds etcd, kube-apiserver and kube-controller-manager at their pinned versions
    (cached), and runs the scenario suite on them in a network namespace of its own.
    --build-only  stop when the control plane is built
    --keep        keep the components' logs when the tests pass, too
    --release     optimise, for figures that mean something
    for example:  cargo xtask real -- rolling --nocapture

cargo xtask features
    Checks every library crate without features, with each alone, and with all.

cargo xtask examples
    Runs every example, which must need nothing and end by itself.";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let chore = arguments.next().unwrap_or_default();
    run(&chore.to_string_lossy(), arguments.collect()).unwrap_or_else(|failure| {
        say(format_args!("error: {failure}"));
        ExitCode::FAILURE
    })
}

fn run(chore: &str, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    match chore {
        "real" => real::run(arguments),
        real::INSIDE => real::run_inside(arguments),
        "features" => features::run(),
        "examples" => examples::run(),
        "help" | "--help" | "-h" => {
            say(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        "" => Err(Failure::new(format_args!("no chore named\n\n{USAGE}"))),
        other => Err(Failure::new(format_args!(
            "unknown chore `{other}`\n\n{USAGE}"
        ))),
    }
}
