//! Tokens and RBAC: refusals in the words of the real API server.

use crate::support::{call, get, post};
use portolan_test::{Error, TestCluster, User};
use serde_json::json;

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

async fn cluster() -> TestCluster {
    let cluster = TestCluster::builder()
        .without_kubelet()
        .start()
        .await
        .unwrap();
    cluster.namespace("shop").await.unwrap();
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_who_may_not_do_what_where() {
    let cluster = cluster().await;
    let token = cluster.sign_in(User::new("system:serviceaccount:shop:orders"));
    let client = cluster.client_as(&token);
    let user = "system:serviceaccount:shop:orders";
    for (method, path, message) in [
        (
            "GET",
            "/api/v1/namespaces/shop/services/db",
            format!(
                r#"services "db" is forbidden: User "{user}" cannot get resource "services" in API group "" in the namespace "shop""#
            ),
        ),
        (
            "GET",
            &format!("{SLICES}?watch=1"),
            format!(
                r#"endpointslices.discovery.k8s.io is forbidden: User "{user}" cannot watch resource "endpointslices" in API group "discovery.k8s.io" in the namespace "shop""#
            ),
        ),
        (
            "GET",
            "/api/v1/nodes",
            format!(
                r#"nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" at the cluster scope"#
            ),
        ),
        (
            "PATCH",
            "/api/v1/namespaces/shop/pods/db-0/status",
            format!(
                r#"pods "db-0" is forbidden: User "{user}" cannot patch resource "pods/status" in API group "" in the namespace "shop""#
            ),
        ),
    ] {
        let (code, status) = call(&client, method, path, None).await;
        assert_eq!(
            (code, &status["reason"]),
            (403, &json!("Forbidden")),
            "{path}"
        );
        assert_eq!(status["message"], message);
    }
    let (code, _) = call(&client, "GET", "/version", None).await;
    assert_eq!(code, 200, "that much everybody may know");
}

#[tokio::test(start_paused = true)]
async fn rules_hold_for_what_they_name_and_where_they_are_bound() {
    let cluster = cluster().await;
    let role = json!({
        "kind": "Role",
        "rules": [
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"],
             "resourceNames": ["db"]},
        ],
    });
    let user = User::new("reader").rules_in("shop", &role).unwrap();
    let client = cluster.client_as(&cluster.sign_in(user));
    let code = async |path: &str| call(&client, "GET", path, None).await.0;
    assert_eq!(code(SLICES).await, 200);
    assert_eq!(
        code(&format!("{SLICES}?watch=1")).await,
        403,
        "another verb"
    );
    assert_eq!(code(&format!("{SLICES}/x")).await, 403, "another verb");
    assert_eq!(
        code("/apis/discovery.k8s.io/v1/endpointslices").await,
        403,
        "all namespaces"
    );
    let services = "/api/v1/namespaces/shop/services";
    assert_eq!(
        code(&format!("{services}/db")).await,
        404,
        "allowed, and not there"
    );
    assert_eq!(code(&format!("{services}/web")).await, 403, "another name");
    assert_eq!(code(services).await, 403, "all names");
    let only = format!("{services}?fieldSelector=metadata.name%3Ddb");
    assert_eq!(code(&only).await, 200, "a list of one");

    let everywhere = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}]);
    let user = User::new("lister").cluster_rules(&everywhere).unwrap();
    let client = cluster.client_as(&cluster.sign_in(user));
    get(&client, "/apis/discovery.k8s.io/v1/endpointslices").await;

    let wrong = User::new("x").rules_in("shop", &json!([{"verb": ["get"]}]));
    assert!(matches!(wrong, Err(Error::BadRules(_))));
}

#[tokio::test(start_paused = true)]
async fn tokens_expire_and_rotate() {
    let cluster = cluster().await;
    let old = cluster.sign_in(User::admin("me"));
    let client = cluster.client_as(&old);
    post(
        &client,
        "/api/v1/namespaces",
        json!({"metadata": {"name": "mine"}}),
    )
    .await;
    let new = cluster.rotate(&old);
    get(&client, "/api/v1/namespaces").await;
    cluster.expire(&old);
    let (code, status) = call(&client, "GET", "/api/v1/namespaces", None).await;
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    assert_eq!(status["message"], "Unauthorized");
    get(&cluster.client_as(&new), "/api/v1/namespaces").await;
    assert_eq!(format!("{new:?}"), "Token(…)", "tokens are not for logs");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_anonymous() {
    let cluster = cluster().await;
    let client = cluster.client_without_token();
    let (code, status) = call(&client, "GET", SLICES, None).await;
    assert_eq!(code, 403);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains(r#"User "system:anonymous" cannot list"#)
    );
    get(&client, "/readyz").await;
    let (code, _) = call(&client, "GET", "/apis", None).await;
    assert_eq!(code, 403);
}
