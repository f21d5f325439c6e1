//! What discovery asks the API server, counted where the requests leave.

use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use kube::client::Body;

/// The requests that were made. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Questions {
    /// How many lists of `resource` were asked for: streaming ones, or first pages.
    #[must_use]
    pub fn lists(&self, resource: &str) -> usize {
        self.count(resource, |query| {
            query.contains("sendInitialEvents=true")
                || !query.contains("watch=true") && !query.contains("continue=")
        })
    }

    /// How many watches of `resource` were opened where another one had stopped.
    #[must_use]
    pub fn resumptions(&self, resource: &str) -> usize {
        self.count(resource, |query| {
            query.contains("watch=true") && !query.contains("sendInitialEvents=true")
        })
    }

    fn count(&self, resource: &str, is_one: impl Fn(&str) -> bool) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let of_resource = asked.iter().filter_map(|one| one.split_once('?'));
        of_resource
            .filter(|(path, query)| path.ends_with(resource) && is_one(query))
            .count()
    }

    pub(crate) fn note(&self, request: &Request<Body>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request.uri().to_string());
    }
}
