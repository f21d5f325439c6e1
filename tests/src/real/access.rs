//! Who calls the API server, and the kubeconfig that lets them.

use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::ServiceAccount,
    },
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{
    RealError,
    pki::{Authority, Pair},
};

/// What makes kubeconfigs for one cluster.
#[derive(Debug)]
pub(super) struct Access {
    server: String,
    authority: Authority,
    admin: Pair,
}

impl Access {
    pub(super) fn new(api_port: u16, authority: Authority) -> Result<Self, RealError> {
        let admin = authority.client("admin", Some("system:masters"))?;
        Ok(Self {
            server: format!("https://127.0.0.1:{api_port}"),
            authority,
            admin,
        })
    }

    pub(super) async fn admin_client(&self) -> Result<Client, RealError> {
        client(self.admin_kubeconfig()).await
    }

    pub(super) fn admin_kubeconfig(&self) -> Value {
        self.certificate_kubeconfig(&self.admin)
    }

    pub(super) fn user_kubeconfig(&self, name: &str) -> Result<Value, RealError> {
        Ok(self.certificate_kubeconfig(&self.authority.client(name, None)?))
    }

    pub(super) fn token_kubeconfig(&self, token: &str) -> Value {
        self.kubeconfig_with(&json!({ "token": token }))
    }

    fn certificate_kubeconfig(&self, pair: &Pair) -> Value {
        self.kubeconfig_with(&json!({
            "client-certificate-data": base64(&pair.certificate),
            "client-key-data": base64(&pair.key),
        }))
    }

    /// JSON, which is also YAML.
    fn kubeconfig_with(&self, credentials: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "real",
            "clusters": [{ "name": "real", "cluster": {
                "server": self.server,
                "certificate-authority-data": base64(&self.authority.certificate),
            }}],
            "contexts": [{ "name": "real", "context": { "cluster": "real", "user": "real" } }],
            "users": [{ "name": "real", "user": credentials }],
        })
    }
}

fn base64(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

/// A client by the same way that a kubeconfig file is read.
pub(super) async fn client(kubeconfig: Value) -> Result<Client, RealError> {
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig.to_string())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

pub(super) async fn service_account_token(
    admin: &Client,
    namespace: &str,
    name: &str,
) -> Result<String, RealError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await?;
    answer
        .status
        .and_then(|status| status.token)
        .ok_or_else(|| RealError::NoToken {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
}
