//! Every type of Service, and a Service that becomes another type, against `portolan-test`.

#![cfg(test)]

use std::{
    collections::HashMap,
    num::NonZeroU16,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use portolan_core::{
    Endpoint, EndpointSet, HostResolver, InternalTraffic, Placement, Reach, Resolution, ServiceRef,
    Source as _, SourceError, SourceErrorKind,
};
use portolan_kube::{Cluster, NodeAddresses, Vantage, kube};
use portolan_test::{NewService, TestCluster, User, Verb};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

type Resolutions = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

/// A DNS whose answers the test gives.
#[derive(Clone, Debug, Default)]
struct Names {
    answers: Arc<Mutex<HashMap<String, watch::Sender<Option<Resolution>>>>>,
    suspected: Arc<Mutex<Vec<String>>>,
}

impl Names {
    fn answer(&self, host: &str, addresses: &[&str]) {
        let endpoint =
            |address: &&str| Endpoint::new(Placement::new(*address), address.parse().unwrap());
        self.say(
            host,
            Resolution::Present(addresses.iter().map(endpoint).collect()),
        );
    }

    fn say(&self, host: &str, resolution: Resolution) {
        self.of(host).send_replace(Some(resolution));
    }

    /// How many ask for it now.
    fn asking(&self, host: &str) -> usize {
        self.of(host).receiver_count()
    }

    fn of(&self, host: &str) -> watch::Sender<Option<Resolution>> {
        let mut names = self.answers.lock().unwrap();
        names
            .entry(host.to_owned())
            .or_insert_with(|| watch::channel(None).0)
            .clone()
    }
}

impl HostResolver for Names {
    fn follow(&self, host: &str, _: NonZeroU16) -> Resolutions {
        let mut answers = self.of(host).subscribe();
        answers.mark_changed();
        Box::pin(stream::unfold(answers, |mut answers| async {
            loop {
                answers.changed().await.ok()?;
                let answer = answers.borrow_and_update().clone();
                if let Some(answer) = answer {
                    return Some((answer, answers));
                }
            }
        }))
    }

    fn suspect_host(&self, host: &str) {
        self.suspected.lock().unwrap().push(host.to_owned());
    }
}

async fn start() -> TestCluster {
    TestCluster::start().await.unwrap()
}

fn orders(cluster: &TestCluster) -> NewService {
    cluster.service("shop", "orders").port_to("http", 80, 8080)
}

fn reached_by(reach: Option<Reach>) -> ServiceRef {
    let service: ServiceRef = "orders.shop:http".parse().unwrap();
    match reach {
        Some(reach) => service.with_reach(reach),
        None => service,
    }
}

async fn next(resolutions: &mut Resolutions) -> Resolution {
    let patience = Duration::from_secs(300);
    timeout(patience, resolutions.next())
        .await
        .expect("nothing came")
        .expect("the stream ended")
}

/// The first set of which this holds; whatever else comes is passed over.
async fn until(resolutions: &mut Resolutions, holds: impl Fn(&EndpointSet) -> bool) -> EndpointSet {
    loop {
        if let Resolution::Present(set) = next(resolutions).await
            && holds(&set)
        {
            return set;
        }
    }
}

async fn until_at(resolutions: &mut Resolutions, reach: Reach, addresses: &[&str]) -> EndpointSet {
    let mut wanted = addresses.to_vec();
    wanted.sort_unstable();
    until(resolutions, |set| {
        let mut found: Vec<_> = set.iter().map(|one| one.address().to_string()).collect();
        found.sort_unstable();
        found == wanted && set.reach() == reach
    })
    .await
}

async fn until_failed(resolutions: &mut Resolutions) -> SourceError {
    loop {
        if let Resolution::Failed(error) = next(resolutions).await {
            return error;
        }
    }
}

/// A slice of the Service that somebody else wrote.
async fn write_slice(cluster: &TestCluster, name: &str, manager: &str, address: &str) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": name, "labels": {
            "kubernetes.io/service-name": "orders", "endpointslice.kubernetes.io/managed-by": manager,
        } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": [{ "addresses": [address] }],
    });
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client(), "shop");
    slices.create(&PostParams::default(), &slice).await.unwrap();
}

async fn patch_node(cluster: &TestCluster, name: &str, patch: Value) {
    let nodes: Api<Node> = Api::all(cluster.client());
    let params = PatchParams::default();
    nodes
        .patch_status(name, &params, &Patch::Strategic(patch))
        .await
        .unwrap();
}

fn readiness(status: &str) -> Value {
    json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } })
}

async fn internal_addresses(cluster: &TestCluster) -> Vec<String> {
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = nodes.list(&Default::default()).await.unwrap();
    let addresses = nodes.items.iter().flat_map(|node| {
        node.status
            .iter()
            .flat_map(|status| status.addresses.iter().flatten())
    });
    addresses
        .filter(|one| one.type_ == "InternalIP")
        .map(|one| one.address.clone())
        .collect()
}

async fn spec(cluster: &TestCluster) -> Value {
    let services: Api<Service> = Api::namespaced(cluster.client(), "shop");
    let service = services.get("orders").await.unwrap();
    serde_json::to_value(service.spec.unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_service_becomes_everything_that_it_can_be() {
    let cluster = start().await;
    let service = orders(&cluster).without_selector().create().await.unwrap();
    write_slice(&cluster, "a", "me", "10.0.0.1").await;
    let names = Names::default();
    names.answer("db.example.com", &["192.0.2.1:80", "192.0.2.2:80"]);
    let source = Cluster::from(cluster.client()).with_host_resolver(names.clone());
    let mut inside = source.watch(&reached_by(None));
    let mut outside = source
        .clone()
        .with_vantage(Vantage::Outside)
        .watch(&reached_by(None));
    until_at(&mut inside, Reach::Pods, &["10.0.0.1:8080"]).await;
    until_at(&mut outside, Reach::Pods, &["10.0.0.1:8080"]).await;

    let alias = json!({ "spec": { "type": "ExternalName", "externalName": "db.example.com" } });
    service.patch(alias).await.unwrap();
    let addresses = ["192.0.2.1:80", "192.0.2.2:80"];
    let set = until_at(&mut inside, Reach::ExternalName, &addresses).await;
    assert_eq!(set[0].host(), Some("db.example.com"));
    until_at(&mut outside, Reach::ExternalName, &addresses).await;
    assert_eq!(names.asking("db.example.com"), 1, "once, for both");
    names.answer("db.example.com", &["192.0.2.3:80"]);
    until_at(&mut inside, Reach::ExternalName, &["192.0.2.3:80"]).await;

    let headless =
        json!({ "spec": { "type": "ClusterIP", "clusterIP": "None", "externalName": null } });
    service.patch(headless).await.unwrap();
    until_at(&mut inside, Reach::Pods, &["10.0.0.1:8080"]).await;
    until_at(&mut outside, Reach::Pods, &["10.0.0.1:8080"]).await;
    assert_eq!(
        names.asking("db.example.com"),
        0,
        "nobody is asked for nothing"
    );

    service.delete().await.unwrap();
    let service = orders(&cluster)
        .without_selector()
        .load_balancer()
        .create()
        .await
        .unwrap();
    until_at(&mut inside, Reach::Pods, &["10.0.0.1:8080"]).await;
    let error = until_failed(&mut outside).await;
    assert_eq!(error.kind(), SourceErrorKind::Pending, "{error}");
    service.set_ingress(&["192.0.2.9"]).await.unwrap();
    until_at(&mut outside, Reach::LoadBalancer, &["192.0.2.9:80"]).await;
    service.set_ingress(&["lb.example.com"]).await.unwrap();
    names.answer("lb.example.com", &["192.0.2.8:80"]);
    until_at(&mut outside, Reach::LoadBalancer, &["192.0.2.8:80"]).await;
    service.set_ingress(&[]).await.unwrap();
    until_at(&mut outside, Reach::LoadBalancer, &[]).await;

    service
        .patch(json!({ "spec": { "type": "NodePort" } }))
        .await
        .unwrap();
    let port = spec(&cluster).await["ports"][0]["nodePort"].clone();
    let nodes: Vec<String> = internal_addresses(&cluster)
        .await
        .iter()
        .map(|ip| format!("{ip}:{port}"))
        .collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    assert_eq!(nodes.len(), 3);
    until_at(&mut outside, Reach::Nodes, &nodes).await;
}

#[tokio::test(start_paused = true)]
async fn slices_count_by_their_label_whoever_wrote_them() {
    let cluster = start().await;
    orders(&cluster)
        .headless()
        .without_selector()
        .create()
        .await
        .unwrap();
    let mut resolutions = Cluster::from(cluster.client()).watch(&reached_by(None));
    until_at(&mut resolutions, Reach::Pods, &[]).await;
    write_slice(&cluster, "by-hand", "somebody", "10.0.0.1").await;
    write_slice(
        &cluster,
        "mirrored",
        "endpointslicemirroring-controller.k8s.io",
        "10.0.0.2",
    )
    .await;
    until_at(
        &mut resolutions,
        Reach::Pods,
        &["10.0.0.1:8080", "10.0.0.2:8080"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_virtual_ip_needs_no_slices() {
    let cluster = start().await;
    orders(&cluster)
        .with(&["spec", "internalTrafficPolicy"], "Local")
        .create()
        .await
        .unwrap();
    cluster.requests().reset();
    let source = Cluster::from(cluster.client());
    let mut resolutions = source.watch(&reached_by(Some(Reach::VirtualIp)));
    let address = spec(&cluster).await["clusterIP"]
        .as_str()
        .unwrap()
        .to_owned();
    let set = until_at(
        &mut resolutions,
        Reach::VirtualIp,
        &[&format!("{address}:80")],
    )
    .await;
    assert_eq!(set[0].placement().as_str(), "orders.shop");
    assert_eq!(set.internal_traffic(), InternalTraffic::Cluster);
    assert_eq!(cluster.requests().count(Verb::Watch, "endpointslices"), 0);
    // Who wants the Pods of the same Service hears of them, and of the policy.
    let mut pods = source.watch(&reached_by(None));
    let set = until_at(&mut pods, Reach::Pods, &[]).await;
    assert_eq!(set.internal_traffic(), InternalTraffic::Local);
    assert_eq!(
        cluster.requests().open_watches("services"),
        1,
        "one watch for both"
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_are_watched_once_and_no_longer_than_needed() {
    let cluster = start().await;
    orders(&cluster).node_port().create().await.unwrap();
    cluster
        .service("shop", "others")
        .port("http", 80)
        .node_port()
        .create()
        .await
        .unwrap();
    let source = Cluster::from(cluster.client());
    let others: ServiceRef = "others.shop:http".parse().unwrap();
    let mut first = source.watch(&reached_by(Some(Reach::Nodes)));
    let mut second = source.watch(&others.with_reach(Reach::Nodes));
    let three = until(&mut first, |set| set.len() == 3).await;
    until(&mut second, |set| set.len() == 3).await;
    let names: Vec<_> = three
        .iter()
        .map(|one| (one.placement().as_str(), one.node(), one.zone()))
        .collect();
    assert_eq!(names[1], ("node-1", Some("node-1"), Some("zone-b")));
    assert!(
        three
            .iter()
            .all(|one| one.uid().is_some() && one.pod().is_none())
    );
    assert_eq!(cluster.requests().open_watches("nodes"), 1);

    patch_node(&cluster, "node-1", readiness("Unknown")).await;
    let two = until(&mut first, |set| set.len() == 2).await;
    assert!(Arc::ptr_eq(&two[0], &three[0]), "the others are the same");
    until(&mut second, |set| set.len() == 2).await;
    // What a Node says of itself all the time is no news.
    patch_node(
        &cluster,
        "node-0",
        json!({ "status": { "conditions": [{ "type": "DiskPressure", "status": "False" }] } }),
    )
    .await;
    patch_node(&cluster, "node-1", readiness("True")).await;
    let again = until(&mut first, |set| set.len() == 3).await;
    assert!(Arc::ptr_eq(&again[0], &three[0]));

    drop(first);
    until(&mut second, |set| set.len() == 3).await;
    assert_eq!(cluster.requests().open_watches("nodes"), 1);
    drop(second);
    while cluster.requests().open_watches("nodes") > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // And whoever comes later starts anew.
    let mut third = source.watch(&reached_by(Some(Reach::Nodes)));
    until(&mut third, |set| set.len() == 3).await;
    assert_eq!(cluster.requests().open_watches("nodes"), 1);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_keep_traffic_to_themselves_need_a_ready_pod() {
    let cluster = start().await;
    let local = orders(&cluster)
        .node_port()
        .with(&["spec", "externalTrafficPolicy"], "Local");
    local.create().await.unwrap();
    let source = Cluster::from(cluster.client());
    let mut resolutions = source.watch(&reached_by(Some(Reach::Nodes)));
    until(&mut resolutions, |set| set.is_empty()).await;
    let pods = cluster
        .stateful_set("shop", "orders", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let set = until(&mut resolutions, |set| set.len() == 1).await;
    let node = cluster.pod("shop", "orders-0").unwrap().node().to_owned();
    assert_eq!(set[0].node(), Some(&*node));
    pods.scale(3).await.unwrap();
    until(&mut resolutions, |set| set.len() == 3).await;
    pods.scale(0).await.unwrap();
    until(&mut resolutions, |set| set.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn external_addresses_are_used_where_that_is_said() {
    let cluster = start().await;
    orders(&cluster).node_port().create().await.unwrap();
    let addresses =
        json!({ "status": { "addresses": [{ "type": "ExternalIP", "address": "192.0.2.7" }] } });
    patch_node(&cluster, "node-2", addresses).await;
    let source = Cluster::from(cluster.client()).with_node_addresses(NodeAddresses::External);
    let mut resolutions = source.watch(&reached_by(Some(Reach::Nodes)));
    let set = until(&mut resolutions, |set| set.len() == 1).await;
    assert_eq!(set[0].address().ip().to_string(), "192.0.2.7");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_prints_the_role_for_nodes_and_takes_nothing_from_who_needs_none() {
    const NAME: &str = "system:serviceaccount:web:front";
    let cluster = start().await;
    orders(&cluster)
        .node_port()
        .without_selector()
        .create()
        .await
        .unwrap();
    write_slice(&cluster, "a", "me", "10.0.0.1").await;
    let role = |manifest: &str| -> Value {
        serde_saphyr::from_str(manifest.split("\n---\n").next().unwrap()).unwrap()
    };
    let user = || {
        User::new(NAME)
            .rules_in("shop", &role(portolan_kube::ROLE))
            .unwrap()
    };
    let token = cluster.sign_in(user());
    let source = Cluster::from(cluster.client_as(&token));
    let mut pods = source.watch(&reached_by(None));
    let error = until_failed(&mut source.watch(&reached_by(Some(Reach::Nodes)))).await;
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("`{NAME}` may not watch nodes. ")),
        "{text}"
    );
    until_at(&mut pods, Reach::Pods, &["10.0.0.1:8080"]).await;

    let manifest = text.get(text.find("apiVersion:").unwrap()..).unwrap();
    let allowed = user().cluster_rules(&role(manifest)).unwrap();
    let token = cluster.sign_in(allowed);
    let source = Cluster::from(cluster.client_as(&token));
    until(&mut source.watch(&reached_by(Some(Reach::Nodes))), |set| {
        set.len() == 3
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_resolver_the_error_says_where_to_give_one() {
    let cluster = start().await;
    orders(&cluster)
        .external_name("db.example.com")
        .create()
        .await
        .unwrap();
    let mut resolutions = Cluster::from(cluster.client()).watch(&reached_by(None));
    let error = until_failed(&mut resolutions).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    let text = error.to_string();
    for part in ["`db.example.com`", "with_host_resolver", "feature `dns`"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_dns_takes_nothing_away_and_a_name_that_is_gone_does() {
    let cluster = start().await;
    orders(&cluster)
        .external_name("db.example.com")
        .create()
        .await
        .unwrap();
    let names = Names::default();
    let source = Cluster::from(cluster.client()).with_host_resolver(names.clone());
    let mut resolutions = source.watch(&reached_by(None));
    let failure =
        || Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, "no answer"));
    names.say("db.example.com", failure());
    assert_eq!(
        until_failed(&mut resolutions).await.to_string(),
        "no answer"
    );
    names.answer("db.example.com", &["192.0.2.1:80"]);
    let set = until_at(&mut resolutions, Reach::ExternalName, &["192.0.2.1:80"]).await;
    names.say("db.example.com", failure());
    assert_eq!(
        until_failed(&mut resolutions).await.to_string(),
        "no answer"
    );
    // Who comes meanwhile sees both: what was good, and that it may be old.
    let mut late = source.watch(&reached_by(None));
    assert!(matches!(next(&mut late).await, Resolution::Present(known) if known.is_same(&set)));
    until_failed(&mut late).await;
    names.answer("db.example.com", &["192.0.2.1:80"]);
    assert!(
        until_at(&mut resolutions, Reach::ExternalName, &["192.0.2.1:80"])
            .await
            .is_same(&set)
    );
    names.say("db.example.com", Resolution::Absent);
    until_at(&mut resolutions, Reach::ExternalName, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_changes_is_followed() {
    let cluster = start().await;
    let service = orders(&cluster).create().await.unwrap();
    for name in ["orders", "others"] {
        cluster
            .stateful_set("shop", name, 1)
            .port("http", 8080)
            .create()
            .await
            .unwrap();
    }
    let mut resolutions = Cluster::from(cluster.client()).watch(&reached_by(None));
    let pod =
        |name: &'static str| move |set: &EndpointSet| set.len() == 1 && set[0].pod() == Some(name);
    until(&mut resolutions, pod("orders-0")).await;
    service
        .patch(json!({ "spec": { "selector": { "app": "others" } } }))
        .await
        .unwrap();
    until(&mut resolutions, pod("others-0")).await;
}

#[tokio::test(start_paused = true)]
async fn who_needs_no_slices_needs_no_permission_for_them() {
    let cluster = start().await;
    let service = orders(&cluster).create().await.unwrap();
    let rules =
        json!([{ "apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"] }]);
    let token = cluster.sign_in(User::new("reader").rules_in("shop", &rules).unwrap());
    let source = Cluster::from(cluster.client_as(&token));
    let mut virtual_ip = source.watch(&reached_by(Some(Reach::VirtualIp)));
    let set = until(&mut virtual_ip, |set| set.len() == 1).await;
    // The same task fails for who wants the Pods, and that is nobody else's business.
    let mut pods = source.watch(&reached_by(None));
    assert_eq!(
        until_failed(&mut pods).await.kind(),
        SourceErrorKind::Forbidden
    );
    let ports = json!([{ "name": "http", "port": 81 }]);
    service
        .patch(json!({ "spec": { "ports": ports } }))
        .await
        .unwrap();
    assert!(matches!(next(&mut virtual_ip).await, Resolution::Present(now) if !now.is_same(&set)));
    let quiet = timeout(Duration::from_secs(60), virtual_ip.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_dns_hears_that_connections_fail() {
    let cluster = start().await;
    let alias = orders(&cluster).external_name("db.example.com");
    alias.create().await.unwrap();
    let names = Names::default();
    names.answer("db.example.com", &["192.0.2.1:80"]);
    let source = Cluster::from(cluster.client()).with_host_resolver(names.clone());
    let service = reached_by(None);
    source.suspect(&service);
    let mut resolutions = source.watch(&service);
    until_at(&mut resolutions, Reach::ExternalName, &["192.0.2.1:80"]).await;
    assert!(
        names.suspected.lock().unwrap().is_empty(),
        "nobody was following"
    );
    source.suspect(&service);
    source.suspect(&"others.shop:http".parse().unwrap());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*names.suspected.lock().unwrap(), ["db.example.com"]);
}
