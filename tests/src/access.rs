//! Who asks the API server, and what they may do.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use http::{HeaderValue, Request, header::AUTHORIZATION};
use serde_json::Value;

use crate::failure::{Failure, Result};

/// A service account, and the token that its programs show from now on.
///
/// Changing the token is seen by the next request, as the rotation of a mounted token is within a
/// minute. Clones share the token.
#[derive(Clone)]
pub struct Account {
    namespace: String,
    name: String,
    token: Arc<RwLock<String>>,
}

impl Account {
    pub(crate) fn new(namespace: &str, name: &str, token: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            token: Arc::new(RwLock::new(token.to_owned())),
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the API server calls it.
    #[must_use]
    pub fn user(&self) -> String {
        user(&self.namespace, &self.name)
    }

    pub(crate) fn set_token(&self, token: &str) {
        token.clone_into(&mut self.token.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn token(&self) -> String {
        self.token
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows the token of the moment.
    pub(crate) fn sign<B>(&self, request: &mut Request<B>) {
        // A token that is no header value is shown as none, and refused.
        if let Ok(bearer) = HeaderValue::try_from(format!("Bearer {}", self.token())) {
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.user()).finish()
    }
}

/// What the API server calls a service account.
pub(crate) fn user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// One YAML document of a manifest.
pub(crate) struct Document {
    /// As it is written.
    pub(crate) text: String,
    /// What it says.
    pub(crate) object: Value,
}

/// The documents of a manifest.
pub(crate) fn documents(manifest: &str) -> Result<Vec<Document>> {
    let parse = |text: &str| -> Result<Document> {
        let object: Value = serde_saphyr::from_str(text)
            .map_err(|error| Failure::new(format_args!("{error}, in:\n{text}")))?;
        Ok(Document {
            text: text.to_owned(),
            object,
        })
    };
    manifest.split("\n---\n").map(parse).collect()
}

impl Document {
    /// The text at a JSON pointer, empty if there is none.
    pub(crate) fn at(&self, pointer: &str) -> &str {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}
