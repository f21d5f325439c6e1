//! From method and path to what is asked for.

use http::{Method, Uri};

use crate::kind::Kind;
use crate::requests::Verb;
use crate::store::Key;

use super::query::Query;
use super::refusal::Refusal;

/// A part of an object that has a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subresource {
    Status,
    Scale,
    Binding,
}

impl Subresource {
    fn find(kind: Kind, name: &str) -> Option<Self> {
        let resource = kind.resource();
        match name {
            "status" if resource.status => Some(Self::Status),
            "scale" if resource.scale => Some(Self::Scale),
            "binding" if kind == Kind::Pod => Some(Self::Binding),
            _ => None,
        }
    }

    /// As in the path: `status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Binding => "binding",
        }
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Route {
    /// Objects.
    Resource(Box<ResourceRequest>),
    /// Version, health, discovery.
    Path(String),
}

/// A request about objects.
#[derive(Debug)]
pub(crate) struct ResourceRequest {
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    /// Empty for all namespaces, or where there are none.
    pub(crate) namespace: String,
    /// Empty for a collection.
    pub(crate) name: String,
    pub(crate) subresource: Option<Subresource>,
    pub(crate) query: Query,
}

impl ResourceRequest {
    pub(crate) fn key(&self) -> Key {
        Key::new(self.namespace.clone(), self.name.clone())
    }

    /// The resource as RBAC rules name it: `pods/status`.
    pub(crate) fn rule_resource(&self) -> String {
        let plural = self.kind.resource().plural;
        match self.subresource {
            Some(subresource) => format!("{plural}/{}", subresource.name()),
            None => plural.to_owned(),
        }
    }

    /// The name that RBAC sees: also that of a list of one object.
    pub(crate) fn rule_name(&self) -> &str {
        if self.name.is_empty() {
            self.query.selection.fields.only_name().unwrap_or_default()
        } else {
            &self.name
        }
    }
}

impl Route {
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        let segments: Vec<&str> = uri.path().split('/').filter(|s| !s.is_empty()).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, "v1", rest @ ..] => (*group, rest),
            _ => return Ok(Self::Path(uri.path().to_owned())),
        };
        let (namespace, plural, name, subresource) = match rest {
            [] => return Ok(Self::Path(uri.path().to_owned())),
            // A namespace is an object and a place for objects.
            ["namespaces"] => ("", "namespaces", "", ""),
            ["namespaces", name] => ("", "namespaces", *name, ""),
            ["namespaces", name, "status"] => ("", "namespaces", *name, "status"),
            ["namespaces", namespace, plural] => (*namespace, *plural, "", ""),
            ["namespaces", namespace, plural, name] => (*namespace, *plural, *name, ""),
            ["namespaces", namespace, plural, name, sub] => (*namespace, *plural, *name, *sub),
            [plural] => ("", *plural, "", ""),
            [plural, name] => ("", *plural, *name, ""),
            [plural, name, sub] => ("", *plural, *name, *sub),
            _ => return Err(Refusal::no_such_path()),
        };
        let kind = Kind::find(group, plural).ok_or_else(Refusal::no_such_path)?;
        let placed = kind.resource().namespaced != namespace.is_empty();
        if !placed && (!name.is_empty() || !namespace.is_empty()) {
            return Err(Refusal::no_such_path());
        }
        let subresource = match subresource {
            "" => None,
            other => Some(Subresource::find(kind, other).ok_or_else(Refusal::no_such_path)?),
        };
        let query = Query::parse(uri.query().unwrap_or_default())?;
        let verb = verb(method, name.is_empty(), query.watch)?;
        if verb == Verb::Create && !placed {
            return Err(Refusal::method_not_allowed());
        }
        Ok(Self::Resource(Box::new(ResourceRequest {
            verb,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource,
            query,
        })))
    }
}

fn verb(method: &Method, collection: bool, watch: bool) -> Result<Verb, Refusal> {
    Ok(match (method.as_str(), collection) {
        ("GET", true) if watch => Verb::Watch,
        ("GET", true) => Verb::List,
        ("GET", false) => Verb::Get,
        ("POST", _) => Verb::Create,
        ("PUT", false) => Verb::Update,
        ("PATCH", false) => Verb::Patch,
        ("DELETE", false) => Verb::Delete,
        ("DELETE", true) => Verb::DeleteCollection,
        _ => return Err(Refusal::method_not_allowed()),
    })
}
