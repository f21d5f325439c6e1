//! The types of Services, what each is reached by, and Services that change their type.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU16, pin::Pin, time::Duration};

use futures::{Stream, StreamExt, stream};
use portolan::{
    Endpoint, ErrorKind, Freshness, HostResolver, Location, Placement, Reach, Resolution,
    SourceErrorKind, View,
};
use portolan_kube::Vantage;
use portolan_test::PodHandle;
use serde_json::json;

use super::expect_error;
use crate::{
    arena::Arena,
    caller::{Caller, names},
    failure::{Failure, Result},
};

/// A DNS that knows a few names, and never learns another.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, Vec<SocketAddr>>);

impl Names {
    fn with(mut self, name: &str, pods: &[PodHandle]) -> Self {
        let addresses = pods.iter().map(PodHandle::address).collect();
        self.0.insert(name.to_owned(), addresses);
        self
    }
}

impl HostResolver for Names {
    fn follow(
        &self,
        host: &str,
        port: NonZeroU16,
    ) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        let answer = match self.0.get(host) {
            Some(addresses) => {
                let endpoint = |address: &SocketAddr| {
                    let address = SocketAddr::new(address.ip(), port.get());
                    Endpoint::new(Placement::new(address.to_string()), address)
                };
                Resolution::Present(addresses.iter().map(endpoint).collect())
            }
            None => Resolution::Absent,
        };
        Box::pin(stream::iter([answer]).chain(stream::pending()))
    }
}

async fn pods(arena: &Arena, name: &str, replicas: u32) -> Result<Vec<PodHandle>> {
    let set = arena
        .stateful_set(name, replicas)
        .parallel()
        .create()
        .await?;
    set.wait_ready(replicas).await?;
    let names = (0..replicas).map(|ordinal| format!("{name}-{ordinal}"));
    names.map(|name| arena.pod(&name)).collect()
}

fn reach(wanted: Reach) -> impl Fn(&View) -> bool {
    move |view| view.reach() == wanted && !view.endpoints().is_empty()
}

/// A Service that is in use changes its type from ClusterIP to ExternalName, then to headless: requests
/// follow, and none fails.
pub async fn a_service_changes_its_type(arena: &Arena) -> Result {
    let service = arena.service("db").port("http", 8080).create().await?;
    pods(arena, "db", 2).await?;
    let elsewhere = pods(arena, "elsewhere", 1).await?;
    let dns = Names::default().with("elsewhere.example.com", &elsewhere);
    let cluster = arena.discovery_of(|cluster| cluster.with_host_resolver(dns))?;
    let caller = Caller::new(&cluster, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    caller.get().await?;

    let alias = json!({"type": "ExternalName", "externalName": "elsewhere.example.com"});
    service.patch(json!({"spec": alias})).await?;
    let view = caller
        .until("it is an alias", reach(Reach::ExternalName))
        .await?;
    let endpoint = view
        .endpoints()
        .first()
        .map(|one| one.endpoint.host().map(str::to_owned));
    assert_eq!(endpoint.flatten().as_deref(), Some("elsewhere.example.com"));
    assert_eq!(caller.get().await?.pod, "elsewhere-0");

    let headless = json!({"type": "ClusterIP", "clusterIP": "None", "externalName": null});
    service.patch(json!({"spec": headless})).await?;
    let view = caller
        .until("it has Pods again", reach(Reach::Pods))
        .await?;
    assert_eq!(names(&view), ["db-0", "db-1"]);
    assert!(caller.get().await?.pod.starts_with("db-"));
    Ok(())
}

/// The ports and the selector of a Service that is in use change, and it is followed.
pub async fn a_service_changes_its_ports_and_its_selector(arena: &Arena) -> Result {
    let service = arena.service("db").port("http", 8080).create().await?;
    pods(arena, "db", 1).await?;
    pods(arena, "other", 1).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;

    let ports = json!([{"name": "web", "port": 80, "targetPort": 8080}]);
    service.patch(json!({"spec": {"ports": ports}})).await?;
    let missing = |view: &View| match view.freshness() {
        Freshness::Stale { error, .. } => error
            .to_string()
            .contains("no port `http`; it has: `web` (80)"),
        _ => false,
    };
    // Whether the last Pods are still used then depends on which of two watches was quicker: where that of the
    // slices was, they did not offer the port any more.
    caller.until("the port is missed", missing).await?;

    let ports = json!([{"name": "http", "port": 80, "targetPort": 8080}]);
    let spec = json!({"ports": ports, "selector": {"app": "other"}});
    service.patch(json!({"spec": spec})).await?;
    caller.until_pods(&["other-0"]).await?;
    assert_eq!(caller.get().await?.pod, "other-0");
    Ok(())
}

/// The virtual IP is one endpoint, which bears the Service's name.
pub async fn the_virtual_ip(arena: &Arena) -> Result {
    let service = arena.service("db").port("http", 80).create().await?;
    let caller = Caller::by(
        &arena.discovery()?,
        &arena.full("db:http"),
        Reach::VirtualIp,
    )?;
    let view = caller
        .until("the virtual IP", reach(Reach::VirtualIp))
        .await?;
    let shown = service.patch(json!({})).await?;
    let address = shown.pointer("/spec/clusterIP").and_then(|ip| ip.as_str());
    let found: Vec<_> = view
        .endpoints()
        .iter()
        .map(|one| one.endpoint.address())
        .collect();
    let expected = format!("{}:80", address.unwrap_or_default());
    assert_eq!(found, [expected.parse::<SocketAddr>()?]);
    assert_eq!(names(&view), [arena.full("db")]);

    arena
        .service("headless")
        .headless()
        .port("http", 80)
        .create()
        .await?;
    let caller = Caller::by(
        &arena.discovery()?,
        &arena.full("headless:http"),
        Reach::VirtualIp,
    )?;
    let error = expect_error(caller.get().await)?;
    assert!(error.to_string().contains("is headless"), "{error}");
    Ok(())
}

/// A NodePort Service is reached from outside by all Nodes that are ready, or with
/// `externalTrafficPolicy: Local` by those that have a ready Pod; all at the node port.
pub async fn node_ports(arena: &Arena) -> Result {
    let service = arena
        .service("db")
        .port("http", 8080)
        .node_port()
        .create()
        .await?;
    let db = pods(arena, "db", 1).await?;
    let outside = arena.discovery_of(|cluster| cluster.with_vantage(Vantage::Outside))?;
    let caller = Caller::new(&outside, &arena.full("db:http"))?;
    let view = caller
        .until("all nodes", |view| view.endpoints().len() == 3)
        .await?;
    assert_eq!(view.reach(), Reach::Nodes);
    let shown = service.patch(json!({})).await?;
    let port = shown
        .pointer("/spec/ports/0/nodePort")
        .and_then(serde_json::Value::as_u64);
    for one in view.endpoints() {
        assert_eq!(Some(u64::from(one.endpoint.address().port())), port);
        assert!(
            one.endpoint.node().is_some()
                && one.endpoint.zone().is_some()
                && one.endpoint.uid().is_some()
        );
    }
    service
        .patch(json!({"spec": {"externalTrafficPolicy": "Local"}}))
        .await?;
    let node = db.first().map_or("", PodHandle::node);
    caller
        .until("the node of the only Pod", |view| names(view) == [node])
        .await?;

    // From inside, it is a Service like any other.
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;
    caller.get().await?;
    Ok(())
}

/// A load balancer that is pending is waited for, which is said; its addresses and names are used as they
/// come.
pub async fn a_load_balancer(arena: &Arena) -> Result {
    let service = arena
        .service("db")
        .port("http", 8080)
        .load_balancer()
        .create()
        .await?;
    let db = pods(arena, "db", 2).await?;
    let dns = Names::default().with("lb.example.com", &db);
    let outside = arena.discovery_of(|cluster| {
        cluster
            .with_vantage(Vantage::Outside)
            .with_host_resolver(dns)
    })?;
    let hasty = Caller::waiting(&outside, &arena.full("db:http"), Duration::from_millis(300))?;
    let error = expect_error(hasty.get().await)?;
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "it waited: {error}"
    );
    assert!(error.to_string().contains("has no address yet"), "{error}");
    let pending = |view: &View| match view.freshness() {
        Freshness::Stale { error, .. } => error.kind() == SourceErrorKind::Pending,
        _ => false,
    };
    hasty.until("it is pending", pending).await?;

    // Whoever has the patience gets an answer when it comes. The Pods stand in for the load balancer.
    let caller = Caller::new(&outside, &arena.full("db:http"))?;
    let first = db.first().ok_or_else(|| Failure::new("no Pod"))?;
    let assigned = async {
        caller.until("it is pending", pending).await?;
        service.set_ingress(&[&first.ip().to_string()]).await?;
        Ok::<_, Failure>(())
    };
    let (answer, assigned) = futures::join!(caller.get(), assigned);
    assigned?;
    assert_eq!(answer?.pod, "db-0");
    assert_eq!(caller.observe().view().reach(), Reach::LoadBalancer);

    service.set_ingress(&["lb.example.com"]).await?;
    caller
        .until("both addresses of the name", |view| {
            view.endpoints().len() == 2
        })
        .await?;
    caller.get().await?;
    service.set_ingress(&[]).await?;
    caller
        .until("it lost them", |view| view.endpoints().is_empty())
        .await?;
    Ok(())
}

/// An alias is resolved by DNS, at the port that is asked for; what is no alias of anything is said.
pub async fn aliases(arena: &Arena) -> Result {
    let target = pods(arena, "target", 2).await?;
    let dns = Names::default().with("target.example.com", &target);
    let cluster = arena.discovery_of(|cluster| cluster.with_host_resolver(dns))?;
    arena
        .service("alias")
        .external_name("target.example.com.")
        .create()
        .await?;
    let caller = Caller::new(&cluster, &arena.full("alias:8080"))?;
    caller
        .until("both addresses", |view| view.endpoints().len() == 2)
        .await?;
    assert!(caller.get().await?.pod.starts_with("target-"));

    let error = expect_error(
        Caller::new(&cluster, &arena.full("alias:http"))?
            .get()
            .await,
    )?;
    assert!(
        error.to_string().contains("write the number that is meant"),
        "{error}"
    );
    arena
        .service("address")
        .external_name("10.0.0.1")
        .create()
        .await?;
    let error = expect_error(
        Caller::new(&cluster, &arena.full("address:80"))?
            .get()
            .await,
    )?;
    assert!(
        error
            .to_string()
            .contains("`10.0.0.1`, which is no DNS name"),
        "{error}"
    );
    let error = expect_error(
        Caller::new(&arena.discovery()?, &arena.full("alias:80"))?
            .get()
            .await,
    )?;
    assert!(error.to_string().contains("with_host_resolver"), "{error}");
    Ok(())
}

/// The cluster turns `trafficDistribution` into hints, and the client keeps to them: its own Node, else its
/// own zone, and everywhere where there is nobody near.
pub async fn traffic_that_stays_near(arena: &Arena) -> Result {
    let near = |distribution: &str| {
        let service = arena.service("db").port("http", 8080);
        service.with(&["spec", "trafficDistribution"], distribution)
    };
    let service = near("PreferSameZone").create().await?;
    let db = pods(arena, "db", 3).await?;
    let everywhere = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    let view = everywhere.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let second = view.endpoints().get(1).map(|one| &one.endpoint);
    let second = second.ok_or_else(|| Failure::new("no db-1"))?;
    let (node, zone) = (
        second.node().unwrap_or_default(),
        second.zone().unwrap_or_default(),
    );
    let nodes: std::collections::BTreeSet<_> = db.iter().map(PodHandle::node).collect();
    assert_eq!(nodes.len(), 3, "each Pod has a node of its own");

    let at = |location: Location| -> Result<Caller> {
        let cluster = arena.discovery()?.with_location(location);
        Caller::new(&cluster, &arena.full("db:http"))
    };
    let in_zone = at(Location::UNKNOWN.with_zone(zone))?;
    in_zone.until_pods(&["db-1"]).await?;
    let on_node = at(Location::UNKNOWN.with_node(node))?;
    on_node.until_pods(&["db-0", "db-1", "db-2"]).await?;
    service
        .patch(json!({"spec": {"trafficDistribution": "PreferSameNode"}}))
        .await?;
    on_node.until_pods(&["db-1"]).await?;
    in_zone.until_pods(&["db-1"]).await?;
    for _ in 0..20 {
        assert_eq!(on_node.get().await?.pod, "db-1");
    }
    at(Location::UNKNOWN.with_zone("elsewhere"))?
        .until_pods(&["db-0", "db-1", "db-2"])
        .await?;

    service
        .patch(json!({"spec": {"trafficDistribution": null, "internalTrafficPolicy": "Local"}}))
        .await?;
    on_node.until_pods(&["db-1"]).await?;
    everywhere
        .until("nobody, as it does not know where it is", |view| {
            view.endpoints().is_empty()
        })
        .await?;
    service
        .patch(json!({"spec": {"internalTrafficPolicy": "Cluster"}}))
        .await?;
    everywhere.until_pods(&["db-0", "db-1", "db-2"]).await?;
    Ok(())
}
