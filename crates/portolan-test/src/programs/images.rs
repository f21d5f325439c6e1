//! The registry: which program an image name stands for.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Program;

/// Image names and their programs. Clones share one registry.
///
/// A name is looked up with its tag first, then without: `db` stands for `db:v1`, too. A Pod with
/// an unknown image waits with `ErrImagePull`, as on a real node, until it is registered and the
/// Pod made anew.
///
/// ```
/// use portolan_test::{Images, programs};
///
/// let images = Images::default();
/// images.register("registry.example/echo", programs::echo());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Images {
    programs: Arc<RwLock<HashMap<String, Arc<dyn Program>>>>,
}

impl Images {
    /// Registers the program of `image`, or replaces it for containers started from now on.
    pub fn register(&self, image: impl Into<String>, program: impl Program) {
        let mut programs = self
            .programs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        programs.insert(image.into(), Arc::new(program));
    }

    pub(crate) fn find(&self, image: &str) -> Option<Arc<dyn Program>> {
        let programs = self.programs.read().unwrap_or_else(PoisonError::into_inner);
        let untagged = match image.rsplit_once(':') {
            // A colon before a slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') => name,
            _ => image,
        };
        programs
            .get(image)
            .or_else(|| programs.get(untagged))
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::echo;

    #[test]
    fn a_name_stands_for_all_its_tags() {
        let images = Images::default();
        images.register("localhost:5000/db", echo());
        assert!(images.find("localhost:5000/db:v2").is_some());
        assert!(images.find("localhost:5000/db").is_some());
        assert!(images.find("localhost").is_none());
    }
}
