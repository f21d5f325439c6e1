//! The head of a request, whichever client it is of.

use http::{Extensions, HeaderMap, Method};

/// The head of an HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    method: &'r Method,
    path: &'r str,
    query: Option<&'r str>,
    headers: &'r HeaderMap,
    extensions: Option<&'r Extensions>,
}

impl<'r> Head<'r> {
    pub(crate) fn of<B>(request: &'r http::Request<B>) -> Self {
        Self {
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query(),
            headers: request.headers(),
            extensions: Some(request.extensions()),
        }
    }

    /// Reqwest keeps the extensions of its requests to itself.
    #[cfg(feature = "reqwest")]
    pub(crate) fn of_reqwest(request: &'r reqwest::Request) -> Self {
        Self {
            method: request.method(),
            path: request.url().path(),
            query: request.url().query(),
            headers: request.headers(),
            extensions: None,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'r Method {
        self.method
    }

    /// The path, as it is sent: percent-encoded.
    #[must_use]
    pub fn path(&self) -> &'r str {
        self.path
    }

    /// What comes after the `?`, as it is sent: percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&'r str> {
        self.query
    }

    /// The headers; with gRPC, the call's metadata.
    #[must_use]
    pub fn headers(&self) -> &'r HeaderMap {
        self.headers
    }

    /// What the caller has attached to the request, of this type. A request of reqwest has none.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&'r T> {
        self.extensions?.get()
    }
}
