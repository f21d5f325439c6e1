//! A Service of a real cluster: found, asked once, and then kept under load.

use std::{collections::BTreeMap, path::Path, time::Duration};

use kube::config::{KubeConfigOptions, Kubeconfig};
use portolan::{Cluster, ErrorKind, Freshness, Observer, ServiceRef};
use tokio::time::timeout;

use crate::{
    Client, Result,
    arguments::Arguments,
    follow::Follower,
    load::{PATIENCE, exchange},
    output::Output,
    run::{Run, interrupted},
    view::Length,
};

const DURATION: Duration = Duration::from_secs(30);
/// Of no more endpoints than these it is told why they did not answer.
const MAX_TOLD: usize = 3;

pub(crate) async fn run(arguments: &Arguments, service: &str, output: &Output) -> Result<()> {
    let kubeconfig = arguments.kubeconfig.as_deref();
    let found = match kubeconfig {
        Some(path) => portolan::kube::Cluster::from_kubeconfig(path, None).await?,
        None => portolan::kube::Cluster::infer().await?,
    };
    let namespace = found.namespace().to_owned();
    let client = arguments.client(&Cluster::from(found), service)?;
    let service = service.parse::<ServiceRef>()?.or_namespace(&namespace)?;
    is_known(client.observe(), &service).await?;
    ask_once(&client, arguments, output, &service).await?;

    // Beside Portolan's own client, one for the watch that it is compared with.
    let kube = kube_client(kubeconfig).await?;
    let follower = Follower::of_slices(kube, &service, client.observe())?;
    let duration = arguments.duration.unwrap_or(DURATION);
    let run = Run::start(arguments, client, output, Length::Time(duration))?;
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        interrupted = interrupted() => interrupted?,
    }
    run.end(follower, output).await
}

/// Waits for the first word on the Service; what is wrong with it is known before anything is sent.
async fn is_known(mut observer: Observer, service: &ServiceRef) -> Result<()> {
    let known = async {
        loop {
            match observer.view().freshness() {
                Freshness::Absent => {
                    return Err(format!(
                        "there is no Service `{service}`; `kubectl get services --all-namespaces` says \
                         which there are"
                    ));
                }
                Freshness::Stale { error, .. } => return Err(format!("{service}: {error}")),
                Freshness::Live => return Ok(()),
                _ => {}
            }
            if observer.changed().await.is_none() {
                return Ok(());
            }
        }
    };
    let known = timeout(PATIENCE, known).await;
    Ok(known.map_err(|_| format!("nothing was heard of {service} within {PATIENCE:?}"))??)
}

/// One request before the many, to tell well why there is no answer.
async fn ask_once(
    client: &Client,
    arguments: &Arguments,
    output: &Output,
    service: &ServiceRef,
) -> Result<()> {
    let path = &arguments.path;
    match timeout(PATIENCE, exchange(client, path.clone())).await {
        Ok(Ok(answer)) => {
            let (status, version) = (answer.status(), answer.version());
            output.line(format_args!(
                "GET {path} of {service}: {status} ({version:?})"
            ));
            Ok(())
        }
        Ok(Err(error)) => Err(match error.downcast_ref::<portolan::Error>() {
            Some(error) => explained(error),
            None => format!("the first request failed: {error}"),
        }
        .into()),
        Err(_) => {
            Err(format!("{service} has not answered the first request within {PATIENCE:?}").into())
        }
    }
}

/// Why there was no answer: each endpoint's own words, but not those of each try, and what to look at.
fn explained(error: &portolan::Error) -> String {
    let (service, kind) = (error.service(), error.kind());
    let mut told = format!("the first request failed: {service}: {kind}");
    let mut endpoints = BTreeMap::new();
    for attempt in error.attempts() {
        endpoints.entry(attempt.address()).or_insert(attempt);
    }
    for (address, attempt) in endpoints.iter().take(MAX_TOLD) {
        told += &format!("\n  {} ({address}): {}", attempt.placement(), attempt.cause);
    }
    if let Some(cause) = error.source_error() {
        told += &format!("\n  discovery is failing: {cause}");
    }
    told += match kind {
        ErrorKind::Exhausted | ErrorKind::Failed => {
            "\nCan this machine reach the Pods' addresses? Only one in the cluster's network can.\n\
             Do the Pods speak what they were asked in? See --http2 and --tls."
        }
        ErrorKind::NoEndpoints { .. } => "\n`kubectl get endpointslices` shows which there are.",
        _ => "",
    };
    told
}

async fn kube_client(kubeconfig: Option<&Path>) -> Result<kube::Client> {
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    Ok(kube::Client::try_from(config)?)
}
