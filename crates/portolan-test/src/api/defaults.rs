//! What the API server fills in when an object leaves it out.

use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;

use super::services::ServiceRange;

/// Settings of the cluster that defaults depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    /// For Pods that name no `terminationGracePeriodSeconds`, in whole seconds.
    pub(crate) grace_seconds: u64,
    /// Where Services get their virtual IPs.
    pub(crate) services: ServiceRange,
}

impl Defaults {
    /// Fills in `object`. What a Service gets depends on the others: see [`services`](super::services).
    pub(crate) fn fill_in(self, kind: Kind, object: &mut Value) {
        match kind {
            Kind::Namespace => {
                json::default(object, &["status", "phase"], "Active");
                // Held until the garbage collector has emptied it.
                json::default(object, &["metadata", "finalizers"], json!(["kubernetes"]));
            }
            Kind::Pod => {
                if let Some(spec) = object.get_mut("spec") {
                    self.pod_spec(spec);
                }
                json::default(object, &["status", "phase"], "Pending");
                json::default(object, &["status", "qosClass"], "BestEffort");
            }
            Kind::StatefulSet => {
                self.template(object);
                json::default(object, &["spec", "replicas"], 1);
                json::default(object, &["spec", "podManagementPolicy"], "OrderedReady");
                json::default(object, &["spec", "updateStrategy", "type"], "RollingUpdate");
                if json::text(object, "/spec/updateStrategy/type") == "RollingUpdate" {
                    let partition = ["spec", "updateStrategy", "rollingUpdate", "partition"];
                    json::default(object, &partition, 0);
                }
                json::default(object, &["spec", "revisionHistoryLimit"], 10);
            }
            Kind::Deployment => {
                self.template(object);
                json::default(object, &["spec", "replicas"], 1);
                json::default(object, &["spec", "strategy", "type"], "RollingUpdate");
                if json::text(object, "/spec/strategy/type") == "RollingUpdate" {
                    let rolling = |field| ["spec", "strategy", "rollingUpdate", field];
                    json::default(object, &rolling("maxSurge"), "25%");
                    json::default(object, &rolling("maxUnavailable"), "25%");
                }
            }
            Kind::EndpointSlice => {
                for endpoint in object
                    .get_mut("endpoints")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    json::default(endpoint, &["conditions"], json!({}));
                }
                for port in object
                    .get_mut("ports")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    json::default(port, &["name"], "");
                    json::default(port, &["protocol"], "TCP");
                }
                // Through the storage, an empty list comes back as none.
                for field in ["endpoints", "ports"] {
                    if json::items(object, &format!("/{field}")).is_empty() {
                        json::set(object, &[field], Value::Null);
                    }
                }
            }
            Kind::Service
            | Kind::Node
            | Kind::Endpoints
            | Kind::ConfigMap
            | Kind::ControllerRevision
            | Kind::Lease => {}
        }
    }

    fn template(self, workload: &mut Value) {
        if let Some(spec) = workload.pointer_mut("/spec/template/spec") {
            self.pod_spec(spec);
        }
    }

    fn pod_spec(self, spec: &mut Value) {
        let grace = self.grace_seconds;
        json::default(spec, &["terminationGracePeriodSeconds"], grace);
        json::default(spec, &["restartPolicy"], "Always");
        json::default(spec, &["dnsPolicy"], "ClusterFirst");
        let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let ports = container.get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten() {
                json::default(port, &["protocol"], "TCP");
            }
        }
    }
}
