//! Which endpoints may be used from a Node: Portolan's choice beside kube-proxy's own.
//!
//! Thousands of Services with their slices are made up (`case`). Each is told to kube-proxy's code, in
//! the program `categorize` that `cargo xtask real` builds, and to Portolan (`ours`), by the same JSON.
//! The two must come to the same addresses.

mod case;
mod ours;

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
};

use serde::Deserialize;

use self::case::Case;
use crate::{
    failure::{Failure, Result},
    real::programs,
};

/// How many Services are made up.
const CASES: usize = 5_000;
/// With another seed there are other cases; it is printed with each that fails.
const SEED: u64 = 0x00c0_ffee;

/// The addresses that may be used, by family, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Chosen {
    #[serde(rename = "IPv4")]
    v4: Vec<String>,
    #[serde(rename = "IPv6")]
    v6: Vec<String>,
}

/// Asks both, for each case.
///
/// # Errors
/// Where kube-proxy's part cannot be run, or the two disagree: the first case in which they do.
pub fn compare() -> Result {
    let mut random = fastrand::Rng::with_seed(SEED);
    let cases: Vec<Case> = (0..CASES).map(|_| Case::random(&mut random)).collect();
    let theirs = theirs(&cases)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut seen = Seen::default();
    for (number, (case, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = runtime.block_on(ours::choose(case))?;
        if ours != *theirs {
            return Err(Failure::new(format_args!(
                "case {number} of seed {SEED:#x}: Portolan chooses {ours:?}, kube-proxy {theirs:?}, of {}",
                case.to_json()
            )));
        }
        seen.note(case, theirs);
    }
    writeln!(
        std::io::stdout(),
        "kube-proxy and Portolan agree in {CASES} cases: {seen}"
    )?;
    seen.check()
}

/// kube-proxy's answers.
fn theirs(cases: &[Case]) -> Result<Vec<Chosen>> {
    let mut child = Command::new(programs::find("categorize")?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::new("categorize has no input or output"));
    };
    let lines: Vec<String> = cases
        .iter()
        .map(Case::to_json)
        .map(|json| json.to_string())
        .collect();
    // On a thread of its own: neither side may wait for the other to read.
    let asking = thread::spawn(move || -> std::io::Result<()> {
        for line in lines {
            writeln!(questions, "{line}")?;
        }
        Ok(())
    });
    let answers = BufReader::new(answers)
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<Result<Vec<Chosen>>>()?;
    asking
        .join()
        .map_err(|_| "the questions cannot be written")??;
    let status = child.wait()?;
    if !status.success() || answers.len() != cases.len() {
        let all = (answers.len(), cases.len());
        return Err(Failure::new(format_args!(
            "categorize: {status}, {all:?} answers of cases"
        )));
    }
    Ok(answers)
}

/// What the cases had in them: a comparison of cases in which nothing happens proves nothing.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    fn note(&mut self, case: &Case, chosen: &Chosen) {
        for (what, so) in case.features(chosen) {
            *self.0.entry(what).or_default() += usize::from(so);
        }
    }

    /// Each thing was there in one case of a hundred at least.
    fn check(&self) -> Result {
        match self.0.iter().find(|(_, count)| **count < CASES / 100) {
            Some((what, count)) => {
                Err(Failure::new(format_args!("only {count} cases with {what}")))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self
            .0
            .iter()
            .map(|(what, count)| format!("{count} with {what}"))
            .collect();
        f.write_str(&parts.join(", "))
    }
}
