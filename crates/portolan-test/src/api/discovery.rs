//! Version, health and discovery: as much as clients ask for when they start.

use serde_json::{Value, json};

use crate::kind::Kind;

use super::refusal::Refusal;
use super::route::Subresource;

/// The groups besides the core.
const GROUPS: [&str; 3] = ["apps", "coordination.k8s.io", "discovery.k8s.io"];

/// Whether everybody may read `path`, even without a token.
pub(crate) fn is_public(path: &str) -> bool {
    matches!(path, "/version" | "/healthz" | "/livez" | "/readyz")
}

/// The answer to a GET of a path that is no resource.
pub(crate) fn show(path: &str) -> Result<Value, Refusal> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    Ok(match segments.as_slice() {
        ["version"] => json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.0+portolan-test",
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "", "compiler": "", "platform": "linux/amd64",
        }),
        ["healthz" | "livez" | "readyz", ..] => Value::String("ok".to_owned()),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"]}),
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": GROUPS.map(group),
        }),
        ["apis", name] if GROUPS.contains(name) => {
            let mut group = group(name);
            if let Some(fields) = group.as_object_mut() {
                fields.insert("kind".to_owned(), "APIGroup".into());
                fields.insert("apiVersion".to_owned(), "v1".into());
            }
            group
        }
        ["api", "v1"] => resources("", "v1"),
        ["apis", name, "v1"] if GROUPS.contains(name) => resources(name, &format!("{name}/v1")),
        _ => return Err(Refusal::no_such_path()),
    })
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str, group_version: &str) -> Value {
    let mut resources = Vec::new();
    for kind in Kind::ALL {
        let resource = kind.resource();
        if resource.group != group {
            continue;
        }
        resources.push(json!({
            "name": resource.plural,
            "singularName": resource.kind.to_lowercase(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": [
                "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
            ],
        }));
        let subresources = [
            (resource.status, Subresource::Status),
            (resource.scale, Subresource::Scale),
            (kind == Kind::Pod, Subresource::Binding),
        ];
        for (_, subresource) in subresources.into_iter().filter(|(there, _)| *there) {
            resources.push(json!({
                "name": format!("{}/{}", resource.plural, subresource.name()),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": match subresource {
                    Subresource::Scale => "Scale",
                    Subresource::Binding => "Binding",
                    Subresource::Status => resource.kind,
                },
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    })
}
