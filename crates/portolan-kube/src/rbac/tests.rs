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
    let (of_pods, of_nodes) = LOCATION_ROLE
        .match_indices("\n---\n")
        .nth(1)
        .map(|(at, between)| (&LOCATION_ROLE[..at], &LOCATION_ROLE[at + between.len()..]))
        .unwrap();
    assert_eq!(granted(of_nodes), (owned(&["nodes"]), owned(&["get"])));
    let (role, binding): (Role, RoleBinding) = documents(of_pods);
    assert_eq!(binding.role_ref.kind, "Role", "one's own namespace only");
    assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
    assert_eq!(binding.metadata.namespace, role.metadata.namespace);
    let rules = role.rules.unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].api_groups, Some(owned(&[""])));
    assert_eq!(rules[0].resources, Some(owned(&["pods"])));
    assert_eq!(rules[0].verbs, ["get"]);
}

#[test]
fn each_who_asks_has_a_binding_of_its_own_and_all_share_the_role() {
    let users = [
        "system:serviceaccount:web:front",
        "system:serviceaccount:web-front:a",
        "system:serviceaccount:web:front-a",
        "system:serviceaccount:default:default",
        "jane",
        "jane@example.com",
        "joe@example.com",
        "system:node:n1",
    ];
    let mut names = std::collections::BTreeSet::new();
    for user in users {
        let (role, binding): (Role, RoleBinding) = documents(&role_for("shop", Some(user)));
        assert_eq!(role.metadata.name.as_deref(), Some("portolan-discovery"));
        assert_eq!(binding.role_ref.name, "portolan-discovery");
        let name = binding.metadata.name.unwrap();
        assert!(
            name.starts_with("portolan-discovery:") && !name.contains(['/', '%']),
            "{name}"
        );
        names.insert(name);
        let (role, binding): (ClusterRole, ClusterRoleBinding) =
            documents(&node_role_for(Some(user)));
        assert_eq!(role.metadata.name.as_deref(), Some("portolan-nodes"));
        names.insert(binding.metadata.name.unwrap());
    }
    assert_eq!(names.len(), 2 * users.len(), "{names:?}");
    assert!(names.contains("portolan-discovery:web:front"));
    assert!(names.contains("portolan-nodes:web:front"));
    // A name that is applied again next year must replace the same binding.
    assert!(
        names.contains("portolan-discovery:1a5aed09c57b108c"),
        "{names:?}"
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

#[test]
fn the_manifests_about_roles_grant_what_is_needed_and_nothing_else() {
    for (yaml, group, resource) in [
        (POD_ROLE, "", "pods"),
        (LEASE_ROLE, "coordination.k8s.io", "leases"),
    ] {
        let (role, binding): (Role, RoleBinding) = documents(yaml);
        assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
        let rules = role.rules.unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].api_groups, Some(vec![group.to_owned()]));
        assert_eq!(rules[0].resources, Some(vec![resource.to_owned()]));
        assert_eq!(rules[0].verbs, ["list", "watch"]);
    }
    let filled = lease_role_for("shop", Some("system:serviceaccount:web:app"));
    assert!(
        filled.contains("namespace: shop # of the Service"),
        "{filled}"
    );
    assert!(filled.contains("namespace: web # of who asks"), "{filled}");
}

#[test]
fn the_manifests_for_one_object_grant_that_and_nothing_else() {
    for (yaml, group, resource) in [
        (CONFIG_MAP_ROLE, "", "configmaps"),
        (STATEFUL_SET_ROLE, "apps", "statefulsets"),
    ] {
        let user = "system:serviceaccount:web:front";
        let filled_in = role_of_one(yaml, "shop", "eu.shards-1", Some(user));
        for (yaml, name, namespace) in [
            (yaml, "example", "default"),
            (&filled_in, "eu.shards-1", "shop"),
        ] {
            let (role, binding): (Role, RoleBinding) = documents(yaml);
            assert_eq!(role.metadata.namespace.as_deref(), Some(namespace));
            assert_eq!(binding.metadata.namespace.as_deref(), Some(namespace));
            let role_name = role.metadata.name.unwrap();
            assert!(role_name.ends_with(&format!(":{name}")), "{role_name}");
            assert_eq!(binding.role_ref.name, role_name);
            let rules = role.rules.unwrap();
            assert_eq!(rules.len(), 1);
            assert_eq!(rules[0].api_groups, Some(vec![group.to_owned()]));
            assert_eq!(rules[0].resources, Some(vec![resource.to_owned()]));
            assert_eq!(rules[0].resource_names, Some(vec![name.to_owned()]));
            assert_eq!(rules[0].verbs, ["list", "watch"]);
        }
        let (_, binding): (Role, RoleBinding) = documents(&filled_in);
        let name = binding.metadata.name.unwrap();
        assert!(name.ends_with(":eu.shards-1:web:front"), "{name}");
        assert_eq!(binding.subjects.unwrap()[0].name, "front");
    }
}
