//! What a machine must have for the real thing, found out before anything is started.

use std::process::{Command, Output, Stdio};

use super::namespace::Isolation;
use crate::outcome::Failure;

/// The oldest Go that compiles the pinned Kubernetes.
const GO: (u32, u32) = (1, 26);

/// Checks what building the control plane needs.
pub(super) fn to_build() -> Result<(), Failure> {
    report(linux().err().into_iter().chain(go().err()).collect())
}

/// Checks what the whole run needs, and returns a way of isolation that works here.
pub(super) fn to_run() -> Result<Isolation, Failure> {
    let mut missing: Vec<String> = linux().err().into_iter().chain(go().err()).collect();
    let tools = [ip(), unshare()];
    let has_tools = tools.iter().all(Result::is_ok);
    missing.extend(tools.into_iter().filter_map(Result::err));
    let isolation = Isolation::find();
    if has_tools && isolation.is_none() {
        missing.push(NO_NAMESPACE.to_owned());
    }
    report(missing)?;
    isolation.ok_or_else(|| Failure::new(NO_NAMESPACE))
}

fn report(missing: Vec<String>) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let list: String = missing.iter().map(|need| format!("\n  - {need}")).collect();
    Err(Failure::new(format_args!(
        "`cargo xtask real` cannot run on this machine. It needs:{list}"
    )))
}

fn linux() -> Result<(), String> {
    if cfg!(target_os = "linux") {
        Ok(())
    } else {
        Err("Linux, for its network namespaces; a virtual machine or a privileged container will do"
            .to_owned())
    }
}

fn go() -> Result<(), String> {
    let (major, minor) = GO;
    let how = format!("Go {major}.{minor} or newer on the PATH, from https://go.dev/dl");
    let output =
        answer(Command::new("go").arg("version")).ok_or(format!("{how} (found no `go`)"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let found = go_version(&version);
    if found.is_some_and(|found| found >= GO) {
        Ok(())
    } else {
        Err(format!("{how} (found: {version})"))
    }
}

/// Reads the `1.26` of `go version go1.26.8 linux/amd64` (also of `go1.27rc1`).
fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go").filter(|rest| !rest.is_empty()))?
        .split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn ip() -> Result<(), String> {
    answer(Command::new("ip").arg("-V")).map(drop).ok_or(
        "`ip` on the PATH: package iproute2 (Debian, Alpine, Arch) or iproute (Fedora)".to_owned(),
    )
}

fn unshare() -> Result<(), String> {
    // BusyBox has an unshare, too, but not one that ends what it started.
    let help = answer(Command::new("unshare").arg("--help")).map(|help| help.stdout);
    if help.is_some_and(|help| String::from_utf8_lossy(&help).contains("--kill-child")) {
        Ok(())
    } else {
        Err("`unshare` with --kill-child on the PATH: package util-linux, 2.32 or newer".to_owned())
    }
}

const NO_NAMESPACE: &str = "\
permission to make a network namespace, which this user does not have. One of:
      * unprivileged user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 (Debian),
        sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu),
        sysctl -w user.max_user_namespaces=10000 (where it is 0);
      * root, with the capability SYS_ADMIN;
      * in a container: docker run --privileged, or --security-opt seccomp=unconfined.";

/// The output of a command that exists and succeeds.
fn answer(command: &mut Command) -> Option<Output> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_versions() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(
            go_version("go version go1.27rc1 linux/arm64"),
            Some((1, 27))
        );
        assert_eq!(go_version("go version go2.0 linux/amd64"), Some((2, 0)));
        assert_eq!(go_version("go version devel +a1b2c3"), None);
    }

    #[test]
    fn says_everything_that_is_missing_at_once() {
        let failure = report(vec!["a".to_owned(), "b".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(failure.ends_with("It needs:\n  - a\n  - b"), "{failure}");
    }
}
