//! That the manifests are what Kubernetes takes, and that what is filled in stands in the right place.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject,
};
use serde::de::DeserializeOwned;

use super::*;

fn documents<A: DeserializeOwned, B: DeserializeOwned>(yaml: &str) -> (A, B) {
    let (first, second) = yaml.split_once("\n---\n").expect("two documents");
    (
        serde_saphyr::from_str(first).unwrap(),
        serde_saphyr::from_str(second).unwrap(),
    )
}

fn is_minimal(rules: Option<Vec<PolicyRule>>) {
    let rules = rules.unwrap();
    let granted: Vec<_> = rules
        .iter()
        .map(|rule| {
            (
                rule.api_groups.clone().unwrap(),
                rule.resources.clone().unwrap(),
                rule.verbs.clone(),
            )
        })
        .collect();
    let both = || vec!["list".to_owned(), "watch".to_owned()];
    assert_eq!(
        granted,
        [
            (vec![String::new()], vec!["services".to_owned()], both()),
            (
                vec!["discovery.k8s.io".to_owned()],
                vec!["endpointslices".to_owned()],
                both()
            ),
        ]
    );
}

#[test]
fn the_manifests_grant_what_is_needed_and_nothing_else() {
    let (role, binding): (Role, RoleBinding) = documents(ROLE);
    is_minimal(role.rules);
    assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
    let (role, binding): (ClusterRole, ClusterRoleBinding) = documents(CLUSTER_ROLE);
    is_minimal(role.rules);
    assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
}

#[test]
fn the_manifests_about_nodes_grant_what_is_needed_and_nothing_else() {
    let granted = |yaml: &str| {
        let (role, binding): (ClusterRole, ClusterRoleBinding) = documents(yaml);
        assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
        let mut rules = role.rules.unwrap();
        assert_eq!(rules.len(), 1);
        let rule = rules.remove(0);
        assert_eq!(rule.api_groups, Some(vec![String::new()]));
        (rule.resources.unwrap(), rule.verbs)
    };
    let owned = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        granted(NODE_ROLE),
        (owned(&["nodes"]), owned(&["list", "watch"]))
    );
    assert_eq!(
        granted(LOCATION_ROLE),
        (owned(&["pods", "nodes"]), owned(&["get"]))
    );
}

#[test]
fn the_role_for_nodes_is_bound_to_who_asks() {
    let filled_in = node_role_for(Some("system:serviceaccount:web:front"));
    let (_, binding): (ClusterRole, ClusterRoleBinding) = documents(&filled_in);
    let subject = binding.subjects.unwrap().remove(0);
    assert_eq!(
        (&*subject.name, subject.namespace.as_deref()),
        ("front", Some("web"))
    );
}

fn filled_in(namespace: &str, user: Option<&str>) -> Subject {
    let (role, binding): (Role, RoleBinding) = documents(&role_for(namespace, user));
    assert_eq!(role.metadata.namespace.as_deref(), Some(namespace));
    assert_eq!(binding.metadata.namespace.as_deref(), Some(namespace));
    is_minimal(role.rules);
    binding.subjects.unwrap().remove(0)
}

#[test]
fn a_service_account_of_another_namespace() {
    let subject = filled_in("shop", Some("system:serviceaccount:web:front"));
    assert_eq!(
        (&*subject.kind, &*subject.name),
        ("ServiceAccount", "front")
    );
    assert_eq!(subject.namespace.as_deref(), Some("web"));
}

#[test]
fn a_person() {
    let subject = filled_in("shop", Some("jane@example.com"));
    assert_eq!(
        (&*subject.kind, &*subject.name),
        ("User", "jane@example.com")
    );
    assert_eq!(
        (subject.namespace, subject.api_group.as_deref()),
        (None, Some("rbac.authorization.k8s.io"))
    );
}

#[test]
fn somebody_whose_name_is_an_attack() {
    for name in [
        "x\n  - kind: Group\n    name: system:masters",
        "a\": {}",
        "system:serviceaccount:a:b\nc",
    ] {
        let subject = filled_in("shop", Some(name));
        assert_eq!((&*subject.kind, &*subject.name), ("User", name));
    }
}

#[test]
fn nobody_knows_who() {
    assert_eq!(filled_in("shop", None).kind, "ServiceAccount");
}
