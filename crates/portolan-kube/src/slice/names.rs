//! One copy of each name that many endpoints share.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use portolan_core::Hints;

/// Node, zone and port names, and hints: 10,000 endpoints on 100 nodes in 3 zones keep 103 strings.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: HashSet<Arc<str>>,
    hints: HashMap<HintsKey, Arc<Hints>>,
    swept_at: usize,
}

type HintsKey = (Box<[Arc<str>]>, Box<[Arc<str>]>);

/// Below this many names it is not worth while to look for unused ones.
const SWEEP_FLOOR: usize = 1024;

impl Names {
    /// The shared copy of `name`.
    pub(crate) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.names.get(name) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = name.into();
        self.names.insert(Arc::clone(&shared));
        shared
    }

    /// The shared hints of these zones and nodes, or nothing where there are none.
    pub(crate) fn share_hints<'a>(
        &mut self,
        zones: impl Iterator<Item = &'a str>,
        nodes: impl Iterator<Item = &'a str>,
    ) -> Option<Arc<Hints>> {
        let key: HintsKey = (
            zones.map(|zone| self.share(zone)).collect(),
            nodes.map(|node| self.share(node)).collect(),
        );
        if key.0.is_empty() && key.1.is_empty() {
            return None;
        }
        let hints = self.hints.entry(key).or_insert_with_key(|(zones, nodes)| {
            Arc::new(Hints {
                zones: zones.clone(),
                nodes: nodes.clone(),
            })
        });
        Some(Arc::clone(hints))
    }

    /// Forgets what nobody uses any more, once enough came in since the last time: nodes come and
    /// go, and a process may run for months.
    pub(crate) fn sweep(&mut self) {
        if self.names.len() + self.hints.len() < SWEEP_FLOOR.max(2 * self.swept_at) {
            return;
        }
        self.hints.retain(|_, hints| Arc::strong_count(hints) > 1);
        self.names.retain(|name| Arc::strong_count(name) > 1);
        self.swept_at = self.names.len() + self.hints.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one() {
        let mut names = Names::default();
        let (a, b) = (names.share("eu-1a"), names.share("eu-1a"));
        assert!(Arc::ptr_eq(&a, &b));
        let one = names.share_hints(["eu-1a"].into_iter(), [].into_iter());
        let two = names.share_hints(["eu-1a"].into_iter(), [].into_iter());
        assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
        assert_eq!(names.share_hints([].into_iter(), [].into_iter()), None);
    }

    #[test]
    fn names_that_nobody_uses_are_forgotten() {
        let mut names = Names::default();
        let kept = names.share("kept");
        for n in 0..10 * SWEEP_FLOOR {
            names.share(&format!("node-{n}"));
            names.sweep();
        }
        assert!(
            names.names.len() <= 2 * SWEEP_FLOOR,
            "{}",
            names.names.len()
        );
        assert!(Arc::ptr_eq(&kept, &names.share("kept")));
    }
}
