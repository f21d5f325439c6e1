//! Whole requests to three servers on loopback: what balancing adds to a client's CPU time.
//!
//! The client, with everything that it spawns, is on one thread, and that thread's CPU time is what is
//! counted. The servers are on another.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use http::{Request, StatusCode, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use portolan::{Cluster, Endpoint, Placement, http::HttpClient, source::Fixed};
use portolan_benches::{
    BoxError, Contender, Cost, Figures, Goal, Run, compare, criterion, short_criterion,
};
use tokio::runtime::Runtime;
use tonic::{client::GrpcService, transport::Channel};
use tonic_prost::ProstCodec;

#[path = "support/servers.rs"]
mod servers;

const SERVERS: usize = 3;
const ROUNDS: usize = 30;
/// Long enough for 64 at once to be at it for hundreds of requests each.
const RUN: Duration = Duration::from_millis(150);

fn main() -> Result<(), BoxError> {
    let addresses = servers::start(SERVERS)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let bare = legacy::Client::builder(TokioExecutor::new());
    let bare_1 = Bare::new(bare.clone().build_http(), &addresses)?;
    let bare_2 = Bare::new(bare.clone().http2_only(true).build_http(), &addresses)?;
    let cluster = Cluster::from_source(addresses.iter().enumerate().map(server).collect::<Fixed>());
    let ours = || cluster.service("search:http");
    let ours_1 = Balanced(ours()?.http().http1().build()?);
    let ours_2 = Balanced(ours()?.http().http2().build()?);
    let channels = addresses
        .iter()
        .map(|address| Channel::from_shared(format!("http://{address}")))
        .collect::<Result<Vec<_>, _>>()?;
    let tonics = Rpc(tonic::client::Grpc::new(Channel::balance_list(
        channels.into_iter(),
    )));
    let ours_rpc = Rpc(tonic::client::Grpc::new(ours()?.grpc().build()?));
    drop(entered);

    let mut figures = Figures::new("end to end, CPU of the client's thread per request");
    for at_once in [1, 64] {
        let mut contenders = [
            contender("HTTP/1.1, hyper-util", &runtime, &bare_1, at_once),
            contender("HTTP/1.1, portolan", &runtime, &ours_1, at_once),
            contender("h2c, hyper-util", &runtime, &bare_2, at_once),
            contender("h2c, portolan", &runtime, &ours_2, at_once),
            contender("gRPC, tonic's balance_list", &runtime, &tonics, at_once),
            contender("gRPC, portolan", &runtime, &ours_rpc, at_once),
        ];
        criterion(&mut short_criterion(), "end_to_end", &mut contenders)?;
        let costs = compare(ROUNDS, &mut contenders)?;
        costs.iter().for_each(|cost| figures.add_cost(cost));
        if let [bare_1, ours_1, bare_2, ours_2, tonics, ours_rpc] = &costs[..] {
            add_added(&mut figures, bare_1, ours_1, Goal::None);
            add_added(&mut figures, bare_2, ours_2, Goal::None);
            // What tonic balances is to be no cheaper.
            add_added(&mut figures, tonics, ours_rpc, Goal::AtMost(1.0));
        }
    }
    figures.print()?;
    Ok(())
}

fn add_added(figures: &mut Figures, theirs: &Cost, ours: &Cost, goal: Goal) {
    let added = ours.difference_to(theirs);
    let (name, other) = (&ours.name, &theirs.name);
    figures.add(format!("{name}: added"), added, "ns", Goal::None);
    figures.add(
        format!("{name}, of {other}"),
        ours.ratio_to(theirs),
        "",
        goal,
    );
}

/// So many tasks' worth of requests on one thread, each task with one at a time.
fn contender<'a>(
    name: &str,
    runtime: &'a Runtime,
    client: &'a impl Calls,
    at_once: u64,
) -> Contender<'a> {
    Contender::new(format!("{name}, {at_once} at once"), move |turns| {
        let clients =
            (0..at_once).map(|number| calls(client.clone(), number, turns.div_ceil(at_once)));
        let (run, done) = Run::of_this_thread(|| runtime.block_on(try_join_all(clients)));
        done?;
        Ok(run)
    })
    .lasting(RUN)
}

async fn calls(mut client: impl Calls, first: u64, times: u64) -> Result<(), BoxError> {
    for turn in first..first + times {
        client.call(turn as usize).await?;
    }
    Ok(())
}

trait Calls: Clone {
    async fn call(&mut self, turn: usize) -> Result<(), BoxError>;
}

/// hyper-util's client, which is told for each request where to go: it takes turns.
#[derive(Clone)]
struct Bare {
    client: legacy::Client<HttpConnector, Empty<Bytes>>,
    targets: Vec<Uri>,
}

impl Bare {
    fn new(
        client: legacy::Client<HttpConnector, Empty<Bytes>>,
        addresses: &[SocketAddr],
    ) -> Result<Self, BoxError> {
        let targets = addresses
            .iter()
            .map(|address| format!("http://{address}/search?q=harbours").parse())
            .collect::<Result<_, _>>()?;
        Ok(Self { client, targets })
    }
}

impl Calls for Bare {
    async fn call(&mut self, turn: usize) -> Result<(), BoxError> {
        let target = self.targets.get(turn % SERVERS).ok_or("no server")?;
        let request = Request::get(target).body(Empty::new())?;
        read(self.client.request(request).await?).await
    }
}

#[derive(Clone)]
struct Balanced(HttpClient);

impl Calls for Balanced {
    async fn call(&mut self, _: usize) -> Result<(), BoxError> {
        let request = Request::get("/search?q=harbours").body(Empty::<Bytes>::new())?;
        read(self.0.send(request).await?).await
    }
}

async fn read<B>(response: http::Response<B>) -> Result<(), BoxError>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let status = response.status();
    let body = response.into_body().collect().await.map_err(Into::into)?;
    match (status, body.to_bytes()) {
        (StatusCode::OK, body) if body == servers::ANSWER => Ok(()),
        (status, body) => Err(format!("{status}, {} bytes", body.len()).into()),
    }
}

/// What a generated client does, on any channel.
#[derive(Clone)]
struct Rpc<T>(tonic::client::Grpc<T>);

impl<T> Calls for Rpc<T>
where
    T: GrpcService<tonic::body::Body> + Clone,
    T::Error: Into<BoxError>,
    T::ResponseBody: http_body::Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
{
    async fn call(&mut self, _: usize) -> Result<(), BoxError> {
        let Self(client) = self;
        client.ready().await.map_err(Into::into)?;
        let path = PathAndQuery::from_static("/search.Search/Find");
        let request = tonic::Request::new(String::from("harbours"));
        let codec = ProstCodec::<String, String>::default();
        let answer = client.unary(request, path, codec).await?.into_inner();
        match answer == servers::ANSWER {
            true => Ok(()),
            false => Err(format!("{} bytes", answer.len()).into()),
        }
    }
}

fn server((number, address): (usize, &SocketAddr)) -> Endpoint {
    Endpoint::new(Placement::new(format!("search-{number}")), *address)
}
