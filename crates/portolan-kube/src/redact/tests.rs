//! That what a plugin was told and what it printed is nowhere to be read.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Output},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::*;

#[test]
fn what_a_plugin_was_told_and_printed_is_not_told() {
    let out = Output {
        status: ExitStatus::from_raw(256),
        stdout: b"the-token".into(),
        stderr: b"the-token".into(),
    };
    // As `kube` writes it down.
    let mut command = Command::new("login");
    command.arg("--oidc-client-secret=the-secret");
    command.env("PASSWORD", "the-password");
    let failed = AuthError::AuthExecRun {
        cmd: format!("{command:?}"),
        out: Box::new(out),
    };
    let secrets = ["the-token", "the-secret", "the-password"];
    let printed = format!("{failed:?}");
    assert!(
        printed.contains("the-secret") && printed.contains("the-password"),
        "or there is nothing to hide: {printed}"
    );
    assert_eq!(
        auth_error(&failed),
        "the exec plugin of the kubeconfig failed with exit status: 1"
    );

    let printed = serde_saphyr::from_str::<Vec<u8>>("status: { token: the-token }").unwrap_err();
    assert!(
        printed.to_string().contains("the-token"),
        "or there is nothing to hide"
    );
    let told = auth_error(&AuthError::AuthExecParse(Box::new(printed)));
    assert!(
        !secrets.iter().any(|secret| told.contains(secret)),
        "{told}"
    );
}

/// What a request fails with, where the plugin gives a token that is expired already, and then does this.
async fn failure_where_the_plugin(then: &str) -> kube::Error {
    let folder = tempfile::TempDir::new().unwrap();
    let ran = folder.path().join("ran").display().to_string();
    let first = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"first","expirationTimestamp":"2001-01-01T00:00:00Z"}}"#;
    let script = folder.path().join("plugin.sh");
    let text = format!("if [ -e '{ran}' ]; then {then}; fi\ntouch '{ran}'\necho '{first}'\n");
    fs::write(&script, text).unwrap();
    let exec = format!(
        "{{ apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['{}'] }}",
        script.display()
    );
    let kubeconfig = format!(
        "current-context: c\n\
         contexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\n\
         clusters: [{{ name: c, cluster: {{ server: 'http://127.0.0.1:1' }} }}]\n\
         users: [{{ name: u, user: {{ exec: {exec} }} }}]\n"
    );
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    client.apiserver_version().await.unwrap_err()
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_a_matter_of_credentials() {
    for (then, told) in [
        ("echo the-token; exit 3", "failed with exit status: 3"),
        (
            "echo '\"the-token\"'; exit 0",
            "printed is no ExecCredential",
        ),
    ] {
        let error = failure_where_the_plugin(then).await;
        assert!(
            !matches!(error, kube::Error::Auth(_)),
            "or it could be told apart without looking at causes"
        );
        let reason = credentials(&error).expect("a cause that is about credentials");
        assert!(
            reason.contains(told) && !reason.contains("the-token"),
            "{reason}"
        );
    }
    let away = kube::Error::Service("connection refused".into());
    assert_eq!(credentials(&away), None);
}
