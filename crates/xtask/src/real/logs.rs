//! What the control plane said, printed when the tests failed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::outcome::say;

/// Lines of each log, and characters of each line: enough for a cause, short enough to read.
const LINES: usize = 20;
const WIDTH: usize = 300;

/// The file by which a test says that it is content with its cluster.
const PASSED: &str = "passed";

/// Prints the end of every log of the clusters whose tests did not pass.
pub(super) fn print_tails(logs: &Path) {
    for cluster in entries(logs) {
        if !cluster.join(PASSED).exists() {
            entries(&cluster).iter().for_each(|log| print_tail(log));
        }
    }
}

fn print_tail(log: &Path) {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    say(format_args!("---- the end of {}", log.display()));
    tail(&text).for_each(say);
}

fn tail(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().count();
    text.lines()
        .skip(lines.saturating_sub(LINES))
        .map(|line| line.chars().take(WIDTH).collect())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_and_is_bounded() {
        let text: String = (0..100)
            .map(|line| format!("{line} {}\n", "x".repeat(1000)))
            .collect();
        let tail: Vec<String> = tail(&text).collect();
        assert_eq!(tail.len(), LINES);
        assert!(tail[0].starts_with("80 ") && tail[19].starts_with("99 "));
        assert!(tail.iter().all(|line| line.chars().count() == WIDTH));
    }
}
