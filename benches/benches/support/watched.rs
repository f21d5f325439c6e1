//! A Service that is followed over the Kubernetes API, and that has been through rolling updates.

use futures::StreamExt;
use portolan::{Resolution, ServiceRef, Source};
use portolan_benches::{BoxError, restarts};

use crate::api::{Api, PER_SLICE};

/// The source, once it has told of so many endpoints, and all of them have been replaced so many times.
pub(crate) async fn watched(endpoints: u32, replaced: u32) -> Result<impl Sized, BoxError> {
    let (api, client) = Api::start(endpoints);
    let cluster = portolan_kube::Cluster::from(client);
    let service: ServiceRef = "search.shop:http".parse()?;
    let mut resolutions = cluster.watch(&service);
    for life in 0..=replaced {
        if life > 0 {
            for slice in 0..endpoints.div_ceil(PER_SLICE) {
                api.say(Api::all_restarted(slice, life))?;
            }
        }
        loop {
            match resolutions.next().await {
                Some(Resolution::Present(set))
                    if set.len() == endpoints as usize
                        && set.iter().all(|one| restarts(one) == Some(life)) =>
                {
                    break;
                }
                Some(Resolution::Failed(error)) => return Err(error.into()),
                Some(_) => {}
                None => return Err("the source has ended".into()),
            }
        }
    }
    Ok((api, cluster, resolutions))
}
