//! Who is behind a Service, and on which port.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan::{ErrorKind, Freshness, View};
use portolan_kube::IpFamilies;
use serde_json::json;
use tokio::time::Instant;

use super::{expect_error, expect_refusal};
use crate::{
    arena::Arena,
    caller::{Caller, names},
    failure::{Failure, Result},
};

/// Each Pod of a StatefulSet is an endpoint by its stable name, with all that the slices say of it,
/// at the target port: a headless Service has no other.
pub async fn headless_service(arena: &Arena) -> Result {
    arena
        .service("db")
        .headless()
        .port_to("http", 80, "http")
        .create()
        .await?;
    arena
        .stateful_set("db", 3)
        .create()
        .await?
        .wait_ready(3)
        .await?;

    let cluster = arena.discovery()?;
    let by_name = Caller::new(&cluster, &arena.full("db:http"))?;
    let by_number = Caller::new(&cluster, &arena.full("db:80"))?;
    let only_one = Caller::new(&cluster, &arena.full("db"))?;
    for caller in [by_name, by_number, only_one] {
        let view = caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
        expect_pods_as_they_are(arena, &view)?;
        for (ordinal, one) in view.endpoints().iter().enumerate() {
            assert_eq!(one.endpoint.ordinal().map(|it| it as usize), Some(ordinal));
        }
        let answer = caller.get().await?;
        let pod = arena.pod(&answer.pod)?;
        assert_eq!(answer.uid, pod.uid());
    }
    Ok(())
}

/// The Pods behind a virtual IP are found by the Service's port, by name or number, and connected to
/// at their own.
pub async fn cluster_ip_service(arena: &Arena) -> Result {
    let service = arena
        .service("web")
        .port_to("http", 80, "http")
        .port_to("admin", 81, 9000);
    service.create().await?;
    arena
        .deployment("web", 2)
        .create()
        .await?
        .wait_ready(2)
        .await?;

    let cluster = arena.discovery()?;
    for port in ["http", "80"] {
        let caller = Caller::new(&cluster, &arena.full(&format!("web:{port}")))?;
        let view = caller
            .until("two endpoints", |view| view.endpoints().len() == 2)
            .await?;
        expect_pods_as_they_are(arena, &view)?;
        caller.get().await?;
    }
    // Nobody listens there, and the slices say it is there all the same.
    let admin = Caller::new(&cluster, &arena.full("web:admin"))?;
    let view = admin
        .until("two endpoints", |view| view.endpoints().len() == 2)
        .await?;
    assert!(
        view.endpoints()
            .iter()
            .all(|one| one.endpoint.address().port() == 9000)
    );
    Ok(())
}

/// A named target port is each Pod's own: Pods of one Service may have different numbers, in slices
/// of their own.
pub async fn pods_with_different_ports(arena: &Arena) -> Result {
    let workloads = arena.workloads();
    let service = arena
        .service("mixed")
        .headless()
        .port_to("http", 80, "web")
        .without_selector();
    service
        .with(&["spec", "selector"], json!({"part-of": "mixed"}))
        .create()
        .await?;
    for (name, port) in [("old", 8080), ("new", 8181)] {
        let set = workloads
            .stateful_set(arena.namespace(), name, 1)
            .port("web", port);
        let set = set
            .label("part-of", "mixed")
            .service_name("mixed")
            .create()
            .await?;
        set.wait_ready(1).await?;
    }
    let caller = Caller::new(&arena.discovery()?, &arena.full("mixed:http"))?;
    let view = caller.until_pods(&["new-0", "old-0"]).await?;
    expect_pods_as_they_are(arena, &view)?;
    let ports: Vec<u16> = view
        .endpoints()
        .iter()
        .map(|one| one.endpoint.address().port())
        .collect();
    assert_eq!(ports, [8181, 8080]);
    Ok(())
}

/// In dual stack a Pod is one endpoint with two addresses, though it stands in a slice of each family.
/// Requests go to the one of the family that the Service names first, or of the one that is asked for.
pub async fn pods_with_two_addresses(arena: &Arena) -> Result {
    if !arena.is_dual_stack() {
        arena.note("(skipped: Pods have no IPv6 addresses here)");
        return Ok(());
    }
    let service = |name| {
        let service = arena.service(name).headless().port("http", 8080);
        let service = service.selecting("db");
        service.with(&["spec", "ipFamilyPolicy"], "PreferDualStack")
    };
    service("db").create().await?;
    let six_first = service("six").with(&["spec", "ipFamilies"], json!(["IPv6", "IPv4"]));
    six_first.create().await?;
    let set = arena.stateful_set("db", 3).create().await?;
    set.wait_ready(3).await?;

    for (name, families, is_v4, has_other) in [
        ("db", IpFamilies::AsService, true, true),
        ("six", IpFamilies::AsService, false, true),
        ("db", IpFamilies::PreferV6, false, true),
        ("six", IpFamilies::PreferV4, true, true),
        ("db", IpFamilies::V6Only, false, false),
        ("six", IpFamilies::V4Only, true, false),
    ] {
        let cluster = arena.discovery_of(|cluster| cluster.with_ip_families(families))?;
        let caller = Caller::new(&cluster, &arena.full(&format!("{name}:http")))?;
        let with_both = |view: &View| {
            let mut endpoints = view.endpoints().iter().map(|one| &one.endpoint);
            view.endpoints().len() == 3
                && endpoints.all(|endpoint| endpoint.alternate().is_some() == has_other)
        };
        let view = caller.until("three Pods", with_both).await?;
        assert_eq!(names(&view), ["db-0", "db-1", "db-2"]);
        for one in view.endpoints() {
            let endpoint = &one.endpoint;
            assert_eq!(
                endpoint.address().is_ipv4(),
                is_v4,
                "{families:?}: {endpoint:?}"
            );
            if let Some(other) = endpoint.alternate() {
                assert_eq!(other.is_ipv4(), !is_v4, "{families:?}: {endpoint:?}");
            }
        }
        let answer = caller.get().await?;
        assert_eq!(answer.uid, arena.pod(&answer.pod)?.uid());
    }
    Ok(())
}

/// When the Service's port comes to mean another one of the Pods', requests go there.
pub async fn a_port_that_changes(arena: &Arena) -> Result {
    arena
        .service("db")
        .port_to("http", 80, 8080)
        .create()
        .await?;
    let set = arena
        .stateful_set("db", 1)
        .port("other", 8181)
        .create()
        .await?;
    set.wait_ready(1).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    let at_port = |port| {
        move |view: &View| {
            let mut ports = view
                .endpoints()
                .iter()
                .map(|one| one.endpoint.address().port());
            ports.next() == Some(port) && ports.next().is_none()
        }
    };
    caller.until("port 8080", at_port(8080)).await?;

    let ports = json!({"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8181}]}});
    let services: Api<Service> = Api::namespaced(arena.client(), arena.namespace());
    services
        .patch("db", &PatchParams::default(), &Patch::Merge(ports))
        .await?;
    caller.until("port 8181", at_port(8181)).await?;
    assert_eq!(caller.get().await?.pod, "db-0");
    Ok(())
}

/// A port that the Service does not have is an error that says which ports it has, at once: time
/// does not mend it.
pub async fn an_unknown_port(arena: &Arena) -> Result {
    arena
        .service("db")
        .headless()
        .port("http", 8080)
        .port("admin", 9000)
        .create()
        .await?;
    arena
        .stateful_set("db", 1)
        .create()
        .await?
        .wait_ready(1)
        .await?;
    for port in ["htpt", "8081"] {
        let caller = Caller::new(&arena.discovery()?, &arena.full(&format!("db:{port}")))?;
        let error = expect_error(caller.get().await)?;
        assert_eq!(*error.kind(), ErrorKind::Discovery, "{error}");
        let said = error.to_string();
        for part in [port, "http", "8080", "admin", "9000", "db"] {
            assert!(said.contains(part), "no {part} in: {said}");
        }
    }
    Ok(())
}

/// A Service that selects nothing is there, and empty: a request waits, or is refused.
pub async fn a_service_without_endpoints(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let cluster = arena.discovery()?;
    let hasty = Caller::fail_fast(&cluster, &arena.full("db:http"))?;
    let error = expect_refusal(&hasty).await?;
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    assert!(
        error.source_error().is_none(),
        "nothing is wrong with discovery: {error}"
    );

    let patient = Caller::new(&cluster, &arena.full("db:http"))?;
    let (answer, made) = tokio::join!(patient.get(), arena.stateful_set("db", 1).create());
    made?;
    assert_eq!(answer?.pod, "db-0");
    Ok(())
}

/// A Service that does not exist is no failure of discovery, and is found as soon as it exists.
pub async fn a_service_made_later(arena: &Arena) -> Result {
    let cluster = arena.discovery()?;
    let caller = Caller::fail_fast(&cluster, &arena.full("db:http"))?;
    let error = expect_refusal(&caller).await?;
    assert!(
        matches!(error.kind(), ErrorKind::NotFound { .. }),
        "{error}"
    );
    let is_absent = |view: &View| matches!(view.freshness(), Freshness::Absent);
    caller.until("absent", is_absent).await?;

    arena.headless("db").await?;
    arena.stateful_set("db", 2).create().await?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    caller.get().await?;
    Ok(())
}

/// A Service that is deleted is absent, its Pods alive or not; made again, it is followed again.
pub async fn a_service_deleted_and_made_again(arena: &Arena) -> Result {
    let make = || arena.service("db").headless().port("http", 8080).create();
    let service = make().await?;
    arena
        .stateful_set("db", 2)
        .create()
        .await?
        .wait_ready(2)
        .await?;
    let caller = Caller::fail_fast(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1"]).await?;

    let deleted = Instant::now();
    service.delete().await?;
    let is_absent = |view: &View| matches!(view.freshness(), Freshness::Absent);
    let view = caller.until("absent", is_absent).await?;
    assert!(deleted.elapsed() < Duration::from_secs(10));
    assert_eq!(names(&view), [""; 0]);
    let error = expect_refusal(&caller).await?;
    assert!(
        matches!(error.kind(), ErrorKind::NotFound { .. }),
        "{error}"
    );

    make().await?;
    let view = caller.until_pods(&["db-0", "db-1"]).await?;
    assert!(matches!(view.freshness(), Freshness::Live), "{view:?}");
    caller.get().await?;
    Ok(())
}

/// A Service that is only another name in DNS has no endpoints, which is said at once.
pub async fn a_service_of_a_type_without_endpoints(arena: &Arena) -> Result {
    let alias = json!({"type": "ExternalName", "externalName": "db.example.com"});
    let service = arena.service("alias").without_selector();
    service.with(&["spec"], alias).create().await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("alias:http"))?;
    let error = expect_error(caller.get().await)?;
    assert_eq!(*error.kind(), ErrorKind::Discovery, "{error}");
    assert!(error.to_string().contains("ExternalName"), "{error}");
    Ok(())
}

/// Everything that the slices say of the Pods is as the Pods say it themselves.
fn expect_pods_as_they_are(arena: &Arena, view: &View) -> Result {
    let pods = arena.pods();
    for one in view.endpoints() {
        let endpoint = &one.endpoint;
        let name = endpoint
            .pod()
            .ok_or_else(|| Failure::new("no Pod's name"))?;
        let pod = pods.iter().find(|pod| pod.name() == name);
        let pod = pod.ok_or_else(|| Failure::new(format_args!("{name} does not run")))?;
        assert!(endpoint.uid().is_some_and(|uid| uid == pod.uid()), "{name}");
        assert!(
            pod.addresses().contains(&endpoint.address()),
            "{name}: {endpoint:?}"
        );
        assert_eq!(endpoint.node(), Some(pod.node()), "{name}");
        assert!(endpoint.zone().is_some(), "{name}");
        assert!(endpoint.conditions().is_ready(), "{name}");
    }
    Ok(())
}
