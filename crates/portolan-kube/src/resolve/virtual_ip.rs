//! The Service's own address, behind which kube-proxy stands.

use std::net::SocketAddr;

use portolan_core::{Endpoint, Placement, SourceError};

use super::{Of, invalid, port};
use crate::service::ServiceKind;

/// One endpoint: `spec.clusterIPs`, at the Service's port. Its placement is the Service's name, for that is
/// what stays when the Service is made again.
pub(super) fn find(of: Of<'_>) -> Result<Vec<Endpoint>, SourceError> {
    let Of {
        world,
        service,
        want,
    } = of;
    let name = &world.name;
    if service.kind == ServiceKind::Headless {
        return Err(invalid(format!(
            "Service `{name}` is headless (`clusterIP: None`), so it has no virtual IP; ask for `Reach::Pods`"
        )));
    }
    let port = port::of_service(name, want.port.as_ref(), service)?;
    let addresses = service.cluster_ips.iter();
    let addresses = addresses.map(|ip| SocketAddr::new(*ip, port.number.get()));
    let endpoint = want.endpoint(addresses, service.family, |address| {
        Endpoint::new(Placement::new(name.as_str()), address)
    });
    match endpoint {
        Some(endpoint) => Ok(vec![endpoint]),
        None => {
            let has: Vec<_> = service
                .cluster_ips
                .iter()
                .map(ToString::to_string)
                .collect();
            Err(invalid(format!(
                "Service `{name}` has no virtual IP of a family that is used ({:?}); it has: {}",
                want.families,
                if has.is_empty() {
                    "none".into()
                } else {
                    has.join(", ")
                }
            )))
        }
    }
}
