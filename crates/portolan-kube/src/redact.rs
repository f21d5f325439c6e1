//! What may be said of errors about credentials: never the credentials.

use kube::{client::AuthError, config::KubeconfigError};

/// Why there are no credentials. What an exec plugin printed is left out, since that is the token.
pub(crate) fn auth_error(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            format!(
                "the command `{cmd}` of the kubeconfig failed with {}",
                out.status
            )
        }
        AuthError::AuthExecParse(_) => {
            "what the command of the kubeconfig printed is no ExecCredential".into()
        }
        other => other.to_string(),
    }
}

/// What is wrong with a kubeconfig. The parser shows the lines around a mistake, and those may hold a
/// token or a key: only the place is told.
pub(crate) fn kubeconfig_error(error: KubeconfigError) -> Box<dyn std::error::Error + Send + Sync> {
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

#[cfg(all(test, unix))]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{ExitStatus, Output},
    };

    use super::*;

    #[test]
    fn what_a_plugin_printed_is_not_told() {
        let out = Output {
            status: ExitStatus::from_raw(256),
            stdout: b"the-token".into(),
            stderr: b"the-token".into(),
        };
        let failed = AuthError::AuthExecRun {
            cmd: "aws-login".into(),
            out: Box::new(out),
        };
        let told = auth_error(&failed);
        assert!(
            told.contains("`aws-login`") && told.contains('1') && !told.contains("the-token"),
            "{told}"
        );

        let printed =
            serde_saphyr::from_str::<Vec<u8>>("status: { token: the-token }").unwrap_err();
        assert!(
            printed.to_string().contains("the-token"),
            "or there is nothing to hide"
        );
        let told = auth_error(&AuthError::AuthExecParse(Box::new(printed)));
        assert!(!told.contains("the-token"), "{told}");
    }
}
