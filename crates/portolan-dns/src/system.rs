//! What this system says of DNS, and of where this program stands in the cluster.

use std::{fs, net::SocketAddr, sync::Arc};

use hickory_resolver::{
    config::{ProtocolConfig, ResolverConfig},
    proto::rr::Name,
    system_conf,
};

use crate::Error;

/// Mounted into every Pod, unless `automountServiceAccountToken` is off.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What `resolv.conf` says, as far as it matters to a program that asks for complete names only.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) nameservers: Vec<SocketAddr>,
    /// Of a Pod's `search`, which begins with `namespace.svc.domain`.
    pub(crate) place: Option<Place>,
}

/// Where a Pod stands, by its `search`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) namespace: Arc<str>,
    pub(crate) domain: Name,
}

/// Reads the configuration of this system.
pub(crate) fn read() -> Result<System, Error> {
    let (config, _) = system_conf::read_system_conf().map_err(|error| Error::SystemConfig {
        cause: error.into(),
    })?;
    Ok(system(&config))
}

/// The namespace of this Pod, as its service account tells it.
pub(crate) fn namespace() -> Option<Arc<str>> {
    let text = fs::read_to_string(NAMESPACE).ok()?;
    let namespace = text.trim();
    (!namespace.is_empty()).then(|| namespace.into())
}

fn system(config: &ResolverConfig) -> System {
    let port = |server: &hickory_resolver::config::NameServerConfig| {
        let plain = |protocol: &ProtocolConfig| *protocol == ProtocolConfig::Udp;
        let mut connections = server.connections.iter();
        connections
            .find(|connection| plain(&connection.protocol))
            .map_or(53, |connection| connection.port)
    };
    System {
        nameservers: config
            .name_servers()
            .iter()
            .map(|server| SocketAddr::new(server.ip, port(server)))
            .collect(),
        place: config.search().iter().find_map(place),
    }
}

/// The namespace and domain in `namespace.svc.domain`.
fn place(search: &Name) -> Option<Place> {
    let mut labels = search.iter();
    let namespace = std::str::from_utf8(labels.next()?).ok()?;
    let svc = labels.next()?.eq_ignore_ascii_case(b"svc");
    let mut domain = Name::from_labels(labels).ok()?;
    domain.set_fqdn(true);
    (svc && !domain.is_root()).then(|| Place {
        namespace: namespace.to_ascii_lowercase().into(),
        domain,
    })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn of(resolv_conf: &str) -> System {
        system(&system_conf::parse_resolv_conf(resolv_conf).unwrap().0)
    }

    #[test]
    fn a_pods_resolv_conf_says_servers_namespace_and_domain() {
        let system = of(
            "search shop.svc.k8s.example.org svc.k8s.example.org k8s.example.org\n\
                         nameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n",
        );
        let expected = ["10.96.0.10:53", "[fd00::a]:53"].map(|text| text.parse().unwrap());
        assert_eq!(system.nameservers, expected);
        let place = system.place.unwrap();
        assert_eq!(&*place.namespace, "shop");
        assert_eq!(place.domain.to_ascii(), "k8s.example.org.");
        assert!(place.domain.is_fqdn());
    }

    #[test]
    fn elsewhere_there_is_no_place() {
        let system = of("search example.org svc.example.org svc.\nnameserver 9.9.9.9\n");
        assert_eq!(system.place, None);
    }
}
