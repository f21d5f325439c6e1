//! Refusals as the API server words them: a `Status` object with a code and a reason.

use std::fmt;

use http::StatusCode;
use serde_json::{Value, json};

use crate::kind::Resource;
use crate::store::StoreError;

/// A failed request.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Value>,
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(json!({
            "name": name,
            "group": resource.group,
            "kind": resource.plural,
        }));
        self
    }

    /// 400: the request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401: no such token, or an expired one.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403, with the words of the authoriser.
    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let what = quoted(resource, name);
        let message = format!("{what} is forbidden: {why}");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(resource, name)
    }

    /// 403 for a path that is no resource.
    pub(crate) fn forbidden_path(path: &str, why: &str) -> Self {
        let message = format!("forbidden: {why} path \"{path}\"");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// 404 for a path that leads nowhere.
    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 404 for an object.
    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} not found", quoted(resource, name));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(resource, name)
    }

    /// 415.
    pub(crate) fn unsupported_media_type(found: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - {found:?} is not accepted here"
        );
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(code, "UnsupportedMediaType", message)
    }

    /// 413.
    pub(crate) fn too_large() -> Self {
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        let message = "Request entity too large: limit is 3145728";
        Self::new(code, "RequestEntityTooLarge", message)
    }

    /// 422: the object is understood and wrong.
    pub(crate) fn invalid(kind: &str, name: &str, field: &str, why: &str) -> Self {
        let message = format!("{kind} \"{name}\" is invalid: {field}: {why}");
        let mut refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        refusal.details = Some(json!({
            "name": name,
            "kind": kind,
            "causes": [{"reason": "FieldValueInvalid", "message": why, "field": field}],
        }));
        refusal
    }

    /// 410: the history does not reach back that far.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// An arbitrary code, on a test's order.
    pub(crate) fn on_order(code: StatusCode) -> Self {
        let reason = match code {
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            StatusCode::INTERNAL_SERVER_ERROR => "InternalError",
            StatusCode::GATEWAY_TIMEOUT => "Timeout",
            StatusCode::UNAUTHORIZED => "Unauthorized",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::CONFLICT => "Conflict",
            StatusCode::GONE => "Expired",
            _ => "Unknown",
        };
        Self::new(code, reason, format!("ordered by the test: {code}"))
    }

    /// What a refusal of the store means for object `name` of `resource`.
    pub(crate) fn from_store(error: StoreError, resource: &Resource, name: &str) -> Self {
        let conflict = |why: &str| {
            let what = quoted(resource, name);
            let message = format!("Operation cannot be fulfilled on {what}: {why}");
            Self::new(StatusCode::CONFLICT, "Conflict", message).about(resource, name)
        };
        match error {
            StoreError::NotFound => Self::not_found(resource, name),
            StoreError::AlreadyExists => {
                let message = format!("{} already exists", quoted(resource, name));
                Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(resource, name)
            }
            StoreError::Conflict | StoreError::Precondition { .. } => conflict(&error.to_string()),
            StoreError::Expired { .. } => Self::expired(error.to_string()),
            StoreError::Future { .. } => {
                let code = StatusCode::GATEWAY_TIMEOUT;
                let mut refusal = Self::new(code, "Timeout", error.to_string());
                refusal.details = Some(json!({
                    "causes": [{
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }],
                    "retryAfterSeconds": 1,
                }));
                refusal
            }
        }
    }

    /// The `Status` object.
    pub(crate) fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        if let (Some(details), Some(fields)) = (&self.details, status.as_object_mut()) {
            fields.insert("details".to_owned(), details.clone());
        }
        status
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// `services "db"`, or `services` for no object in particular.
fn quoted(resource: &Resource, name: &str) -> String {
    let resource = resource.qualified();
    if name.is_empty() {
        resource
    } else {
        format!("{resource} \"{name}\"")
    }
}
