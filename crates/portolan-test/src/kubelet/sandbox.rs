//! A Pod's sandbox: its address, its ports, and the containers in it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::json;
use crate::pod::{
    Connections, PodContext, PodFaults, PodHandle, PodIdentity, PodListener, Port, Wires,
};
use crate::programs::Program;

use super::Shared;
use super::network::PodAddress;

/// The annotation that asks for an address.
const IP: &str = "portolan.test/ip";

/// What outlives a restart of the containers.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) identity: Arc<PodIdentity>,
    pub(super) handle: PodHandle,
    containers: Vec<Container>,
    open: watch::Sender<Vec<Arc<Port>>>,
    shared: Arc<Shared>,
    address: PodAddress,
}

/// A container as the Pod's spec describes it.
#[derive(Debug)]
struct Container {
    image: String,
    program: Arc<dyn Program>,
    /// Number and name.
    ports: Vec<(u16, String)>,
}

/// Running containers. Dropping it stops them without a word.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tasks: JoinSet<()>,
    /// Which containers say that they are ready.
    pub(super) ready: watch::Receiver<Vec<bool>>,
    pub(super) terminating: watch::Sender<bool>,
}

/// Why a sandbox cannot be made.
#[derive(Debug)]
pub(super) enum Failure {
    /// No program is registered under this image.
    Image(String),
    /// No address, or no port.
    Network(Error),
}

impl Sandbox {
    /// Makes the sandbox and opens its ports.
    pub(super) fn new(shared: &Arc<Shared>, pod: &Value) -> Result<Self, Failure> {
        let containers = json::items(pod, "/spec/containers").iter();
        let containers = containers
            .map(|container| {
                let image = json::text(container, "/image").to_owned();
                let program = shared.images.find(&image);
                let program = program.ok_or_else(|| Failure::Image(image.clone()))?;
                let ports = json::items(container, "/ports").iter();
                let ports = ports.filter_map(|port| {
                    let number = json::integer(port, "/containerPort")?;
                    let name = json::text(port, "/name").to_owned();
                    Some((u16::try_from(number).ok()?, name))
                });
                Ok(Container {
                    image,
                    program,
                    ports: ports.collect(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;

        let numbers: Vec<u16> = containers
            .iter()
            .flat_map(|container| container.ports.iter().map(|(number, _)| *number))
            .collect();
        let wanted: Option<Ipv4Addr> = json::annotation(pod, IP).and_then(|ip| ip.parse().ok());
        let (address, ports) = shared
            .network
            .allocate(&numbers, wanted)
            .map_err(Failure::Network)?;

        let zone = shared
            .nodes
            .zone(json::text(pod, "/spec/nodeName"))
            .to_owned();
        let identity = Arc::new(PodIdentity::new(pod, address.ip(), zone));
        let addresses = ports.iter().map(Port::address).collect();
        let (open, follow) = watch::channel(ports.into_iter().map(Arc::new).collect());
        let handle = PodHandle {
            identity: Arc::clone(&identity),
            ports: follow,
            addresses,
            connections: Arc::new(Connections::default()),
            faults: Arc::new(PodFaults::default()),
            kills: watch::Sender::new(0),
            probe: watch::Sender::new(true),
        };
        shared.publish(handle.clone());
        Ok(Self {
            identity,
            handle,
            containers,
            open,
            shared: Arc::clone(shared),
            address,
        })
    }

    /// Starts the containers; opens the ports again if this is a restart.
    pub(super) fn start(&self, restarts: u32) -> Result<Running, Error> {
        if restarts > 0 {
            self.reopen()?;
        }
        let (terminating, sigterm) = watch::channel(false);
        let (ready, follow) = watch::channel(vec![false; self.containers.len()]);
        let mut tasks = JoinSet::new();
        let mut ports = self.open.borrow().clone().into_iter();
        for (index, container) in self.containers.iter().enumerate() {
            let listeners = container.ports.iter().zip(ports.by_ref());
            let listeners = listeners.map(|((_, name), port)| {
                PodListener::new(
                    port,
                    name.clone(),
                    Arc::clone(&self.handle.connections),
                    Arc::clone(&self.handle.faults),
                )
            });
            let wires = Wires {
                ready: ready.clone(),
                container: index,
                terminating: sigterm.clone(),
            };
            let context = PodContext::new(
                Arc::clone(&self.identity),
                &container.image,
                restarts,
                wires,
                Arc::clone(&self.handle.faults),
            );
            tasks.spawn(container.program.serve(context, listeners.collect()));
        }
        Ok(Running {
            tasks,
            ready: follow,
            terminating,
        })
    }

    /// The Pod's addresses, the first one first.
    pub(super) fn ips(&self) -> Vec<String> {
        let ips = [Some(self.address.ip()), self.address.other_ip()];
        ips.iter().flatten().map(IpAddr::to_string).collect()
    }

    fn reopen(&self) -> Result<(), Error> {
        let ports = self.handle.addresses.iter().map(|address: &SocketAddr| {
            self.address
                .open(address.port())
                .map(Arc::new)
                .map_err(|source| Error::Listen {
                    address: *address,
                    source,
                })
        });
        let ports = ports.collect::<Result<Vec<_>, _>>()?;
        self.open.send_replace(ports);
        Ok(())
    }

    /// Closes all ports and connections, as the end of the processes does.
    pub(super) fn stop(&self) {
        for port in self.open.borrow().iter() {
            port.close();
        }
        self.handle.connections.reset_all();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop();
        self.shared.withdraw(&self.handle);
    }
}
