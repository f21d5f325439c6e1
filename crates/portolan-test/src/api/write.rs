//! Requests that write: create, update, patch, apply, delete, and the subresources.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;
use crate::store::{Deleted, Deletion, Key, Store, StoreError};

use super::defaults::Defaults;
use super::patch::PatchKind;
use super::refusal::Refusal;
use super::route::{ResourceRequest, Subresource};
use super::scale;
use super::services::{self, Taken};

/// Writes to the store on behalf of one request.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a Store,
    pub(crate) defaults: Defaults,
    pub(crate) request: &'a ResourceRequest,
}

/// A code and a body.
type Answer = Result<(StatusCode, Value), Refusal>;

/// A refusal in the middle of an update.
enum Stop {
    Store(StoreError),
    Refused(Refusal),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Writer<'_> {
    /// POST.
    pub(crate) fn create(&self, body: &[u8]) -> Answer {
        let object = parse(body)?;
        match self.request.subresource {
            None if self.request.name.is_empty() => self.create_object(object),
            Some(Subresource::Binding) => self.bind(&object),
            _ => Err(Refusal::method_not_allowed()),
        }
    }

    fn create_object(&self, mut object: Value) -> Answer {
        let request = self.request;
        self.check_body(&object)?;
        if request.kind.resource().namespaced {
            self.check_namespace()?;
        }
        if request.kind.resource().status && request.kind != Kind::Node {
            json::remove(&mut object, &["status"]);
        }
        if request.kind == Kind::Service {
            let this = Key::new(
                request.namespace.clone(),
                json::text(&object, "/metadata/name"),
            );
            let taken = Taken::by_others(self.store, &this);
            services::check(&object)?;
            services::fill_in(&mut object, self.defaults.services, taken);
        }
        self.defaults.fill_in(request.kind, &mut object);
        if request.query.dry_run {
            return Ok((StatusCode::CREATED, object));
        }
        let name = json::text(&object, "/metadata/name").to_owned();
        let created = self
            .store
            .create(request.kind, &request.namespace, object)
            .map_err(|error| self.refuse(error, &name))?;
        Ok((StatusCode::CREATED, Value::clone(&created)))
    }

    /// PUT.
    pub(crate) fn update(&self, body: &[u8]) -> Answer {
        let new = parse(body)?;
        let request = self.request;
        if request.subresource == Some(Subresource::Scale) {
            return self.change(|object| scale::write(object, &new));
        }
        self.check_body(&new)?;
        if json::text(&new, "/metadata/name") != request.name {
            let found = json::text(&new, "/metadata/name");
            let why = format!(
                "the name of the object ({found}) does not match the name on the URL ({})",
                request.name
            );
            return Err(Refusal::bad_request(why));
        }
        self.change(|object| {
            *object = new;
            Ok(())
        })
    }

    /// PATCH.
    pub(crate) fn patch(&self, content_type: &str, body: &[u8]) -> Answer {
        let kind = PatchKind::of(content_type)?;
        let patch = parse(body)?;
        let request = self.request;
        if request.subresource == Some(Subresource::Scale) {
            return self.change(|object| {
                let mut shown = scale::show(object);
                kind.apply(&mut shown, &patch)?;
                scale::write(object, &shown)
            });
        }
        let absent = self.store.get(request.kind, &request.key()).is_none();
        if kind == PatchKind::Apply && absent && request.subresource.is_none() {
            let mut object = patch;
            json::set(&mut object, &["metadata", "name"], request.name.clone());
            return self.create_object(object);
        }
        self.change(|object| {
            // A patch is made against whatever is newest, unless it names a version itself.
            json::remove(object, &["metadata", "resourceVersion"]);
            kind.apply(object, &patch)
        })
    }

    /// Changes the part of the object that the request may change.
    fn change(&self, change: impl FnOnce(&mut Value) -> Result<(), Refusal>) -> Answer {
        let request = self.request;
        let taken =
            (request.kind == Kind::Service).then(|| Taken::by_others(self.store, &request.key()));
        let mut dry = None;
        let changed = self.store.update(request.kind, &request.key(), |object| {
            let before = object.clone();
            change(object)?;
            self.confine(&before, object);
            if let Some(taken) = taken {
                services::check(object)?;
                services::fill_in(object, self.defaults.services, taken);
            }
            self.defaults.fill_in(request.kind, object);
            if request.query.dry_run {
                dry = Some(std::mem::replace(object, before));
            }
            Ok(())
        });
        match changed {
            Ok(object) => {
                let object = dry.unwrap_or_else(|| Value::clone(&object));
                let shown = match request.subresource {
                    Some(Subresource::Scale) => scale::show(&object),
                    _ => object,
                };
                Ok((StatusCode::OK, shown))
            }
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Store(error)) => Err(self.refuse(error, &request.name)),
        }
    }

    /// Undoes changes to parts that this path does not lead to.
    fn confine(&self, before: &Value, after: &mut Value) {
        match self.request.subresource {
            Some(Subresource::Status) => {
                let status = after.get("status").cloned();
                let version = after.pointer("/metadata/resourceVersion").cloned();
                after.clone_from(before);
                match status {
                    Some(status) => json::set(after, &["status"], status),
                    None => json::remove(after, &["status"]),
                }
                match version {
                    Some(version) => json::set(after, &["metadata", "resourceVersion"], version),
                    None => json::remove(after, &["metadata", "resourceVersion"]),
                }
            }
            _ if self.request.kind.resource().status => json::copy_field(before, after, "status"),
            _ => {}
        }
        if self.request.kind == Kind::Service {
            services::keep_what_was_allocated(before, after);
            services::drop_what_the_type_has_no_use_for(before, after);
        }
    }

    /// POST to `pods/NAME/binding`: gives a Pod to a node.
    fn bind(&self, binding: &Value) -> Answer {
        let node = json::text(binding, "/target/name").to_owned();
        let request = self.request;
        let now = self.store.clock().stamp();
        let bound = self.store.update(request.kind, &request.key(), |pod| {
            let taken = json::text(pod, "/spec/nodeName");
            if !taken.is_empty() {
                return Err(Stop::Store(StoreError::Conflict));
            }
            json::set(pod, &["spec", "nodeName"], node);
            let scheduled = json!([{
                "type": "PodScheduled", "status": "True", "lastTransitionTime": now,
            }]);
            PatchKind::Strategic
                .apply(pod, &json!({"status": {"conditions": scheduled}}))
                .map_err(Stop::Refused)
        });
        match bound {
            Ok(_) => Ok((StatusCode::CREATED, success(None))),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Store(error)) => Err(self.refuse(error, &request.name)),
        }
    }

    /// DELETE of one object.
    pub(crate) fn delete(&self, body: &[u8]) -> Answer {
        let request = self.request;
        let options = if body.is_empty() {
            json!({})
        } else {
            parse(body)?
        };
        let deleted = self.delete_object(&request.key(), &options)?;
        let resource = request.kind.resource();
        let answer = match deleted {
            Deleted::Marked(object) => Value::clone(&object),
            // Pods come back whole, everything else as a Status.
            Deleted::Removed(object) if request.kind == Kind::Pod => Value::clone(&object),
            Deleted::Removed(object) => success(Some(json!({
                "name": request.name,
                "group": resource.group,
                "kind": resource.plural,
                "uid": json::text(&object, "/metadata/uid"),
            }))),
        };
        Ok((StatusCode::OK, answer))
    }

    /// DELETE of a collection.
    pub(crate) fn delete_collection(&self, body: &[u8]) -> Answer {
        let request = self.request;
        let options = if body.is_empty() {
            json!({})
        } else {
            parse(body)?
        };
        let resource = request.kind.resource();
        let listing = self
            .store
            .list(request.kind, None)
            .map_err(|error| self.refuse(error, ""))?;
        let mut items = Vec::new();
        for (key, object) in listing.objects {
            let here = request.namespace.is_empty() || key.namespace == request.namespace;
            if here
                && request.query.selection.matches(&object)
                && self.delete_object(&key, &options).is_ok()
            {
                items.push(Value::clone(&object));
            }
        }
        let list = json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": self.store.version().to_string()},
            "items": items,
        });
        Ok((StatusCode::OK, list))
    }

    fn delete_object(&self, key: &Key, options: &Value) -> Result<Deleted, Refusal> {
        let request = self.request;
        let asked = request.query.grace.or_else(|| {
            let seconds = json::integer(options, "/gracePeriodSeconds")?;
            u64::try_from(seconds).ok().map(Duration::from_secs)
        });
        let grace = match request.kind {
            Kind::Pod => {
                let pod = self.store.get(Kind::Pod, key);
                pod.map_or(Duration::ZERO, |pod| pod_grace(&pod, asked))
            }
            _ => Duration::ZERO,
        };
        let named = |pointer| {
            let text = json::text(options, pointer);
            (!text.is_empty()).then(|| text.to_owned())
        };
        let deletion = Deletion {
            grace,
            uid: named("/preconditions/uid"),
            version: named("/preconditions/resourceVersion"),
        };
        self.store
            .delete(request.kind, key, &deletion)
            .map_err(|error| self.refuse(error, &key.name))
    }

    fn check_body(&self, object: &Value) -> Result<(), Refusal> {
        let request = self.request;
        let resource = request.kind.resource();
        let kind = json::text(object, "/kind");
        let version = json::text(object, "/apiVersion");
        let other_kind = !kind.is_empty() && kind != resource.kind;
        if other_kind || (!version.is_empty() && version != resource.api_version()) {
            let why = format!(
                "the object provided is {version} {kind}, and not {} {}",
                resource.api_version(),
                resource.kind
            );
            return Err(Refusal::bad_request(why));
        }
        let namespace = json::text(object, "/metadata/namespace");
        if !namespace.is_empty() && namespace != request.namespace {
            let why = "the namespace of the provided object does not match the namespace sent on \
                       the request";
            return Err(Refusal::bad_request(why));
        }
        let name = json::text(object, "/metadata/name");
        if name.is_empty() && json::text(object, "/metadata/generateName").is_empty() {
            let why = "Required value: name or generateName is required";
            return Err(Refusal::invalid(resource.kind, name, "metadata.name", why));
        }
        if !name.is_empty() && !is_subdomain(name) {
            let why = format!("Invalid value: {name:?}: a lowercase RFC 1123 subdomain is wanted");
            return Err(Refusal::invalid(resource.kind, name, "metadata.name", &why));
        }
        Ok(())
    }

    fn check_namespace(&self) -> Result<(), Refusal> {
        let name = &self.request.namespace;
        let key = Key::new("", name.clone());
        match self.store.get(Kind::Namespace, &key) {
            None => Err(Refusal::not_found(&Kind::Namespace.resource(), name)),
            Some(namespace) if json::text(&namespace, "/status/phase") == "Terminating" => {
                let why = format!(
                    "unable to create new content in namespace {name} because it is being terminated"
                );
                Err(Refusal::forbidden(&self.request.kind.resource(), "", &why))
            }
            Some(_) => Ok(()),
        }
    }

    fn refuse(&self, error: StoreError, name: &str) -> Refusal {
        Refusal::from_store(error, &self.request.kind.resource(), name)
    }
}

/// Whether `name` is a lowercase RFC 1123 subdomain.
pub(super) fn is_subdomain(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name
            .chars()
            .all(|c| alphanumeric(c) || matches!(c, '-' | '.'))
}

/// How long a Pod has: what is asked for, else what it says itself; nothing if no kubelet has it
/// or it is over already.
pub(crate) fn pod_grace(pod: &Value, asked: Option<Duration>) -> Duration {
    let unscheduled = json::text(pod, "/spec/nodeName").is_empty();
    let over = matches!(json::text(pod, "/status/phase"), "Succeeded" | "Failed");
    if unscheduled || over {
        return Duration::ZERO;
    }
    let own = json::integer(pod, "/spec/terminationGracePeriodSeconds");
    let own = own.and_then(|seconds| u64::try_from(seconds).ok());
    asked.unwrap_or(Duration::from_secs(own.unwrap_or(30)))
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("couldn't parse the body as JSON: {error}")))
}

fn success(details: Option<Value>) -> Value {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
    });
    if let Some(details) = details {
        json::set(&mut status, &["details"], details);
    }
    status
}
