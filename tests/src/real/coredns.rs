//! CoreDNS, which not every test needs: what it is told, what it may do, and when it is ready.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

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

use super::{
    RealError,
    access::{self, Access},
    program::Program,
};

/// Its service account, where clusters have it, and what grants that its rights.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
/// What it is told, in the folder for the cluster's state.
const COREFILE: &str = "Corefile";

/// CoreDNS, and what it needs before it is started for the first time.
#[derive(Debug)]
pub(super) struct CoreDns {
    pub(super) program: Program,
    folder: PathBuf,
    /// For queries, by UDP and TCP.
    port: u16,
    /// For who wants to know whether it is ready.
    ready_port: u16,
}

impl CoreDns {
    pub(super) fn new(program: Program, folder: &Path, port: u16, ready_port: u16) -> Self {
        Self {
            program,
            folder: folder.to_path_buf(),
            port,
            ready_port,
        }
    }

    pub(super) fn flags(folder: &Path) -> Vec<String> {
        let corefile = folder.join(COREFILE);
        vec!["-conf".to_owned(), corefile.display().to_string()]
    }

    /// Starts it, unless it runs, and waits until it knows the cluster.
    pub(super) async fn start(
        &mut self,
        admin: &Client,
        access: &Access,
        timeout: Duration,
    ) -> Result<SocketAddr, RealError> {
        if !self.folder.join(COREFILE).exists() {
            grant(admin).await?;
            let token = access::service_account_token(admin, NAMESPACE, NAME).await?;
            let kubeconfig = access.token_kubeconfig(&token).to_string();
            let kubeconfig = self.write("coredns.kubeconfig", &kubeconfig)?;
            self.write(COREFILE, &self.corefile(&kubeconfig))?;
        }
        self.program.start()?;
        let ready = || ready(self.ready_port);
        self.program.until_ready(timeout, ready).await?;
        Ok((Ipv4Addr::LOCALHOST, self.port).into())
    }

    /// What is about the cluster's own names in the Corefile with which clusters are installed. There is
    /// no cache: how long an answer is old would be one more thing to wait for.
    fn corefile(&self, kubeconfig: &str) -> String {
        let (port, ready_port) = (self.port, self.ready_port);
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

    fn write(&self, name: &str, text: &str) -> Result<String, RealError> {
        let file = self.folder.join(name);
        fs::write(&file, text).map_err(RealError::io(format!("write {}", file.display())))?;
        Ok(file.display().to_string())
    }
}

/// Makes the service account, and lets it read what names are made of, and nothing else.
async fn grant(admin: &Client) -> Result<(), RealError> {
    apply::<ServiceAccount>(
        &Api::namespaced(admin.clone(), NAMESPACE),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}}),
    )
    .await?;
    let group = "rbac.authorization.k8s.io";
    let verbs = ["list", "watch"];
    apply::<ClusterRole>(
        &Api::all(admin.clone()),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": NAME},
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
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        }),
    )
    .await
}

async fn apply<K>(objects: &Api<K>, object: Value) -> Result<(), RealError>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let params = PatchParams::apply("portolan-scenarios");
    objects.patch(NAME, &params, &Patch::Apply(object)).await?;
    Ok(())
}

/// Asks its plugin `ready`, which says so once all that it watches has been listed.
async fn ready(port: u16) -> Result<(), String> {
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
