//! The EndpointSlice controller: the live Pods of a Service, written as Kubernetes writes them.
//!
//! One family of addresses and one set of resolved ports make a group; a group has as many slices
//! as it needs. Slices that are no longer needed are used again under their name for new ones, and
//! a Service without endpoints keeps one empty slice. Services without a selector are left alone.

mod endpoint;
mod packing;
mod ports;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;
use crate::selector::LabelSelector;
use crate::store::{Deletion, Key, StoreError};

use super::{Controllers, ownership, pods};

use self::endpoint::{EndpointMaker, Family};

/// The label that names a slice's Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// The label that says who writes a slice.
const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// This controller's name in that label.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Set on the slices of headless Services.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// Tells when the change happened that led to the present contents.
const TRIGGER_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// A slice as it is to be.
struct Desired {
    ports: Value,
    endpoints: Vec<Value>,
}

/// What to do with the slices of one address family.
#[derive(Default)]
struct Work {
    create: Vec<Desired>,
    update: Vec<(Arc<Value>, Desired)>,
    delete: Vec<Arc<Value>>,
}

pub(super) fn reconcile(controllers: &Controllers, service: &Value) {
    let external = json::text(service, "/spec/type") == "ExternalName";
    let Some(selector) = LabelSelector::of_service(service).filter(|_| !external) else {
        return;
    };
    if pods::is_terminating(service) {
        return;
    }
    let mut members = controllers.pods_in(json::text(service, "/metadata/namespace"));
    members.retain(|pod| selector.matches(pod) && !pods::is_over(pod));
    let mut existing = existing_slices(controllers, service);
    for family in Family::of_service(service) {
        let here = existing
            .extract_if(.., |slice| {
                json::text(slice, "/addressType") == family.address_type()
            })
            .collect();
        reconcile_family(controllers, service, family, &members, here);
    }
    // Slices of a family that the Service does not have any more.
    for slice in existing {
        delete(controllers, &slice);
    }
}

/// The slices of `service` that this controller wrote.
fn existing_slices(controllers: &Controllers, service: &Value) -> Vec<Arc<Value>> {
    let mut slices = controllers.store.objects(Kind::EndpointSlice);
    slices.retain(|slice| {
        json::text(slice, "/metadata/namespace") == json::text(service, "/metadata/namespace")
            && json::label(slice, SERVICE_LABEL) == Some(json::text(service, "/metadata/name"))
            && json::label(slice, MANAGED_BY_LABEL) == Some(CONTROLLER)
    });
    slices
}

fn reconcile_family(
    controllers: &Controllers,
    service: &Value,
    family: Family,
    members: &[Arc<Value>],
    existing: Vec<Arc<Value>>,
) {
    let maker = EndpointMaker::new(controllers, service, family);
    let mut groups: BTreeMap<String, Desired> = BTreeMap::new();
    for pod in members {
        let Some(endpoint) = maker.endpoint(pod) else {
            continue;
        };
        let ports = ports::resolve(service, pod);
        let group = groups.entry(ports.to_string()).or_insert_with(|| Desired {
            ports,
            endpoints: Vec::new(),
        });
        group.endpoints.push(endpoint);
    }

    let mut by_group: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for slice in existing {
        let ports = slice.get("ports").cloned().unwrap_or_default();
        by_group.entry(ports.to_string()).or_default().push(slice);
    }
    let mut work = Work::default();
    let mut kept = 0;
    for (group, desired) in groups {
        let slices = by_group.remove(&group).unwrap_or_default();
        kept += work.pack(controllers, &slices, desired);
    }
    work.delete.extend(by_group.into_values().flatten());
    if kept == 0 && work.create.is_empty() && work.update.is_empty() {
        work.keep_one_empty();
    }
    work.reuse_names();
    work.carry_out(controllers, service, family);
}

impl Work {
    /// Plans one group; tells how many of its slices stay as they are.
    fn pack(
        &mut self,
        controllers: &Controllers,
        slices: &[Arc<Value>],
        desired: Desired,
    ) -> usize {
        let contents: Vec<&[Value]> = slices
            .iter()
            .map(|slice| json::items(slice, "/endpoints"))
            .collect();
        let limit = controllers.endpoints_per_slice;
        let packed = packing::pack(&contents, desired.endpoints, limit);
        let mut kept = 0;
        for (slice, change) in slices.iter().zip(packed.existing) {
            match change {
                packing::Change::Keep => kept += 1,
                packing::Change::Delete => self.delete.push(Arc::clone(slice)),
                packing::Change::Replace(endpoints) => {
                    let ports = desired.ports.clone();
                    let desired = Desired { ports, endpoints };
                    self.update.push((Arc::clone(slice), desired));
                }
            }
        }
        self.create
            .extend(packed.new.into_iter().map(|endpoints| Desired {
                ports: desired.ports.clone(),
                endpoints,
            }));
        kept
    }

    /// A Service without endpoints has one slice without endpoints and ports.
    fn keep_one_empty(&mut self) {
        let is_empty = |slice: &Arc<Value>| {
            json::items(slice, "/endpoints").is_empty() && json::items(slice, "/ports").is_empty()
        };
        match self.delete.iter().position(is_empty) {
            Some(place) => {
                self.delete.remove(place);
            }
            None => self.create.push(Desired {
                ports: Value::Null,
                endpoints: Vec::new(),
            }),
        }
    }

    /// Slices to delete become slices to update instead of new ones.
    fn reuse_names(&mut self) {
        while !self.delete.is_empty()
            && let Some(desired) = self.create.pop()
        {
            self.update.push((self.delete.remove(0), desired));
        }
    }

    /// New endpoints come before old ones go, so that none is missing in between.
    fn carry_out(self, controllers: &Controllers, service: &Value, family: Family) {
        for desired in self.create {
            create(controllers, service, family, desired);
        }
        for (slice, desired) in self.update {
            update(controllers, service, &slice, desired);
        }
        for slice in self.delete {
            delete(controllers, &slice);
        }
    }
}

fn create(controllers: &Controllers, service: &Value, family: Family, desired: Desired) {
    let name = json::text(service, "/metadata/name");
    let slice = json!({
        "metadata": {
            "generateName": format!("{name}-"),
            "namespace": json::text(service, "/metadata/namespace"),
            "labels": labels(service),
            "annotations": {TRIGGER_ANNOTATION: controllers.store.clock().stamp()},
            "ownerReferences": [ownership::reference(service)],
        },
        "addressType": family.address_type(),
        "endpoints": desired.endpoints,
        "ports": desired.ports,
    });
    controllers.create(Kind::EndpointSlice, slice);
}

fn update(controllers: &Controllers, service: &Value, slice: &Value, desired: Desired) {
    let stamp = controllers.store.clock().stamp();
    let defaults = controllers.defaults;
    let written = controllers
        .store
        .update(Kind::EndpointSlice, &Key::of(slice), |slice| {
            json::set(slice, &["endpoints"], desired.endpoints);
            json::set(slice, &["ports"], desired.ports);
            json::set(slice, &["metadata", "labels"], labels(service));
            json::set(
                slice,
                &["metadata", "annotations", TRIGGER_ANNOTATION],
                stamp,
            );
            defaults.fill_in(Kind::EndpointSlice, slice);
            Ok::<(), StoreError>(())
        });
    if let Err(error) = written {
        tracing::debug!(%error, "a slice went in between");
    }
}

fn delete(controllers: &Controllers, slice: &Value) {
    let deletion = Deletion::default();
    // If it is gone by itself, so much the better.
    controllers
        .store
        .delete(Kind::EndpointSlice, &Key::of(slice), &deletion)
        .ok();
}

/// The labels of the Service, and those of the controller.
fn labels(service: &Value) -> Value {
    let mut labels = service
        .pointer("/metadata/labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let name = json::text(service, "/metadata/name");
    json::set(&mut labels, &[SERVICE_LABEL], name);
    json::set(&mut labels, &[MANAGED_BY_LABEL], CONTROLLER);
    if json::text(service, "/spec/clusterIP") == "None" {
        json::set(&mut labels, &[HEADLESS_LABEL], "");
    }
    labels
}
