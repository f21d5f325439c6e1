//! `cargo xtask real`: the scenario suite against the real thing.
//!
//! The control plane's programs are built from their Go modules ([`control_plane`]), the
//! tests with cargo, both while there is a network. The tests then run in namespaces of
//! their own ([`namespace`]), where any address of a Pod is local and nothing leaves, and
//! start the programs themselves.

mod control_plane;
mod logs;
mod namespace;
mod needs;
mod run_directory;

use std::{
    env,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
};

use serde_json::Value;

use self::{namespace::Isolation, run_directory::RunDirectory};
use crate::outcome::{Doing, Failure, cargo, say, succeeded, workspace};

pub(crate) use namespace::{INSIDE, run_inside};

/// Builds what is not built yet and runs the tests; the result is theirs.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let options = Options::parse(arguments)?;
    if options.build_only {
        needs::to_build()?;
        control_plane::build()?;
        return Ok(ExitCode::SUCCESS);
    }
    let isolation = needs::to_run()?;
    let programs = control_plane::build()?;
    let tests = build_tests(&options)?;
    run_tests(isolation, &programs, &tests, &options)
}

fn run_tests(
    isolation: Isolation,
    programs: &[PathBuf],
    tests: &Path,
    options: &Options,
) -> Result<ExitCode, Failure> {
    let directory = RunDirectory::create()?;
    let programs = env::join_paths(programs).doing("list the folders of the programs")?;
    let mut inside = isolation.enter(&directory)?;
    inside
        .arg(tests)
        // One after another: they time what they see, on machines of two cores.
        .arg("--test-threads=1")
        .args(&options.for_tests)
        .current_dir(workspace().join("tests"))
        .env("PORTOLAN_REAL_BIN", programs)
        .env("PORTOLAN_REAL_LOGS", directory.logs())
        .env("TMPDIR", directory.state());
    let status = namespace::run(&mut inside)?;
    if status.success() && !options.keep {
        directory.remove()?;
    } else {
        say(format_args!(
            "logs, until the next run: {}",
            directory.logs().display()
        ));
    }
    Ok(exit_code(status))
}

/// The exit code of a program, to be passed on; as a shell's for one ended by a signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Compiles the suite and returns its executable.
fn build_tests(options: &Options) -> Result<PathBuf, Failure> {
    say("building the scenario suite");
    let mut build = cargo();
    build
        .args([
            "test",
            "--no-run",
            "--package",
            "portolan-scenarios",
            "--features",
            "real",
        ])
        .args([
            "--test",
            "real",
            "--message-format",
            "json-render-diagnostics",
        ])
        .args(options.release.then_some("--release"))
        .stderr(Stdio::inherit());
    let output = build.output().doing("run cargo")?;
    succeeded(output.status, &build)?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find_map(|message: Value| {
            let name = message.get("target")?.get("name")?;
            (name == "real").then(|| message.get("executable")?.as_str().map(PathBuf::from))?
        })
        .ok_or_else(|| Failure::new("cargo built no test executable named `real`"))
}

#[derive(Default)]
struct Options {
    build_only: bool,
    keep: bool,
    /// Figures mean nothing of a build that is not optimised.
    release: bool,
    for_tests: Vec<OsString>,
}

impl Options {
    fn parse(arguments: Vec<OsString>) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--build-only") => options.build_only = true,
                Some("--keep") => options.keep = true,
                Some("--release") => options.release = true,
                Some("--") => {
                    options.for_tests = arguments.collect();
                    break;
                }
                _ => {
                    return Err(Failure::new(format_args!(
                        "unknown argument {argument:?} (what is meant for the tests goes after `--`)"
                    )));
                }
            }
        }
        Ok(options)
    }
}
