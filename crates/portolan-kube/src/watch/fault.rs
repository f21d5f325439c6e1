//! What went wrong, in the words of the user and in the terms of the watch.

use std::{error::Error as StdError, time::Duration};

use kube::core::Status;
use portolan_core::{SourceError, SourceErrorKind};

use super::body::ReadError;
use crate::{
    object::{Resource, Scope},
    rbac, redact,
};

/// What was being done, of which a fault is told.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) resource: Resource,
    pub(super) scope: Scope,
}

/// A request or a watch that came to nothing.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: SourceError,
    pub(super) remedy: Remedy,
    /// How long the server asked to be left alone.
    pub(super) retry_after: Duration,
}

/// What has to be done about a fault, besides waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same again: the watch can go on where it was.
    Retry,
    /// An event is lost, or the version makes no sense to the server: list anew.
    Relist,
    /// The server does not remember as far back: list anew, and not all at once.
    Expired,
    /// The server refuses the request as such: if it was for a streaming list, it has none.
    AskOtherwise,
}

impl Errand {
    /// The server did not answer.
    pub(super) fn timed_out(&self, after: Duration) -> Fault {
        let message = format!(
            "the API server did not answer within {after:?}, asked for {self}; is it reachable from here?"
        );
        Fault::new(SourceErrorKind::Unavailable, message, Remedy::Retry)
    }

    /// The turn to list did not come.
    pub(super) fn queued(&self, after: Duration) -> SourceError {
        let message = format!(
            "the list of {self} waits for its turn for more than {after:?}, as other lists take long; is the \
             API server slow, or `WatchOptions::concurrent_lists` too low?"
        );
        SourceError::new(SourceErrorKind::Unavailable, message)
    }

    /// What was read makes no sense.
    pub(super) fn corrupt(&self, what: &str, cause: Option<serde_json::Error>) -> Fault {
        let message = format!(
            "the API server's answer makes no sense ({what}), asked for {self}; is there a proxy before it?"
        );
        let mut fault = Fault::new(SourceErrorKind::Corrupt, message, Remedy::Relist);
        if let Some(cause) = cause {
            fault.error = fault.error.with_cause(cause);
        }
        fault
    }

    /// Reading an answer failed.
    pub(super) fn unread(&self, error: ReadError) -> Fault {
        match error {
            ReadError::Broken(cause) => self.unavailable(cause, Remedy::Retry),
            ReadError::TooLong(limit) => self.corrupt(&format!("more than {limit} bytes"), None),
        }
    }

    /// A request failed.
    pub(super) fn refused(&self, error: kube::Error) -> Fault {
        match error {
            kube::Error::Api(status) => self.status(&status),
            kube::Error::FromUtf8(_) => self.corrupt("not UTF-8", None),
            other => match redact::credentials(&other) {
                Some(reason) => self.without_credentials(&reason),
                None => self.unavailable(other, Remedy::Retry),
            },
        }
    }

    /// There is nothing to show to the server. The cause is not handed on, for it may quote a token.
    fn without_credentials(&self, reason: &str) -> Fault {
        let message = format!(
            "no credentials to show to the API server, to ask for {self}: {reason}; check the \
             kubeconfig's user or the service account's token"
        );
        Fault::new(SourceErrorKind::Unauthenticated, message, Remedy::Retry)
    }

    /// The server said no, as the answer or within a watch.
    pub(super) fn status(&self, status: &Status) -> Fault {
        let said = said(status);
        let (kind, message, remedy) = match status.code {
            401 => (
                SourceErrorKind::Unauthenticated,
                format!(
                    "the API server does not know who asks for {self}: {said}; the token is missing, wrong or expired"
                ),
                Remedy::Retry,
            ),
            403 => (
                SourceErrorKind::Forbidden,
                self.forbidden(status),
                Remedy::Retry,
            ),
            410 => (
                SourceErrorKind::Unavailable,
                format!("the API server does not remember as far back, asked for {self}: {said}"),
                Remedy::Expired,
            ),
            400 | 422 => (
                SourceErrorKind::Invalid,
                format!("the API server refuses the request for {self}: {said}"),
                Remedy::AskOtherwise,
            ),
            code => (
                SourceErrorKind::Unavailable,
                format!("the API server failed with {code}, asked for {self}: {said}"),
                if is_from_the_future(status) {
                    Remedy::Relist
                } else {
                    Remedy::Retry
                },
            ),
        };
        let mut fault = Fault::new(kind, message, remedy);
        let seconds = status
            .details
            .as_ref()
            .map_or(0, |details| details.retry_after_seconds);
        fault.retry_after = Duration::from_secs(seconds.into());
        fault
    }

    fn unavailable(&self, cause: impl StdError + Send + Sync + 'static, remedy: Remedy) -> Fault {
        let message = format!(
            "the API server cannot be reached, asked for {self}: {}",
            root(&cause)
        );
        let mut fault = Fault::new(SourceErrorKind::Unavailable, message, remedy);
        fault.error = fault.error.with_cause(cause);
        fault
    }

    fn forbidden(&self, status: &Status) -> String {
        let plural = self.resource.plural;
        let user = between(&status.message, "User \"", "\"");
        let verb = between(&status.message, "cannot ", " ");
        let verb = verb.filter(|verb| verb.bytes().all(|byte| byte.is_ascii_lowercase()));
        let verb = verb.unwrap_or("list and watch");
        let who = user.map_or_else(
            || "this program".into(),
            |user| format!("`{}`", user.escape_debug()),
        );
        let (place, manifest) = match &self.scope {
            Scope::Service { namespace, .. } => (
                format!(" in namespace `{namespace}`"),
                rbac::role_for(namespace, user),
            ),
            Scope::Labelled { namespace, .. } => (
                format!(" in namespace `{namespace}`"),
                rbac::pod_role_for(namespace, user),
            ),
            Scope::Named { namespace, name } => (
                format!(" in namespace `{namespace}`"),
                match plural {
                    "configmaps" => rbac::role_of_one(rbac::CONFIG_MAP_ROLE, namespace, name, user),
                    "statefulsets" => {
                        rbac::role_of_one(rbac::STATEFUL_SET_ROLE, namespace, name, user)
                    }
                    _ => rbac::lease_role_for(namespace, user),
                },
            ),
            Scope::Cluster => (String::new(), rbac::node_role_for(user)),
        };
        format!(
            "{who} may not {verb} {plural}{place}. Allow it with `kubectl apply -f -` of what follows; it is noticed by itself.\n{manifest}"
        )
    }
}

impl std::fmt::Display for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = self.resource.plural;
        match &self.scope {
            Scope::Service { namespace, name } if plural == "services" => {
                write!(f, "Service `{name}` in namespace `{namespace}`")
            }
            Scope::Service { namespace, name } => {
                write!(f, "{plural} of Service `{name}` in namespace `{namespace}`")
            }
            Scope::Labelled { namespace, label } => {
                write!(
                    f,
                    "{plural} with label `{label}` in namespace `{namespace}`"
                )
            }
            Scope::Named { namespace, name } => {
                write!(f, "`{name}` of the {plural} in namespace `{namespace}`")
            }
            Scope::Cluster => write!(f, "the {plural} of the cluster"),
        }
    }
}

impl Fault {
    fn new(kind: SourceErrorKind, message: String, remedy: Remedy) -> Self {
        Self {
            error: SourceError::new(kind, message),
            remedy,
            retry_after: Duration::ZERO,
        }
    }
}

/// Whether our version is one that the server did not reach yet. It never will where its storage was
/// restored from a backup.
fn is_from_the_future(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "ResourceVersionTooLarge")
}

/// What the server said. It may be a whole HTML page of some proxy, so it is cut.
fn said(status: &Status) -> String {
    let text = if status.message.is_empty() {
        &status.reason
    } else {
        &status.message
    };
    let (text, more) = match text.char_indices().nth(300) {
        Some((at, _)) => (text.get(..at).unwrap_or_default(), "…"),
        None => (text.as_str(), ""),
    };
    format!("\"{}{more}\"", text.escape_debug())
}

/// The innermost cause: "connection refused" says more than "client error".
fn root(error: &(dyn StdError + 'static)) -> String {
    // A chain of causes should be short, and need not be.
    const DEEPEST: usize = 16;
    let mut deepest = error;
    for _ in 0..DEEPEST {
        match deepest.source() {
            Some(cause) => deepest = cause,
            None => break,
        }
    }
    deepest.to_string()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(found)
}

#[cfg(test)]
mod tests;
