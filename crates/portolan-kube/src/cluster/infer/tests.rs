//! Which cluster is found, and what is said where none is.

use std::fs;

use tempfile::TempDir;

use super::*;

mod pod;

const GOOD: &str = r#"
apiVersion: v1
kind: Config
current-context: here
contexts:
  - name: here
    context: { cluster: c, user: u, namespace: shop }
  - name: there
    context: { cluster: c, user: u }
clusters:
  - name: c
    cluster: { server: "http://127.0.0.1:1" }
users:
  - name: u
    user: { token: "not-to-be-logged" }
"#;

/// A folder with a file of this text, and the surroundings in which it is the kubeconfig.
fn kubeconfig(text: &str) -> (TempDir, Surroundings) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    fs::write(&file, text).unwrap();
    let surroundings = Surroundings {
        kubeconfig: Some(file.into()),
        ..Surroundings::default()
    };
    (folder, surroundings)
}

async fn infer_in(surroundings: Surroundings) -> Result<Client, Error> {
    surroundings.origin().read().await?.client()
}

async fn refused(surroundings: Surroundings) -> Error {
    match infer_in(surroundings).await {
        Ok(_) => panic!("there is no cluster"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn the_current_context_of_the_kubeconfig() {
    let (_folder, surroundings) = kubeconfig(GOOD);
    assert_eq!(
        infer_in(surroundings).await.unwrap().default_namespace(),
        "shop"
    );
}

#[tokio::test]
async fn the_file_in_the_home_folder() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join(".kube")).unwrap();
    fs::write(home.path().join(".kube/config"), GOOD).unwrap();
    let surroundings = Surroundings {
        home: Some(home.path().into()),
        ..Surroundings::default()
    };
    assert_eq!(
        infer_in(surroundings).await.unwrap().default_namespace(),
        "shop"
    );
}

#[tokio::test]
async fn of_several_files_some_may_be_missing() {
    let (folder, _) = kubeconfig(GOOD);
    let paths = [folder.path().join("missing"), folder.path().join("config")];
    let kubeconfig = Some(env::join_paths(paths).unwrap());
    let surroundings = Surroundings {
        kubeconfig,
        ..Surroundings::default()
    };
    assert_eq!(
        infer_in(surroundings).await.unwrap().default_namespace(),
        "shop"
    );
}

#[tokio::test]
async fn no_kubeconfig() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("nowhere");
    let surroundings = Surroundings {
        kubeconfig: Some(missing.clone().into()),
        ..Surroundings::default()
    };
    let error = refused(surroundings).await;
    assert!(
        matches!(&error, Error::KubeconfigMissing { looked_at, .. } if *looked_at == [missing.clone()]),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains(missing.to_str().unwrap()) && text.contains("set KUBECONFIG"),
        "{text}"
    );
    // Not even a home folder.
    assert!(matches!(
        refused(Surroundings::default()).await,
        Error::KubeconfigMissing { .. }
    ));
}

#[tokio::test]
async fn a_kubeconfig_that_is_none() {
    for text in ["contexts: [", "contexts: 7", "\u{0}", "- just\n- a list"] {
        let (_folder, surroundings) = kubeconfig(text);
        let error = refused(surroundings).await;
        assert!(
            matches!(error, Error::KubeconfigMalformed { .. }),
            "{text:?}: {error:?}"
        );
        assert!(
            error.to_string().contains("cannot be understood"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_context_that_is_not_there() {
    let (folder, surroundings) =
        kubeconfig(&GOOD.replace("current-context: here", "current-context: gone"));
    let error = refused(surroundings).await;
    assert!(
        error
            .to_string()
            .contains("has no context `gone`, it has: `here`, `there`"),
        "{error}"
    );
    let file = folder.path().join("config");
    let error = from_kubeconfig(&file, Some("elsewhere"))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, Error::UnknownContext { context, .. } if context == "elsewhere"),
        "{error:?}"
    );
    assert_eq!(
        from_kubeconfig(&file, Some("there"))
            .await
            .unwrap()
            .config
            .default_namespace,
        "default"
    );
    let (_folder, none) = kubeconfig(&GOOD.replace("current-context: here", ""));
    assert!(
        matches!(refused(none).await, Error::UnknownContext { context, .. } if context.is_empty())
    );
    // An empty file is an empty kubeconfig.
    let (_folder, empty) = kubeconfig("");
    assert!(
        matches!(refused(empty).await, Error::UnknownContext { known, .. } if known.is_empty())
    );
}

#[tokio::test]
async fn a_context_that_leads_nowhere() {
    let unusable = [
        GOOD.replace("cluster: c,", "cluster: other,"),
        GOOD.replace(
            "server: \"http://127.0.0.1:1\"",
            "server: \"http://not a url\"",
        ),
        GOOD.replace(
            "server: \"http://127.0.0.1:1\"",
            "server: \"https://127.0.0.1:1\", certificate-authority: /nowhere/ca.crt",
        ),
        GOOD.replace(
            "server: \"http://127.0.0.1:1\"",
            "server: \"https://127.0.0.1:1\", certificate-authority-data: \"%%%\"",
        ),
    ];
    for text in unusable {
        let (_folder, surroundings) = kubeconfig(&text);
        let error = refused(surroundings).await;
        assert!(
            matches!(error, Error::KubeconfigUnusable { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn no_error_shows_a_token() {
    let texts = [
        GOOD.replace("current-context: here", "current-context: gone"),
        GOOD.replace("cluster: c,", "cluster: other,"),
        GOOD.replace("token:", "token: ["),
        GOOD.replace(
            "user: { token: \"not-to-be-logged\" }",
            "user: not-to-be-logged",
        ),
    ];
    for text in texts {
        let (_folder, surroundings) = kubeconfig(&text);
        let error = refused(surroundings).await;
        assert!(
            !format!("{error} {error:?}").contains("not-to-be-logged"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_pod_whose_service_account_is_not_there() {
    let surroundings = Surroundings {
        service_account: Some(ServiceAccount {
            server: server("10.96.0.1", Some("443")),
            folder: "/nowhere".into(),
        }),
        ..Surroundings::default()
    };
    let error = refused(surroundings).await;
    assert!(matches!(error, Error::ServiceAccount { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_was_named_is_said_to_be_missing_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    let error = from_kubeconfig(&file, None).await.err().unwrap();
    let message = error.to_string();
    assert!(message.contains(&*file.to_string_lossy()), "{message}");
    // Whoever names a file has not asked for the environment, nor for a Pod.
    assert!(
        !message.contains("Pod") && !message.contains("KUBECONFIG"),
        "{message}"
    );
}

#[test]
fn who_is_no_pod_stands_outside() {
    let by_kubeconfig = Surroundings::default();
    assert_eq!(by_kubeconfig.vantage(), Vantage::Outside);
    let pod_with_a_kubeconfig = Surroundings {
        is_pod: true,
        ..Surroundings::default()
    };
    assert_eq!(pod_with_a_kubeconfig.vantage(), Vantage::Inside);
}
