//! Helpers for the tests.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// Sends a request and gives the code and the JSON of the answer.
pub(crate) async fn call(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = body
        .map(|body| body.to_string().into_bytes())
        .unwrap_or_default();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(kube::client::Body::from(body))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body());
    let bytes = bytes.await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

pub(crate) async fn get(client: &Client, path: &str) -> Value {
    let (code, value) = call(client, "GET", path, None).await;
    assert_eq!(code, 200, "{value}");
    value
}

pub(crate) async fn post(client: &Client, path: &str, body: Value) -> Value {
    let (code, value) = call(client, "POST", path, Some(body)).await;
    assert_eq!(code, 201, "{value}");
    value
}

pub(crate) async fn patch(client: &Client, path: &str, body: Value) -> Value {
    let (code, value) = call(client, "PATCH", path, Some(body)).await;
    assert_eq!(code, 200, "{value}");
    value
}

/// The lines of a watch.
pub(crate) struct Lines {
    stream: Pin<Box<dyn Stream<Item = std::io::Result<String>> + Send>>,
}

impl Lines {
    pub(crate) async fn open(client: &Client, path: &str) -> Self {
        use futures::AsyncBufReadExt;
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let reader = client.request_stream(request).await.unwrap();
        Self {
            stream: Box::pin(Box::pin(reader).lines()),
        }
    }

    /// The next event as type and object.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let line = self.stream.next().await?.unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        let change = event["type"].as_str().unwrap().to_owned();
        Some((change, event["object"].clone()))
    }

    /// The next event as type and name.
    pub(crate) async fn named(&mut self) -> (String, String) {
        let (change, object) = self.next().await.unwrap();
        (change, name(&object))
    }

    pub(crate) async fn raw(&mut self) -> Option<std::io::Result<String>> {
        self.stream.next().await
    }

    /// Whether there is an event at once, without waiting.
    pub(crate) async fn is_silent_for(&mut self, time: std::time::Duration) -> bool {
        tokio::time::timeout(time, self.stream.next())
            .await
            .is_err()
    }
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

pub(crate) fn config_map(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": label}}})
}

/// Connects as any program with a kubeconfig does.
pub(crate) async fn connect(kubeconfig: &str) -> kube::Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    kube::Client::try_from(config).unwrap()
}
