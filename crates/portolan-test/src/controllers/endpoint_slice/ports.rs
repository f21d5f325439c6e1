//! The ports of a Service, resolved on a Pod.

use serde_json::{Value, json};

use crate::json;

/// The ports of the slices that hold `pod`; null if there are none.
///
/// A named target port is looked up in the Pod's containers, so Pods of one Service may differ. A
/// port that the Pod does not have is left out.
pub(super) fn resolve(service: &Value, pod: &Value) -> Value {
    let ports: Vec<Value> = json::items(service, "/spec/ports")
        .iter()
        .filter_map(|port| {
            let number = target(port, pod)?;
            let mut resolved = json!({
                "name": json::text(port, "/name"),
                "port": number,
                "protocol": protocol(port),
            });
            if let Some(app) = port.get("appProtocol") {
                json::set(&mut resolved, &["appProtocol"], app.clone());
            }
            Some(resolved)
        })
        .collect();
    if ports.is_empty() {
        Value::Null
    } else {
        Value::Array(ports)
    }
}

fn target(port: &Value, pod: &Value) -> Option<i64> {
    let target = port.get("targetPort").or_else(|| port.get("port"))?;
    let Some(name) = target.as_str() else {
        return target.as_i64();
    };
    json::items(pod, "/spec/containers")
        .iter()
        .flat_map(|container| json::items(container, "/ports"))
        .find(|candidate| {
            json::text(candidate, "/name") == name && protocol(candidate) == protocol(port)
        })
        .and_then(|found| json::integer(found, "/containerPort"))
}

fn protocol(port: &Value) -> &str {
    match json::text(port, "/protocol") {
        "" => "TCP",
        protocol => protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_port_is_the_pods_own_and_an_unknown_one_is_left_out() {
        let service = json!({"spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": "web", "appProtocol": "http"},
            {"name": "admin", "port": 81, "targetPort": 9000},
            {"name": "none", "port": 82, "targetPort": "nowhere"},
        ]}});
        let pod = |number| {
            json!({"spec": {"containers": [
                {"ports": [{"name": "web", "containerPort": number, "protocol": "TCP"}]},
            ]}})
        };
        let expected = |number| {
            json!([
                {"name": "http", "port": number, "protocol": "TCP", "appProtocol": "http"},
                {"name": "admin", "port": 9000, "protocol": "TCP"},
            ])
        };
        assert_eq!(resolve(&service, &pod(8080)), expected(8080));
        assert_eq!(resolve(&service, &pod(8081)), expected(8081));
    }

    #[test]
    fn a_service_without_ports_has_null() {
        let service = json!({"spec": {"clusterIP": "None"}});
        assert_eq!(resolve(&service, &json!({})), Value::Null);
    }
}
