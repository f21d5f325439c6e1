//! One copy of what many endpoints have in common.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use portolan_core::{Hints, Topology};

/// Port names, and where endpoints run: 10,000 of them on 100 nodes in 3 zones keep 100 topologies, of 103
/// strings.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: HashSet<Arc<str>>,
    hints: HashSet<Arc<Hints>>,
    topologies: HashSet<Arc<Topology>>,
    /// The one that was last asked for of each node. It is nearly always the only one, and to look whether it is
    /// takes a third of the time of looking for each of its parts.
    of_nodes: HashMap<Arc<str>, Arc<Topology>>,
    swept_at: usize,
}

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

    /// The shared topology of these.
    pub(crate) fn share_topology<'a>(
        &mut self,
        node: Option<&str>,
        zone: Option<&str>,
        hinted_zones: impl Iterator<Item = &'a str> + Clone,
        hinted_nodes: impl Iterator<Item = &'a str> + Clone,
    ) -> Arc<Topology> {
        let is_same = |known: &&Arc<Topology>| {
            let (zones, nodes) = known
                .hints()
                .map_or((&[][..], &[][..]), |hints| (&hints.zones, &hints.nodes));
            known.zone() == zone
                && zones.iter().map(|zone| &**zone).eq(hinted_zones.clone())
                && nodes.iter().map(|node| &**node).eq(hinted_nodes.clone())
        };
        let known = node.and_then(|node| self.of_nodes.get(node));
        if let Some(known) = known.filter(is_same) {
            return Arc::clone(known);
        }
        let topology = self.find_topology(node, zone, hinted_zones, hinted_nodes);
        if let Some(node) = node {
            let node = self.share(node);
            self.of_nodes.insert(node, Arc::clone(&topology));
        }
        topology
    }

    fn find_topology<'a>(
        &mut self,
        node: Option<&str>,
        zone: Option<&str>,
        hinted_zones: impl Iterator<Item = &'a str>,
        hinted_nodes: impl Iterator<Item = &'a str>,
    ) -> Arc<Topology> {
        let mut topology = Topology::UNKNOWN;
        if let Some(node) = node {
            topology = topology.with_node(self.share(node));
        }
        if let Some(zone) = zone {
            topology = topology.with_zone(self.share(zone));
        }
        let hints = Hints {
            zones: hinted_zones.map(|zone| self.share(zone)).collect(),
            nodes: hinted_nodes.map(|node| self.share(node)).collect(),
        };
        if !(hints.zones.is_empty() && hints.nodes.is_empty()) {
            topology = topology.with_hints(share(&mut self.hints, hints));
        }
        share(&mut self.topologies, topology)
    }

    /// Forgets what nobody uses any more, once enough came in since the last time: nodes come and
    /// go, and a process may run for months.
    pub(crate) fn sweep(&mut self) {
        if self.len() < SWEEP_FLOOR.max(2 * self.swept_at) {
            return;
        }
        // What is made of others first.
        self.of_nodes = HashMap::new();
        sweep(&mut self.topologies);
        sweep(&mut self.hints);
        sweep(&mut self.names);
        self.swept_at = self.len();
    }

    fn len(&self) -> usize {
        self.names.len() + self.hints.len() + self.topologies.len()
    }
}

fn share<T: Eq + Hash>(all: &mut HashSet<Arc<T>>, one: T) -> Arc<T> {
    if let Some(shared) = all.get(&one) {
        return Arc::clone(shared);
    }
    let shared = Arc::new(one);
    all.insert(Arc::clone(&shared));
    shared
}

fn sweep<T: Eq + Hash + ?Sized>(all: &mut HashSet<Arc<T>>) {
    all.retain(|one| Arc::strong_count(one) > 1);
    // As many again may come before the next time, and no more than that is held for them.
    all.shrink_to(2 * all.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one() {
        let mut names = Names::default();
        let (a, b) = (names.share("eu-1a"), names.share("eu-1a"));
        assert!(Arc::ptr_eq(&a, &b));
        let topology = |names: &mut Names, node| {
            names.share_topology(
                Some(node),
                Some("eu-1a"),
                ["eu-1a"].into_iter(),
                [].into_iter(),
            )
        };
        let (one, two) = (topology(&mut names, "n1"), topology(&mut names, "n1"));
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!((one.node(), one.zone()), (Some("n1"), Some("eu-1a")));
        let other = topology(&mut names, "n2");
        let hints = |topology: &Topology| std::ptr::from_ref(topology.hints().unwrap());
        assert_eq!(hints(&one), hints(&other), "the same hints");
        let unknown = names.share_topology(None, None, [].into_iter(), [].into_iter());
        assert_eq!(*unknown, Topology::UNKNOWN);
    }

    #[test]
    fn names_that_nobody_uses_are_forgotten() {
        let mut names = Names::default();
        let kept = names.share("kept");
        for n in 0..10 * SWEEP_FLOOR {
            let node = format!("node-{n}");
            let hinted = [node.as_str()].into_iter();
            names.share_topology(Some(&node), None, [].into_iter(), hinted);
            names.sweep();
        }
        assert!(names.len() <= 2 * SWEEP_FLOOR, "{}", names.len());
        assert!(Arc::ptr_eq(&kept, &names.share("kept")));
        names.swept_at = 0;
        names.sweep();
        assert!(names.topologies.capacity() <= 2 * SWEEP_FLOOR);
    }
}
