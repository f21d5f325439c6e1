//! Who may do what: bearer tokens and the rules of RBAC.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

use super::refusal::Refusal;
use super::route::ResourceRequest;

/// A user of the cluster and what it may do: nothing, until rules are added.
///
/// Rules are those of a `Role` or `ClusterRole`, as JSON: either the whole object or its `rules`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_test::{TestCluster, User};
/// use serde_json::json;
///
/// let cluster = TestCluster::start().await?;
/// let reader = User::new("reader").rules_in("default", &json!([{
///     "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"],
/// }]))?;
/// let token = cluster.sign_in(reader);
/// let client = cluster.client_as(&token);
/// let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::default_namespaced(client);
/// let refused = pods.get("db-0").await.unwrap_err();
/// assert!(refused.to_string().contains(
///     r#"pods "db-0" is forbidden: User "reader" cannot get resource "pods" in API group "" in the namespace "default""#
/// ));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    grants: Vec<Grant>,
}

/// Rules and where they hold.
#[derive(Clone, Debug)]
struct Grant {
    /// `None` for everywhere.
    namespace: Option<String>,
    rule: Rule,
}

/// A `PolicyRule` of RBAC.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
}

impl User {
    /// A user without rights. A service account's name is `system:serviceaccount:NAMESPACE:NAME`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            grants: Vec::new(),
        }
    }

    /// A user who may do everything.
    #[must_use]
    pub fn admin(name: impl Into<String>) -> Self {
        let everything = || vec!["*".to_owned()];
        let mut user = Self::new(name);
        user.grants.push(Grant {
            namespace: None,
            rule: Rule {
                api_groups: everything(),
                resources: everything(),
                verbs: everything(),
                ..Rule::default()
            },
        });
        user
    }

    /// Adds the rules of a `Role` bound in `namespace`.
    ///
    /// # Errors
    /// [`Error::BadRules`] if `rules` is not a list of rules nor an object that holds one.
    pub fn rules_in(self, namespace: impl Into<String>, rules: &Value) -> Result<Self, Error> {
        self.grant(Some(namespace.into()), rules)
    }

    /// Adds the rules of a `ClusterRole` bound everywhere.
    ///
    /// # Errors
    /// [`Error::BadRules`] if `rules` is not a list of rules nor an object that holds one.
    pub fn cluster_rules(self, rules: &Value) -> Result<Self, Error> {
        self.grant(None, rules)
    }

    /// The user's name, as refusals show it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn grant(mut self, namespace: Option<String>, rules: &Value) -> Result<Self, Error> {
        let rules = rules.get("rules").unwrap_or(rules);
        let rules = Vec::<Rule>::deserialize(rules).map_err(Error::BadRules)?;
        self.grants.extend(rules.into_iter().map(|rule| Grant {
            namespace: namespace.clone(),
            rule,
        }));
        Ok(self)
    }

    /// Refuses, in the authoriser's words, what no rule allows.
    pub(crate) fn authorize(&self, request: &ResourceRequest) -> Result<(), Refusal> {
        let allowed = self.grants.iter().any(|grant| grant.allows(request));
        if allowed {
            return Ok(());
        }
        let resource = request.kind.resource();
        let place = if request.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", request.namespace)
        };
        let why = format!(
            "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            self.name,
            request.verb,
            request.rule_resource(),
            resource.group,
        );
        Err(Refusal::forbidden(&resource, request.rule_name(), &why))
    }
}

impl Grant {
    fn allows(&self, request: &ResourceRequest) -> bool {
        let covers = |allowed: &[String], asked: &str| {
            allowed.iter().any(|entry| entry == "*" || entry == asked)
        };
        let rule = &self.rule;
        let resource = request.rule_resource();
        // `*/status` allows the subresource of every resource.
        let everywhere = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        let here = self
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == request.namespace);
        here && covers(&rule.verbs, request.verb.as_str())
            && covers(&rule.api_groups, request.kind.resource().group)
            && (covers(&rule.resources, &resource)
                || everywhere.is_some_and(|any| rule.resources.contains(&any)))
            && (rule.resource_names.is_empty()
                || rule
                    .resource_names
                    .iter()
                    .any(|name| name == request.rule_name()))
    }
}

/// A bearer token. Its text is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// The text that goes behind `Authorization: Bearer`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The tokens that are known and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Access {
    sessions: Mutex<HashMap<Token, Session>>,
}

#[derive(Debug)]
struct Session {
    user: Arc<User>,
    expired: bool,
}

impl Access {
    /// Issues a token.
    pub(crate) fn sign_in(&self, user: Arc<User>) -> Token {
        let mut random = fastrand::Rng::new();
        let token = Token(format!("{:032x}", random.u128(..)).into());
        let expired = false;
        self.lock().insert(token.clone(), Session { user, expired });
        token
    }

    /// Makes a token worthless.
    pub(crate) fn expire(&self, token: &Token) {
        if let Some(session) = self.lock().get_mut(token) {
            session.expired = true;
        }
    }

    /// The user of a token, expired or not.
    pub(crate) fn user(&self, token: &Token) -> Option<Arc<User>> {
        let sessions = self.lock();
        sessions.get(token).map(|session| Arc::clone(&session.user))
    }

    /// The user that an `Authorization` header names; nobody in particular without one.
    pub(crate) fn authenticate(&self, authorization: Option<&str>) -> Result<Arc<User>, Refusal> {
        let Some(authorization) = authorization else {
            return Ok(Arc::new(User::new("system:anonymous")));
        };
        let text = authorization
            .strip_prefix("Bearer ")
            .ok_or_else(Refusal::unauthorized)?;
        let sessions = self.lock();
        let session = sessions.get(&Token(text.into()));
        session
            .filter(|session| !session.expired)
            .map(|session| Arc::clone(&session.user))
            .ok_or_else(Refusal::unauthorized)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
