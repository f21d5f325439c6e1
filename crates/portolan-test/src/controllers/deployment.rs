//! The Deployment controller: interchangeable Pods, replaced a few at a time.
//!
//! Its ReplicaSets are implicit: the label `pod-template-hash` tells them apart.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;

use super::pods::{self, is_over, is_ready, is_terminating};
use super::{Controllers, ownership, revision};

/// The label that tells a Pod's template.
const HASH_LABEL: &str = "pod-template-hash";

pub(super) fn reconcile(controllers: &Controllers, deployment: &Value) {
    if is_terminating(deployment) {
        return;
    }
    let template = deployment
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let hash = revision::template_hash(&template);
    roll(controllers, deployment, &template, &hash);
    report(controllers, deployment, &hash);
}

/// The Pods that count: not terminating, not over.
fn active_pods(controllers: &Controllers, deployment: &Value) -> Vec<Arc<Value>> {
    let mut pods = controllers.pods_in(json::text(deployment, "/metadata/namespace"));
    pods.retain(|pod| ownership::owns(deployment, pod) && !is_terminating(pod) && !is_over(pod));
    pods
}

fn roll(controllers: &Controllers, deployment: &Value, template: &Value, hash: &str) {
    let replicas = replicas(deployment);
    let (surge, unavailable) = bounds(deployment, replicas);
    let is_new = |pod: &Arc<Value>| json::label(pod, HASH_LABEL) == Some(hash);
    let (mut new, mut old): (Vec<_>, Vec<_>) = active_pods(controllers, deployment)
        .into_iter()
        .partition(is_new);

    // Up: as many as the surge lets there be in all.
    let total = new.len() + old.len();
    let recreate = json::text(deployment, "/spec/strategy/type") == "Recreate";
    let room = if recreate && !old.is_empty() {
        0
    } else {
        (replicas + surge).saturating_sub(total)
    };
    for _ in 0..room.min(replicas.saturating_sub(new.len())) {
        let name = json::text(deployment, "/metadata/name");
        let name = controllers.store.random_name(&format!("{name}-{hash}-"));
        let mut pod = pods::from_template(deployment, template, &name);
        json::set(&mut pod, &["metadata", "labels", HASH_LABEL], hash);
        new.extend(controllers.create(Kind::Pod, pod));
    }

    // Too many of the new: those that are not ready go first, then the youngest.
    new.sort_by_key(|pod| (is_ready(pod), std::cmp::Reverse(age_rank(pod))));
    for pod in new.iter().take(new.len().saturating_sub(replicas)) {
        controllers.delete_pod(pod);
    }

    // Down: the old ones that do not serve anyway, then as many as may be missing.
    old.sort_by_key(|pod| (is_ready(pod), std::cmp::Reverse(age_rank(pod))));
    let ready = |pods: &[Arc<Value>]| pods.iter().filter(|pod| is_ready(pod)).count();
    let mut spare =
        (ready(&new) + ready(&old)).saturating_sub(replicas.saturating_sub(unavailable));
    for pod in &old {
        if recreate || !is_ready(pod) {
            controllers.delete_pod(pod);
        } else if spare > 0 {
            spare -= 1;
            controllers.delete_pod(pod);
        }
    }
}

/// Sorts by age, in the whole seconds that Kubernetes keeps.
fn age_rank(pod: &Value) -> String {
    json::text(pod, "/metadata/creationTimestamp").to_owned()
}

fn replicas(deployment: &Value) -> usize {
    let replicas = json::integer(deployment, "/spec/replicas").unwrap_or(1);
    usize::try_from(replicas).unwrap_or(0)
}

/// How many Pods there may be too many and too few during a roll. Not both zero.
fn bounds(deployment: &Value, replicas: usize) -> (usize, usize) {
    let bound = |field: &str, round_up: bool| {
        let value = deployment.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
        let of_percent = |percent: usize| {
            let product = replicas * percent;
            if round_up {
                product.div_ceil(100)
            } else {
                product / 100
            }
        };
        match value {
            Some(Value::String(text)) => {
                let percent = text
                    .strip_suffix('%')
                    .and_then(|number| number.parse().ok());
                of_percent(percent.unwrap_or(25))
            }
            Some(number) => number
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0),
            None => of_percent(25),
        }
    };
    match (bound("maxSurge", true), bound("maxUnavailable", false)) {
        (0, 0) => (0, 1),
        bounds => bounds,
    }
}

fn report(controllers: &Controllers, deployment: &Value, hash: &str) {
    let pods = active_pods(controllers, deployment);
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let updated = pods
        .iter()
        .filter(|pod| json::label(pod, HASH_LABEL) == Some(hash))
        .count();
    let status = json!({
        "observedGeneration": json::integer(deployment, "/metadata/generation"),
        "replicas": pods.len(),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "updatedReplicas": updated,
        "unavailableReplicas": pods.len().saturating_sub(ready),
    });
    controllers.set_status(Kind::Deployment, deployment, status);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surge_rounds_up_and_the_gap_down() {
        let deployment = json!({"spec": {"strategy": {"rollingUpdate": {
            "maxSurge": "25%", "maxUnavailable": "25%",
        }}}});
        assert_eq!(bounds(&deployment, 3), (1, 0));
        assert_eq!(bounds(&deployment, 10), (3, 2));
        let stuck = json!({"spec": {"strategy": {"rollingUpdate": {
            "maxSurge": 0, "maxUnavailable": 0,
        }}}});
        assert_eq!(bounds(&stuck, 3), (0, 1), "a roll must be able to move");
    }
}
