//! The main job of Portolan, shown live: every request goes to a live Pod, through a rolling restart,
//! a crash and scaling, and none fails.
//!
//! ```sh
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --kubeconfig ~/.kube/config --service orders.shop:http
//! ```
//!
//! Without arguments it makes a cluster of its own, in this process: a Kubernetes API, the
//! controllers, and Pods that are HTTP servers on loopback. With `--service` it sends requests to a
//! Service of a real cluster, and changes nothing there.
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

mod follow;
mod load;
mod pairing;
mod story;
mod summary;
mod tally;
mod view;

use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, ValueEnum};
use kube::config::{KubeConfigOptions, Kubeconfig};
use portolan::{Cluster, Policy, http::HttpClient, policy};

use crate::{follow::Follower, load::Load, story::Story, tally::Tally, view::View};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;
type Client = HttpClient;

/// Sends a steady load to a Service through Portolan, and shows where it goes.
#[derive(Debug, Parser)]
struct Arguments {
    /// A Service to send GET requests to: `name[.namespace][:port]`. Without it, a cluster in this
    /// process is made, rolled, crashed and scaled.
    #[arg(long)]
    service: Option<String>,
    /// The kubeconfig of the cluster in which the Service is. Default: as kubectl finds it.
    #[arg(long, requires = "service")]
    kubeconfig: Option<PathBuf>,
    /// How endpoints are chosen.
    #[arg(long, value_enum, default_value_t)]
    policy: PolicyName,
    /// How long to send requests to a Service of a real cluster, in seconds.
    #[arg(long, value_parser = seconds, default_value = "30")]
    duration: Duration,
    /// Requests a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// HTTP/1.1 instead of HTTP/2.
    #[arg(long)]
    http1: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PolicyName {
    #[default]
    LeastRequest,
    PeakEwma,
    RoundRobin,
    WeightedRoundRobin,
    Random,
}

impl PolicyName {
    fn policy(self) -> Arc<dyn Policy> {
        match self {
            Self::LeastRequest => Arc::new(policy::LeastRequest::new()),
            Self::PeakEwma => Arc::new(policy::PeakEwma::new()),
            Self::RoundRobin => Arc::new(policy::RoundRobin::new()),
            Self::WeightedRoundRobin => Arc::new(policy::WeightedRoundRobin::new()),
            Self::Random => Arc::new(policy::Random::new()),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                println!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let log = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    match &arguments.service {
        None => on_a_cluster_of_its_own(&arguments).await,
        Some(service) => on_a_real_service(&arguments, service).await,
    }
}

async fn on_a_cluster_of_its_own(arguments: &Arguments) -> Result<()> {
    let story = Story::begin().await?;
    let kube = story.client();
    let cluster = Cluster::from(kube.clone());
    let client = client(&cluster, Story::SERVICE, arguments)?;
    let tally = Arc::new(Tally::new()?);
    let view = View::open(Arc::clone(&tally), client.observe(), Some(Story::STEPS));
    let follower = Follower::start(kube, Story::SERVICE.parse()?, client.observe())?;
    let load = Load::start(client, arguments.rate, Arc::clone(&tally));
    let told = story.tell(&view, &follower).await;
    load.stop().await;
    view.close().await;
    told?;
    end(&tally, follower)
}

async fn on_a_real_service(arguments: &Arguments, service: &str) -> Result<()> {
    let found = match &arguments.kubeconfig {
        Some(path) => portolan::kube::Cluster::from_kubeconfig(path, None).await?,
        None => portolan::kube::Cluster::infer().await?,
    };
    let namespace = found.namespace().to_owned();
    let cluster = Cluster::from(found);
    // Beside Portolan's own client, one for the watch that it is compared with.
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    let kube = kube::Client::try_from(config)?;
    let client = client(&cluster, service, arguments)?;
    let service: portolan::ServiceRef = service.parse()?;
    let tally = Arc::new(Tally::new()?);
    let view = View::open(Arc::clone(&tally), client.observe(), None);
    let follower = Follower::start(kube, service.or_namespace(&namespace)?, client.observe())?;
    let load = Load::start(client, arguments.rate, Arc::clone(&tally));
    tokio::select! {
        () = tokio::time::sleep(arguments.duration) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    load.stop().await;
    view.close().await;
    end(&tally, follower)
}

/// What came of it: an error if any request failed, so that a script can tell.
fn end(tally: &Tally, follower: Follower) -> Result<()> {
    summary::print(tally, &follower.finish());
    match tally.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} requests failed").into()),
    }
}

/// The client under load. Its GET requests may be sent again, so a Pod that dies with some of them
/// costs a retry instead of a failure.
fn client(cluster: &Cluster, service: &str, arguments: &Arguments) -> Result<Client> {
    let http = cluster
        .service(service)?
        .policy(arguments.policy.policy())
        .http()
        .retry_idempotent();
    let http = if arguments.http1 {
        http.http1()
    } else {
        http.http2()
    };
    Ok(http.build()?)
}
