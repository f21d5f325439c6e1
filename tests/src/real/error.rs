//! Why a real cluster could not be had.

use std::{fmt, io, process::ExitStatus, time::Duration};

/// Why a real cluster could not be had, or could not do what was asked.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RealError {
    /// The programs are not there.
    #[error(
        "PORTOLAN_REAL_BIN names no folders with etcd, kube-apiserver, \
         kube-controller-manager and coredns: run `cargo xtask real`, which builds them and runs these \
         tests in a network namespace"
    )]
    NotSetUp,
    /// A program ended by itself.
    #[error("{program} ended ({status}); it said last:\n{log}")]
    Ended {
        /// The program's name.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A program was not ready in time.
    #[error("{program} was not ready after {waited:?} ({reason}); it said last:\n{log}")]
    NotReady {
        /// The program's name.
        program: &'static str,
        /// The time it was given.
        waited: Duration,
        /// What came of the last attempt to use it.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// A program is to be signalled that does not run.
    #[error("{program} is not running")]
    NotRunning {
        /// The program's name.
        program: &'static str,
    },
    /// All of the ports that are tried are taken.
    #[error("no free port on loopback from {first} to {last}")]
    NoPort {
        /// The first port tried.
        first: u16,
        /// The last one.
        last: u16,
    },
    /// The operating system refused.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("could not make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A kubeconfig of this module's making was not understood.
    #[error("could not use the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused, or could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// The API server answered a TokenRequest without a token.
    #[error("the API server issued no token for service account {namespace}/{name}")]
    NoToken {
        /// The service account's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl RealError {
    /// For `map_err`: names what was being done.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

/// As for people, since a test that unwraps it prints this: a log on one line is unreadable.
impl fmt::Debug for RealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
