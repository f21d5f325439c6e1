//! What the server was asked.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// Counts queries by name and type, repeated packets and faults included. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Queries(Arc<watch::Sender<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// By name, in lower case and with the final dot, and type.
    by_question: BTreeMap<(String, String), u64>,
    over_tcp: u64,
}

impl Default for Queries {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Queries {
    /// How many queries there were for this name, with or without the final dot, and type (`A`,
    /// `AAAA`, `SRV`).
    #[must_use]
    pub fn count(&self, name: &str, kind: &str) -> u64 {
        self.0.borrow().count(name, kind)
    }

    /// How many queries there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.borrow().by_question.values().sum()
    }

    /// How many of them came by TCP.
    #[must_use]
    pub fn over_tcp(&self) -> u64 {
        self.0.borrow().over_tcp
    }

    /// What was asked, each once, in the order of the names: `A db.shop.svc.cluster.local.`
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let counts = self.0.borrow();
        let questions = counts.by_question.keys();
        questions
            .map(|(name, kind)| format!("{kind} {name}"))
            .collect()
    }

    /// Waits until there were at least `count` queries for this name and type.
    pub async fn wait(&self, name: &str, kind: &str, count: u64) {
        let mut counts = self.0.subscribe();
        // It cannot fail: the sender is held here.
        counts
            .wait_for(|counts| counts.count(name, kind) >= count)
            .await
            .ok();
    }

    /// Sets all counts to zero.
    pub fn reset(&self) {
        self.0.send_replace(Counts::default());
    }

    pub(super) fn record(&self, name: &str, kind: &str, tcp: bool) {
        self.0.send_modify(|counts| {
            let question = (canonical(name), kind.to_owned());
            *counts.by_question.entry(question).or_default() += 1;
            counts.over_tcp += u64::from(tcp);
        });
    }
}

impl Counts {
    fn count(&self, name: &str, kind: &str) -> u64 {
        let question = (canonical(name), kind.to_owned());
        self.by_question.get(&question).copied().unwrap_or_default()
    }
}

fn canonical(name: &str) -> String {
    let bare = name.strip_suffix('.').unwrap_or(name);
    format!("{}.", bare.to_ascii_lowercase())
}
