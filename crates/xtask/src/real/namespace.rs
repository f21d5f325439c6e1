//! The namespaces that a run has for itself.
//!
//! - Network: only loopback, on which whole ranges are made local, so that a Pod's server can
//!   have an address of its own and nothing that is sent can leave.
//! - Processes: this program becomes the namespace's first process, and when it ends, for
//!   whatever reason, the kernel ends every other one.
//! - Mounts: what the programs write is in memory, and gone with the namespace.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{self, Command, ExitCode, ExitStatus, Stdio},
    thread,
};

use super::{exit_code, logs, run_directory::RunDirectory};
use crate::outcome::{Doing, Failure, must_succeed, say};

/// The hidden chore by which this program goes on inside the namespaces.
pub(crate) const INSIDE: &str = "real-inside";

/// Addresses of Pods, of Services, and of nodes and load balancers (a documentation range).
const LOCAL_RANGES: [&str; 3] = ["10.244.0.0/16", "10.96.0.0/16", "198.51.100.0/24"];
const LOCAL_RANGE_V6: &str = "fd00:10:244::/64";

/// A way of making namespaces that this machine permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Root makes them directly.
    Root,
    /// Anybody makes them in a user namespace, in which they are root.
    User,
}

impl Isolation {
    /// The first way that is permitted here.
    pub(super) fn find() -> Option<Self> {
        [Self::Root, Self::User].into_iter().find(|way| {
            let probe = way.unshare().arg("true").stdin(Stdio::null()).output();
            probe.is_ok_and(|output| output.status.success())
        })
    }

    fn unshare(self) -> Command {
        let mut unshare = Command::new("unshare");
        if self == Self::User {
            unshare.arg("--map-root-user");
        }
        unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--"]);
        unshare
    }

    /// A command that enters the namespaces; the program to run in them is its next argument.
    pub(super) fn enter(self, directory: &RunDirectory) -> Result<Command, Failure> {
        let this_program = env::current_exe().doing("find this program's file")?;
        let mut command = self.unshare();
        command.arg(this_program).arg(INSIDE).arg(directory.state());
        command.arg(directory.logs());
        Ok(command)
    }
}

/// Runs what [`Isolation::enter`] made to its end.
///
/// The other side ends when its standard input does, which it does with this process even if
/// that is killed.
pub(super) fn run(command: &mut Command) -> Result<ExitStatus, Failure> {
    let mut child = command.stdin(Stdio::piped()).spawn().doing("run unshare")?;
    let lifeline = child.stdin.take();
    let status = child.wait().doing("wait for the tests");
    drop(lifeline);
    status
}

/// The part of this program that is the first process inside: `STATE LOGS PROGRAM ARGUMENTS…`.
pub(crate) fn run_inside(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let [state, logs, program, arguments @ ..] = arguments.as_slice() else {
        return Err(Failure::new(format_args!(
            "`{INSIDE}` is for this program's own use"
        )));
    };
    end_with_standard_input();
    set_up_network()?;
    mount_memory(Path::new(state));
    let mut tests = Command::new(program);
    let status = tests
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .doing("run the tests")?;
    if let Some(signal) = status.signal() {
        say(format_args!("the tests were ended by signal {signal}"));
    } else if !status.success() {
        logs::print_tails(Path::new(logs));
    }
    Ok(exit_code(status))
}

fn end_with_standard_input() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(1);
    });
}

fn set_up_network() -> Result<(), Failure> {
    must_succeed(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    for range in LOCAL_RANGES {
        must_succeed(Command::new("ip").args(["route", "add", "local", range, "dev", "lo"]))?;
    }
    if let Err(failure) = set_up_ipv6() {
        say(format_args!("no IPv6 addresses for Pods: {failure}"));
    }
    Ok(())
}

fn set_up_ipv6() -> Result<(), Failure> {
    // IPv4 lets a socket be bound to any local route, IPv6 only when asked.
    let setting = "/proc/sys/net/ipv6/ip_nonlocal_bind";
    fs::write(setting, "1").doing(format_args!("write {setting}"))?;
    must_succeed(Command::new("ip").args([
        "-6",
        "route",
        "add",
        "local",
        LOCAL_RANGE_V6,
        "dev",
        "lo",
    ]))
}

/// Keeps what is written below `directory` in memory, where the machine permits it.
fn mount_memory(directory: &Path) {
    let mount = must_succeed(
        Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(directory),
    );
    if let Err(failure) = mount {
        say(format_args!("the cluster's data goes to disk: {failure}"));
    }
}
