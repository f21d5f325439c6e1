//! A Service that is followed over the Kubernetes API, and that has been through rolling updates.

use futures::StreamExt;
use portolan::{EndpointSet, Resolution, Source};
use portolan_benches::{BoxError, restarts};

use crate::api::{Api, PER_SLICE};

/// The source, once it has told of so many endpoints, and all of them have been replaced so many times.
pub(crate) async fn watched(endpoints: u32, replaced: u32) -> Result<impl Sized, BoxError> {
    let (api, client) = Api::start(endpoints);
    let cluster = portolan_kube::Cluster::from(client);
    let mut resolutions = cluster.watch(&"search.shop:http".parse()?);
    for life in 0..=replaced {
        if life > 0 {
            for slice in 0..endpoints.div_ceil(PER_SLICE) {
                api.say(Api::all_restarted(slice, life))?;
            }
        }
        until(&mut resolutions, |set| {
            set.len() == endpoints as usize && set.iter().all(|one| restarts(one) == Some(life))
        })
        .await?;
    }
    Ok((api, cluster, resolutions))
}

/// The source where the same Service is followed at two of its ports.
#[allow(dead_code, reason = "not everybody asks for everything")]
pub(crate) async fn watched_at_two_ports(endpoints: u32) -> Result<impl Sized, BoxError> {
    let (api, client) = Api::start(endpoints);
    let cluster = portolan_kube::Cluster::from(client);
    let mut first = cluster.watch(&"search.shop:http".parse()?);
    until(&mut first, |set| set.len() == endpoints as usize).await?;
    let mut second = cluster.watch(&"search.shop:metrics".parse()?);
    until(&mut second, |set| set.len() == endpoints as usize).await?;
    Ok((api, cluster, first, second))
}

/// The source where each Pod has an address of each family.
#[allow(dead_code, reason = "not everybody asks for everything")]
pub(crate) async fn watched_dual_stack(endpoints: u32) -> Result<impl Sized, BoxError> {
    let (api, client) = Api::start_dual_stack(endpoints);
    let cluster = portolan_kube::Cluster::from(client);
    let mut resolutions = cluster.watch(&"search.shop:http".parse()?);
    until(&mut resolutions, |set| {
        set.len() == endpoints as usize && set.iter().all(|one| one.alternate().is_some())
    })
    .await?;
    Ok((api, cluster, resolutions))
}

async fn until(
    resolutions: &mut (impl futures::Stream<Item = Resolution> + Unpin),
    such: impl Fn(&EndpointSet) -> bool,
) -> Result<(), BoxError> {
    loop {
        match resolutions.next().await {
            Some(Resolution::Present(set)) if such(&set) => return Ok(()),
            Some(Resolution::Failed(error)) => return Err(error.into()),
            Some(_) => {}
            None => return Err("the source has ended".into()),
        }
    }
}
