//! Clients that talk to a part of a Service each.

use std::{collections::BTreeSet, time::Duration};

use portolan::{Cluster, Nodes, subset::Subset};

use crate::{
    arena::{Arena, eventually},
    failure::{Failure, Result},
};

/// Three clients share six Pods, two each; when one of the clients goes, the others have three each. Nothing is set but
/// what their own Service is.
pub async fn clients_find_out_which_of_their_peers_they_are(arena: &Arena) -> Result {
    arena.headless("client").await?;
    arena.headless("db").await?;
    let clients = arena.stateful_set("client", 3).parallel().create().await?;
    let set = arena.stateful_set("db", 6).parallel().create().await?;
    clients.wait_ready(3).await?;
    set.wait_ready(6).await?;
    let cluster = arena.discovery()?;
    let of_client = |number| balancer(arena, &cluster, number);
    let mut nodes = (0..3).map(of_client).collect::<Result<Vec<_>>>()?;
    shared_evenly(&nodes, 6).await?;

    clients.scale(2).await?;
    nodes.pop();
    shared_evenly(&nodes, 6).await
}

/// That of one of the clients, which in its Pod would know its name.
fn balancer(arena: &Arena, cluster: &Cluster, client: usize) -> Result<Nodes> {
    let own = cluster.service(arena.full("client:http"))?;
    let subset = Subset::aperture_of(own)
        .as_pod(format!("client-{client}"))
        .at_least(2);
    let builder = cluster.service(arena.full("db:http"))?.subset(subset);
    Ok(builder.nodes()?)
}

/// Each Pod is one client's, and each client has as many.
async fn shared_evenly(nodes: &[Nodes], pods: usize) -> Result {
    let limit = Duration::from_secs(20);
    eventually("the Pods are shared evenly", limit, async || {
        let parts: Vec<_> = nodes.iter().map(part).collect();
        let all: BTreeSet<_> = parts.iter().flatten().collect();
        let even = parts.iter().all(|part| part.len() * nodes.len() == pods);
        match even && all.len() == pods {
            true => Ok(()),
            false => Err(Failure::new(format_args!("{parts:?}"))),
        }
    })
    .await
}

fn part(nodes: &Nodes) -> Vec<String> {
    let view = nodes.observe().view();
    let endpoints = view.endpoints().iter();
    endpoints
        .map(|one| one.endpoint.placement().to_string())
        .collect()
}
