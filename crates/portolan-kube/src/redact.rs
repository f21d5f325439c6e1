//! What may be said of errors about credentials: never the credentials.

use std::{error::Error as StdError, iter::successors};

use kube::{client::AuthError, config::KubeconfigError};

/// Why there are no credentials, if that is what is wrong.
///
/// A client that is made says so itself; a token that cannot be renewed later comes as one of the causes of
/// what `kube` calls a failed service.
pub(crate) fn credentials(error: &(dyn StdError + 'static)) -> Option<String> {
    // A chain of causes should be short, and need not be.
    const DEEPEST: usize = 16;
    let mut causes = successors(Some(error), |&error| error.source()).take(DEEPEST);
    causes
        .find_map(|cause| cause.downcast_ref())
        .map(auth_error)
}

/// Why there are no credentials. What an exec plugin printed is left out, since that is the token, and so is
/// how it was called: its arguments and its environment may hold secrets as well.
fn auth_error(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!(
                "the exec plugin of the kubeconfig failed with {}",
                out.status
            )
        }
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            "what the exec plugin of the kubeconfig printed is no ExecCredential".into()
        }
        AuthError::MalformedTokenExpirationDate(_) => {
            "what the exec plugin of the kubeconfig calls the end of its token is no time".into()
        }
        other => other.to_string(),
    }
}

/// What is wrong with a kubeconfig. The parser shows the lines around a mistake, and those may hold a
/// token or a key: only the place is told.
pub(crate) fn kubeconfig_error(error: KubeconfigError) -> Box<dyn StdError + Send + Sync> {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!(
                "line {}, column {} is not what it should be",
                at.line(),
                at.column()
            )
            .into(),
            None => "it is not YAML, or not of a kubeconfig's shape".into(),
        },
        other => other.into(),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
