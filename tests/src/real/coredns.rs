//! CoreDNS, which not every test needs: what it is told, what it may do, and when it is ready.

use std::{fs, path::Path};

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::RealError;

/// Its service account, where clusters have it.
pub(super) const NAMESPACE: &str = "kube-system";
pub(super) const ACCOUNT: &str = "coredns";

/// The server block of the Corefile that clusters are installed with, as far as it is about the
/// cluster's own names; but without its cache, which would only be one more thing to wait for.
pub(super) fn corefile(port: u16, ready_port: u16, kubeconfig: &str) -> String {
    format!(
        "cluster.local:{port} {{
    bind 127.0.0.1
    errors
    ready 127.0.0.1:{ready_port}
    kubernetes {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
    loadbalance round_robin
}}
"
    )
}

/// Makes the service account, and lets it read what names are made of, and nothing else.
pub(super) async fn grant(admin: &Client) -> Result<(), RealError> {
    apply::<ServiceAccount>(
        &Api::namespaced(admin.clone(), NAMESPACE),
        json!({"apiVersion": "v1", "kind": "ServiceAccount"}),
    )
    .await?;
    let group = "rbac.authorization.k8s.io";
    let verbs = ["list", "watch"];
    apply::<ClusterRole>(
        &Api::all(admin.clone()),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole",
            "rules": [
                {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": verbs},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
            ],
        }),
    )
    .await?;
    apply::<ClusterRoleBinding>(
        &Api::all(admin.clone()),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
        }),
    )
    .await
}

async fn apply<K>(objects: &Api<K>, mut object: Value) -> Result<(), RealError>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    object["metadata"] = json!({"name": ACCOUNT});
    let params = PatchParams::apply("portolan-scenarios");
    objects
        .patch(ACCOUNT, &params, &Patch::Apply(object))
        .await?;
    Ok(())
}

pub(super) fn write(file: &Path, text: &str) -> Result<(), RealError> {
    fs::write(file, text).map_err(RealError::io(format!("write {}", file.display())))
}

/// Asks its plugin `ready`, which says so once all that it watches has been listed.
pub(super) async fn ready(port: u16) -> Result<(), String> {
    let ask = async {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
        connection.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask.await.map_err(|error| error.to_string())?;
    let status = answer.lines().next().unwrap_or_default();
    if status.contains(" 200 ") {
        return Ok(());
    }
    Err(format!("its plugin `ready` says: {status}"))
}
