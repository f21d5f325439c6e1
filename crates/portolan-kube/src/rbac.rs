//! The permissions that discovery needs, and how to ask for them.
//!
//! The manifests are files of this crate (`rbac/`), so that what an error prints, what the
//! documentation shows and what is tested on a real API server are one text.

/// A Role for one namespace, and its RoleBinding to one service account: `list` and `watch` on
/// `services` and on `endpointslices`.
///
/// Change the places that are marked, or let the error do it: a refused request ends in a
/// [`SourceError`](portolan_core::SourceError) with this manifest filled in.
///
/// The Role is one for all who ask. Each has a binding of its own, which is named after it: `kubectl apply`
/// replaces the subjects of a binding, so that one name for all would take from the first what it gives to
/// the second.
pub const ROLE: &str = include_str!("../rbac/role.yaml");

/// The same for all namespaces: a ClusterRole and its ClusterRoleBinding.
pub const CLUSTER_ROLE: &str = include_str!("../rbac/cluster-role.yaml");

/// What [`Reach::Nodes`](portolan_core::Reach::Nodes) needs besides [`ROLE`] or [`CLUSTER_ROLE`]: a
/// ClusterRole, since Nodes belong to no namespace, and its ClusterRoleBinding: `list` and `watch` on `nodes`.
pub const NODE_ROLE: &str = include_str!("../rbac/node-role.yaml");

/// What [`Cluster::locate`](crate::Cluster::locate) can make use of: a Role and its RoleBinding in the namespace
/// of its own Pod, which is that of its service account, with `get` on `pods`; a ClusterRole and its
/// ClusterRoleBinding with `get` on `nodes`.
pub const LOCATION_ROLE: &str = include_str!("../rbac/location-role.yaml");

/// What [`Cluster::with_pod_labels`](crate::Cluster::with_pod_labels) needs besides [`ROLE`] or [`CLUSTER_ROLE`]:
/// a Role and its RoleBinding in the namespace of the Service, with `list` and `watch` on `pods`.
pub const POD_ROLE: &str = include_str!("../rbac/pod-role.yaml");

/// What [`Cluster::watch_lease`](crate::Cluster::watch_lease) needs: a Role and its RoleBinding in the namespace of
/// the Lease, with `list` and `watch` on `leases`.
pub const LEASE_ROLE: &str = include_str!("../rbac/lease-role.yaml");

/// What [`Cluster::config_map`](crate::Cluster::config_map) needs: a Role and its RoleBinding in the namespace of the
/// ConfigMap, with `list` and `watch` on that one alone: ConfigMaps hold the affairs of many. `example` stands for its
/// name.
pub const CONFIG_MAP_ROLE: &str = include_str!("../rbac/config-map-role.yaml");

/// What [`Cluster::stateful_set_size`](crate::Cluster::stateful_set_size) needs: a Role and its RoleBinding in the
/// namespace of the StatefulSet, with `list` and `watch` on that one alone. `example` stands for its name.
pub const STATEFUL_SET_ROLE: &str = include_str!("../rbac/stateful-set-role.yaml");

/// [`ROLE`], filled in for Services of `namespace` and for `user` as the API server calls whoever
/// asked.
pub(crate) fn role_for(namespace: &str, user: Option<&str>) -> String {
    of_namespace(ROLE, namespace, user)
}

/// [`POD_ROLE`], likewise.
pub(crate) fn pod_role_for(namespace: &str, user: Option<&str>) -> String {
    of_namespace(POD_ROLE, namespace, user)
}

/// [`LEASE_ROLE`], likewise.
pub(crate) fn lease_role_for(namespace: &str, user: Option<&str>) -> String {
    of_namespace(LEASE_ROLE, namespace, user)
}

/// The manifest for one object, filled in for that of this name.
pub(crate) fn role_of_one(
    manifest: &str,
    namespace: &str,
    name: &str,
    user: Option<&str>,
) -> String {
    // Each object has a Role of its own: one for all would take from the first what it gives to the second.
    let role = manifest
        .replace(":example", &format!(":{name}"))
        .replace(r#"["example"]"#, &format!(r#"["{name}"]"#))
        .replace(
            "namespace: default # of the",
            &format!("namespace: {namespace} # of the"),
        );
    bind(&role, user)
}

fn of_namespace(manifest: &str, namespace: &str, user: Option<&str>) -> String {
    let role = manifest.replace(
        "namespace: default # of the Service",
        &format!("namespace: {namespace} # of the Service"),
    );
    bind(&role, user)
}

/// [`NODE_ROLE`], filled in for `user`.
pub(crate) fn node_role_for(user: Option<&str>) -> String {
    bind(NODE_ROLE, user)
}

/// The manifest, with `user` in the place of who asks.
fn bind(manifest: &str, user: Option<&str>) -> String {
    let Some(user) = user else {
        return manifest.to_owned();
    };
    let role = manifest.replace(
        ":default:default # of who asks",
        &format!("{} # of who asks", suffix(user)),
    );
    match service_account(user) {
        Some((of, name)) => role
            .replace(
                "name: default # who asks",
                &format!("name: {name} # who asks"),
            )
            .replace(
                "namespace: default # of who asks",
                &format!("namespace: {of} # of who asks"),
            ),
        None => role
            .replace(
                "kind: ServiceAccount\n    name: default # who asks",
                &user_subject(user),
            )
            .replace("    namespace: default # of who asks\n", ""),
    }
}

/// The end of the name of a binding for `user`, which is no other's. Names of RBAC may hold colons, and those of
/// service accounts and their namespaces do not.
fn suffix(user: &str) -> String {
    match service_account(user) {
        Some((namespace, name)) => format!(":{namespace}:{name}"),
        None if is_plain(user) => format!(":{user}"),
        // It may hold anything. Applied again, it must be the same name.
        None => format!(":{:016x}", fnv1a(user)),
    }
}

/// The namespace and the name of the service account that the API server calls by this name, if it is one.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let account = user.strip_prefix("system:serviceaccount:")?;
    let account = account.split_once(':');
    account.filter(|(namespace, name)| is_plain(namespace) && is_plain(name))
}

/// FNV-1a of 64 bits, which is the same on every machine and in every release.
fn fnv1a(text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    text.bytes().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether it can stand in YAML as it is, as each name of a service account can.
fn is_plain(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

/// The subject where somebody asks who is no service account, such as a person's kubeconfig.
fn user_subject(user: &str) -> String {
    // JSON is YAML, and quotes whatever a user name may hold.
    let quoted = serde_json::Value::from(user);
    format!("kind: User\n    apiGroup: rbac.authorization.k8s.io\n    name: {quoted} # who asks")
}

#[cfg(test)]
mod tests;
