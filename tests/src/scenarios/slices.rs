//! Slices that no controller of Kubernetes wrote, and slices that make no sense.

use std::net::SocketAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan::View;
use serde_json::{Value, json};

use crate::{arena::Arena, caller::Caller, failure::Result};

/// Slices that somebody wrote by hand, for a Service without selector: conditions left out, an
/// endpoint in two slices, a slice without ports, names instead of addresses.
pub async fn slices_written_by_hand(arena: &Arena) -> Result {
    arena
        .stateful_set("other", 3)
        .parallel()
        .create()
        .await?
        .wait_ready(3)
        .await?;
    without_selector(arena).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;

    let ip = |ordinal: u32| -> Result<String> {
        Ok(arena.pod(&format!("other-{ordinal}"))?.ip().to_string())
    };
    let (first, second, third) = (ip(0)?, ip(1)?, ip(2)?);
    let endpoint =
        |ip: &str, conditions: Value| json!({"addresses": [ip], "conditions": conditions});
    let slices: Api<EndpointSlice> = Api::namespaced(arena.client(), arena.namespace());
    let write = async |name: &str, kind: &str, endpoints: Value, ports: Value| -> Result {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": kind,
            "endpoints": endpoints,
            "ports": ports,
        });
        slices
            .create(&PostParams::default(), &serde_json::from_value(slice)?)
            .await?;
        Ok(())
    };
    let http = || json!([{"name": "http", "port": 8080}]);
    let unready = endpoint(&third, json!({"ready": false}));
    let both = json!([
        endpoint(&first, json!({})),
        endpoint(&second, json!({"ready": true})),
        unready
    ]);
    write("one", "IPv4", both, http()).await?;
    write("two", "IPv4", json!([endpoint(&second, json!({}))]), http()).await?;
    write(
        "portless",
        "IPv4",
        json!([endpoint(&third, json!({}))]),
        Value::Null,
    )
    .await?;
    write(
        "names",
        "FQDN",
        json!([endpoint("db.example.com", json!({}))]),
        http(),
    )
    .await?;
    write("empty", "IPv6", json!([]), http()).await?;

    // There is no Pod to name them by.
    let at = |ips: &[&String]| {
        let mut wanted: Vec<String> = ips.iter().map(|ip| format!("{ip}:8080")).collect();
        wanted.sort();
        move |view: &View| {
            let addresses = view
                .endpoints()
                .iter()
                .map(|one| one.endpoint.address().to_string());
            let mut addresses: Vec<String> = addresses.collect();
            addresses.sort();
            addresses == wanted
        }
    };
    caller
        .until("the two that are ready", at(&[&first, &second]))
        .await?;
    caller.get().await?;

    let only_first = json!({"endpoints": [endpoint(&first, json!({}))]});
    slices
        .patch("one", &PatchParams::default(), &Patch::Merge(only_first))
        .await?;
    write("mark", "IPv4", json!([endpoint(&third, json!({}))]), http()).await?;
    caller
        .until(
            "the second is in another slice still",
            at(&[&first, &second, &third]),
        )
        .await?;
    slices.delete("two", &DeleteParams::default()).await?;
    caller
        .until("the second is gone", at(&[&first, &third]))
        .await?;
    slices.delete("one", &DeleteParams::default()).await?;
    slices.delete("mark", &DeleteParams::default()).await?;
    caller.until("all are gone", at(&[])).await?;
    Ok(())
}

/// Slices that make little sense, all of which the API server accepts: what cannot be connected to is
/// left out, what can be serves on, and a port without a number is the Service's target port.
pub async fn slices_that_make_no_sense(arena: &Arena) -> Result {
    arena
        .stateful_set("other", 2)
        .create()
        .await?
        .wait_ready(2)
        .await?;
    without_selector(arena).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    let (first, second) = (
        arena.pod("other-0")?.address(),
        arena.pod("other-1")?.address(),
    );
    let slices: Api<EndpointSlice> = Api::namespaced(arena.client(), arena.namespace());
    let write = async |name: &str, addresses: Value, port: Value| -> Result {
        let endpoint = |address: &Value| json!({"addresses": [address]});
        let endpoints: Vec<Value> = addresses
            .as_array()
            .into_iter()
            .flatten()
            .map(endpoint)
            .collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": port}],
        });
        slices
            .create(&PostParams::default(), &serde_json::from_value(slice)?)
            .await?;
        Ok(())
    };
    let (anybody, everybody) = ("224.0.1.1", "255.255.255.255");
    write("senseless", json!([anybody, everybody]), json!(8080)).await?;
    write(
        "partly",
        json!([anybody, first.ip().to_string()]),
        json!(8080),
    )
    .await?;
    write(
        "unrestricted",
        json!([second.ip().to_string()]),
        Value::Null,
    )
    .await?;
    let mut sensible = [first, second];
    sensible.sort();
    let only_sensible = |view: &View| {
        let addresses = view.endpoints().iter().map(|one| one.endpoint.address());
        let mut addresses: Vec<SocketAddr> = addresses.collect();
        addresses.sort();
        addresses == sensible
    };
    caller
        .until("the two that can be connected to", only_sensible)
        .await?;
    for _ in 0..20 {
        caller.get().await?;
    }
    Ok(())
}

/// A Service whose slices are for others to write.
async fn without_selector(arena: &Arena) -> Result {
    let service = arena.service("db").headless().port("http", 8080);
    service.without_selector().create().await?;
    Ok(())
}
