//! What stands between a Service's addresses and its Pods: kube-proxy, and a load balancer that leads to it.
//!
//! Each address and port that a Service offers is a listening socket; each connection to it is copied to and
//! from a Pod, the next in turn. As kube-proxy does, it takes the ready endpoints, and if none is ready those
//! that serve while they terminate; with `externalTrafficPolicy: Local` a Node has only its own. Where
//! there is no endpoint, connections are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::json;
use crate::kind::Kind;
use crate::store::Store;

/// Where connections lead, by the address that they are made to.
type Routes = BTreeMap<SocketAddr, Vec<SocketAddr>>;

/// Keeps the sockets in step with the Services.
#[derive(Debug)]
pub(crate) struct Proxy {
    store: Arc<Store>,
    open: BTreeMap<SocketAddr, Front>,
    tasks: JoinSet<()>,
}

/// A socket that listens.
#[derive(Debug)]
struct Front {
    pods: Arc<Mutex<Vec<SocketAddr>>>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            open: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Runs for as long as the cluster lives.
    pub(crate) async fn run(mut self) {
        let mut wake = self.store.changes();
        loop {
            wake.mark_unchanged();
            let routes = routes(&self.store);
            self.apply(routes).await;
            if wake.changed().await.is_err() {
                return;
            }
        }
    }

    async fn apply(&mut self, mut routes: Routes) {
        self.open.retain(|address, front| {
            let pods = routes.remove(address);
            let stays = pods.is_some();
            match pods {
                Some(pods) => *front.pods.lock().unwrap_or_else(PoisonError::into_inner) = pods,
                None => front.task.abort(),
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        for (address, pods) in routes {
            // A port below 1024, or an address that is not this machine's, is tried again with each change.
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let pods = Arc::new(Mutex::new(pods));
                    let task = self.tasks.spawn(forward(listener, Arc::clone(&pods)));
                    self.open.insert(address, Front { pods, task });
                }
                Err(error) => tracing::debug!(%address, %error, "cannot listen for a Service"),
            }
        }
    }
}

async fn forward(listener: TcpListener, pods: Arc<Mutex<Vec<SocketAddr>>>) {
    let turn = AtomicUsize::new(0);
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let chosen = {
            let pods = pods.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            pods.iter().cycle().nth(turn % pods.len().max(1)).copied()
        };
        connections.spawn(async move {
            let Some(pod) = chosen else { return };
            if let Ok(mut pod) = TcpStream::connect(pod).await {
                // However it ends, both ends are closed then.
                copy_bidirectional(&mut client, &mut pod).await.ok();
            }
        });
    }
}

fn routes(store: &Store) -> Routes {
    let slices = store.objects(Kind::EndpointSlice);
    let nodes: Vec<(String, IpAddr)> = store
        .objects(Kind::Node)
        .iter()
        .flat_map(|node| addresses_of(node))
        .collect();
    let mut routes = Routes::new();
    for service in store.objects(Kind::Service) {
        let of_service = |slice: &&Arc<Value>| {
            json::text(slice, "/metadata/namespace") == json::text(&service, "/metadata/namespace")
                && json::label(slice, "kubernetes.io/service-name")
                    == Some(json::text(&service, "/metadata/name"))
        };
        let slices: Vec<_> = slices.iter().filter(of_service).collect();
        let local = json::text(&service, "/spec/externalTrafficPolicy") == "Local";
        for port in json::items(&service, "/spec/ports") {
            let name = json::text(port, "/name");
            let mut lead = |ip: IpAddr, number: Option<u16>, node: Option<&str>| {
                let pods = pods(&slices, name, node);
                if let (Some(number), false) = (number, pods.is_empty()) {
                    routes.insert(SocketAddr::new(ip, number), pods);
                }
            };
            let number = number(port, "/port");
            for ip in ips(&service, "/spec/clusterIPs", "") {
                lead(ip, number, None);
            }
            for ip in ips(&service, "/status/loadBalancer/ingress", "/ip") {
                lead(ip, number, None);
            }
            for (node, ip) in &nodes {
                lead(
                    *ip,
                    self::number(port, "/nodePort"),
                    local.then_some(node.as_str()),
                );
            }
        }
    }
    routes
}

/// The endpoints that get connections; those of one Node, if only they may.
fn pods(slices: &[&Arc<Value>], port: &str, node: Option<&str>) -> Vec<SocketAddr> {
    let (mut ready, mut lingering) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let mut ports = json::items(slice, "/ports").iter();
        let found = ports.find(|one| json::text(one, "/name") == port);
        let Some(number) = found.and_then(|found| number(found, "/port")) else {
            continue;
        };
        for endpoint in json::items(slice, "/endpoints") {
            let here = node.is_none_or(|node| json::text(endpoint, "/nodeName") == node);
            let ip = json::items(endpoint, "/addresses").first();
            let ip = ip.and_then(Value::as_str).and_then(|ip| ip.parse().ok());
            let Some(ip) = ip.filter(|_| here) else {
                continue;
            };
            let condition = |name: &str| {
                endpoint
                    .pointer(&format!("/conditions/{name}"))
                    .and_then(Value::as_bool)
            };
            let address = SocketAddr::new(ip, number);
            if condition("ready").unwrap_or(true) {
                ready.insert(address);
            } else if condition("serving") == Some(true) && condition("terminating") == Some(true) {
                lingering.insert(address);
            }
        }
    }
    let chosen = if ready.is_empty() { lingering } else { ready };
    chosen.into_iter().collect()
}

fn addresses_of(node: &Value) -> Vec<(String, IpAddr)> {
    let name = json::text(node, "/metadata/name");
    let addresses = ips(node, "/status/addresses", "/address");
    addresses.map(|ip| (name.to_owned(), ip)).collect()
}

fn ips(object: &Value, list: &str, at: &str) -> impl Iterator<Item = IpAddr> {
    let items = json::items(object, list).iter();
    items.filter_map(move |item| json::text(item, at).parse().ok())
}

fn number(object: &Value, at: &str) -> Option<u16> {
    json::integer(object, at).and_then(|number| number.try_into().ok())
}
