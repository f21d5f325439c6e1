//! Discovery for Portolan over DNS.
//!
//! [`Dns`] is a [`Source`](portolan_core::Source) that needs no permission and no API server: it asks
//! the cluster's DNS for a Service, again and again as answers expire, and says what stands behind it.
//!
//! ```
//! use futures::StreamExt as _;
//! use portolan_core::{Resolution, ServiceRef, Source as _};
//! use portolan_dns::Dns;
//! use portolan_test::dns::DnsServer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A DNS server in this process; in a cluster this is `Dns::from_system()?`.
//! let server = DnsServer::start().await?;
//! let zone = server.zone();
//! zone.add_srv("_http._tcp.db.shop.svc.cluster.local", "db-0.db.shop.svc.cluster.local", 8080)?;
//! zone.add_address("db-0.db.shop.svc.cluster.local", "10.244.1.7".parse()?)?;
//! let dns = Dns::with_nameservers([server.address()])?;
//!
//! let service: ServiceRef = "db.shop:http".parse()?;
//! let mut resolutions = dns.watch(&service);
//! let Some(Resolution::Present(endpoints)) = resolutions.next().await else {
//!     panic!("the server was just told of it");
//! };
//! assert_eq!(endpoints[0].placement().as_str(), "db-0");
//! assert_eq!(endpoints[0].address(), "10.244.1.7:8080".parse()?);
//! # Ok(()) }
//! ```
//!
//! # What DNS can tell
//! | Service | port by name | port by number |
//! |---|---|---|
//! | headless, of a StatefulSet | each Pod, by its stable name (`db-0`) and ordinal | each Pod, by its address |
//! | headless, of other Pods | each Pod, by its address | each Pod, by its address |
//! | ClusterIP | the virtual IP | the virtual IP |
//! | ExternalName | nothing: write the number | the addresses of the external name |
//!
//! - **By name** asks for SRV records, which give the port on which the Pods listen; **by number**
//!   takes the number as it is, and of a headless Service that is the Pods' own. **Without a port**,
//!   the SRV records of the Service say which it is, where it has one only.
//! - Only Pods that are ready are in DNS. CoreDNS says of a headless Service without any that it
//!   does not exist (as the Kubernetes DNS specification 1.1.0 has it), and so does this source:
//!   [`Absent`](portolan_core::Resolution::Absent) rather than an empty set.
//! - DNS knows no UIDs, nodes, zones or hints.
//! - **How many Pods**: an answer is 64 KiB at most, whatever it travels by. That is 4,000 Pods by
//!   number and some 800 by name. One that does not fit is a failure, and never taken for a whole.
//!   Beyond that, use the Kubernetes API.
//! - **Dual stack**: DNS does not say which two addresses are the same Pod's, unless the Pod has a
//!   stable name. So without names one family counts, the preferred one if there is any of it.
//!
//! # What it asks
//! Only complete names, such as `_http._tcp.db.shop.svc.cluster.local.`: `search` and `ndots` of
//! `resolv.conf` cost no needless query. Queries go by UDP with an EDNS size of 1232 bytes, which
//! fits the least MTU of IPv6 (1280) without fragments (RFC 9715, DNS Flag Day 2020); where the
//! answer is longer than that it is asked for again by TCP.
//!
//! The way of the data, and of this crate's modules: `upstream` asks DNS servers, `reply` reads what
//! they say, `lookup` follows aliases, `resolve` puts together what is known of a Service (`targets`
//! reads its SRV records), `endpoints` makes endpoints of it, and `follow` does it again in time.

mod alias;
mod dns;
mod endpoints;
mod error;
mod follow;
mod lookup;
mod names;
mod options;
mod refusal;
mod reply;
mod resolve;
mod schedule;
mod suspicion;
mod system;
mod targets;
mod upstream;

#[cfg(test)]
mod fake;

pub use dns::Dns;
pub use error::Error;
pub use options::{DnsOptions, IpFamilies};
