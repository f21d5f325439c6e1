//! The three clients, set up alike.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use ginepro::{LoadBalancedChannel, LookupService, ResolutionStrategy, ServiceDefinition};
use hickory_proto::rr::{RData, RecordType};
use portolan::{Cluster, grpc::GrpcClient};
use portolan_scenarios::{
    arena::Arena,
    caller::until,
    failure::{Failure, Result},
    greeter::call,
    packets,
    scenarios::dns_takes_over::both,
    steady::Steady,
};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// How long the caller waits in all.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Portolan,
    Tonic,
    Ginepro,
}

pub(crate) const CLIENTS: [Client; 3] = [Client::Portolan, Client::Tonic, Client::Ginepro];

pub(crate) struct Channels {
    portolan: GrpcClient,
    tonic: Channel,
    ginepro: LoadBalancedChannel,
    calm: GrpcClient,
}

impl Channels {
    pub(crate) async fn open(arena: &Arena, pods: usize, limit: Duration) -> Result<Self> {
        let cluster = Cluster::from_source(both(arena).await?);
        let portolan = portolan(&cluster, &arena.full("db:http"), limit)?;
        let calm = portolan_to_calm(arena, limit)?;
        let all = |view: &portolan::View| view.endpoints().len() == pods;
        let view = until(portolan.observe(), "all Pods get calls", all).await?;
        let addresses = view.endpoints().iter().map(|one| one.endpoint.address());
        let tonic = addresses.map(|address| endpoint(address, limit));
        let tonic = tonic.collect::<Result<Vec<_>>>()?;
        let dns = Lookup {
            nameserver: arena.nameserver().await?,
        };
        let name = format!("db.{}.svc.cluster.local.", arena.namespace());
        let ginepro = LoadBalancedChannel::builder((name, 8080))
            .lookup_service(dns)
            .dns_probe_interval(Duration::from_secs(1))
            .resolution_strategy(ResolutionStrategy::Eager { timeout: PATIENCE })
            .timeout(limit)
            .connect_timeout(limit)
            .channel()
            .await?;
        Ok(Self {
            portolan,
            tonic: Channel::balance_list(tonic.into_iter()),
            ginepro,
            calm,
        })
    }

    pub(crate) fn load(&self, client: Client, rate: u32) -> Steady<()> {
        let (portolan, tonic, ginepro) = (
            self.portolan.clone(),
            self.tonic.clone(),
            self.ginepro.clone(),
        );
        Steady::start(rate, move || match client {
            Client::Portolan => in_time(call(portolan.clone(), |body| body)),
            Client::Tonic => in_time(call(tonic.clone(), tonic::body::Body::new)),
            Client::Ginepro => in_time(call(ginepro.clone(), tonic_of_ginepro::body::Body::new)),
        })
    }

    /// Calls to the Service to which nothing happens.
    pub(crate) fn calm(&self, rate: u32) -> Steady<()> {
        let calm = self.calm.clone();
        Steady::start(rate, move || in_time(call(calm.clone(), |body| body)))
    }
}

/// The caller's own limit.
fn in_time(
    call: impl Future<Output = std::result::Result<(), String>> + Send + 'static,
) -> BoxFuture<'static, std::result::Result<(), String>> {
    let given_up = |_| Err("the caller gave it up".to_owned());
    async move { timeout(PATIENCE, call).await.unwrap_or_else(given_up) }.boxed()
}

fn portolan(cluster: &Cluster, service: &str, limit: Duration) -> Result<GrpcClient> {
    let grpc = cluster.service(service)?.resilient().grpc();
    let grpc = grpc.connect_timeout(limit).response_timeout(limit);
    Ok(grpc.retry_if(|_| true).build()?)
}

fn portolan_to_calm(arena: &Arena, limit: Duration) -> Result<GrpcClient> {
    portolan(&arena.discovery()?, &arena.full("calm:http"), limit)
}

fn endpoint(address: SocketAddr, limit: Duration) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.timeout(limit).connect_timeout(limit))
}

/// The cluster's DNS, for ginepro.
struct Lookup {
    nameserver: SocketAddr,
}

#[async_trait::async_trait]
impl LookupService for Lookup {
    async fn resolve_service_endpoints(
        &self,
        service: &ServiceDefinition,
    ) -> std::result::Result<HashSet<SocketAddr>, anyhow::Error> {
        let asks = packets::ask(self.nameserver, service.hostname(), RecordType::A, 4096);
        let answer = asks.await.map_err(told)?;
        let addresses = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) => Some((address.0, service.port()).into()),
                _ => None,
            });
        Ok(addresses.collect())
    }
}

fn told(failure: Failure) -> anyhow::Error {
    anyhow::Error::msg(format!("{failure:?}"))
}
