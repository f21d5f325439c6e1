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

mod arguments;
mod follow;
mod lags;
mod load;
mod members;
mod output;
mod picture;
mod run;
mod service;
mod story;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod view;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use portolan::{Cluster, http::HttpClient};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::{
    arguments::Arguments,
    follow::Follower,
    output::Output,
    run::{Run, interrupted},
    story::{Step, Story},
    view::Length,
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;
type Client = HttpClient;

#[tokio::main]
async fn main() -> ExitCode {
    // Errors are told in words; what else there is to know, `RUST_LOG` asks for.
    let log = EnvFilter::builder()
        .with_default_directive(LevelFilter::OFF.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .init();
    match run(&Arguments::parse(), &Output::standard()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, output: &Output) -> Result<()> {
    match &arguments.service {
        None => on_a_cluster_of_its_own(arguments, output).await,
        Some(service) => service::run(arguments, service, output).await,
    }
}

async fn on_a_cluster_of_its_own(arguments: &Arguments, output: &Output) -> Result<()> {
    let story = Story::begin(arguments.duration).await?;
    let kube = story.client();
    let client = arguments.client(&Cluster::from(kube.clone()), Story::SERVICE)?;
    let rate = arguments.rate;
    output.line("A Kubernetes cluster in this process,\nwhose Pods take 2 to 8 ms to answer:");
    output.line(format_args!(
        "{rate} requests/s to Service {}",
        Story::SERVICE
    ));
    let follower = Follower::of_pods(kube, Story::NAMESPACE, client.observe());
    let run = Run::start(arguments, client, output, Length::Steps(Step::COUNT))?;
    tokio::select! {
        told = story.tell(run.view(), &follower) => told?,
        interrupted = interrupted() => interrupted?,
    }
    run.end(follower, output).await
}

/// Tells what went wrong and why, and nothing twice: many an error has its cause in its own words.
#[allow(clippy::print_stderr, reason = "it is there to be read")]
fn complain(error: &(dyn Error + 'static)) {
    let mut told = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told += &format!("\n  because: {text}");
        }
        cause = error.source();
    }
    eprintln!("{told}");
}
