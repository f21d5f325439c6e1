//! The state machine: from what is known of a Service to the endpoints of one port.
//!
//! No I/O, no clock. A [`World`] is all that is known of a Service; a [`View`] is what one balancer
//! wants of it (a port, a reach, a preference of IP families) and the endpoints that this comes to. A view
//! also says what it [needs](Needs) to be known, and whoever drives it finds that out.
//!
//! What holds, whatever the order of events:
//! - the set is a function of the world alone: the same slices and Service give the same endpoints;
//! - an endpoint that stands in several slices is one endpoint, and it goes when the last of them
//!   lets go of it;
//! - an endpoint that did not change is the same `Arc` as before.
//!
//! - [`want`]: what a balancer wants, and which reach that is.
//! - [`pods`], with [`merge`] and [`splice`]: the Pods. Among 10,000 of them, one that becomes ready must not
//!   cost a sort of 10,000, so only what a change touches is made again.
//! - [`virtual_ip`], [`nodes`], [`load_balancer`], [`external_name`]: the other reaches, which are a handful
//!   of addresses and are made from scratch.
//! - [`port`]: which port of which slice is meant.

mod external_name;
mod family;
mod load_balancer;
mod merge;
mod nodes;
mod pods;
mod port;
mod splice;
mod virtual_ip;
mod want;
mod world;

use std::sync::Arc;

use portolan_core::{
    Endpoint, EndpointSet, InternalTraffic, PortRef, Reach, Resolution, SourceError,
    SourceErrorKind,
};

use self::pods::Made;
pub(crate) use self::{
    want::{FamilyOrder, Want},
    world::{Followed, Host, Needs, Nodes, ServiceState, Touched, World},
};
use crate::{cluster::IpFamilies, service::Service, slice::SlicePort};

/// The endpoints behind one port of a Service, reached in one way.
#[derive(Debug)]
pub(crate) struct View {
    want: Want,
    needs: Needs,
    /// How the set of Pods was made; nothing where it must be made from scratch.
    made: Option<Made>,
    /// The UID of the Service whose load balancer had addresses already, so that none means that it lost them.
    had_ingress: Option<Arc<str>>,
    set: EndpointSet,
}

/// What a reach comes to: its endpoints, or nothing as long as not enough is known.
type Found = Result<Option<Vec<Endpoint>>, SourceError>;

impl View {
    pub(crate) fn new(want: Want) -> Self {
        Self {
            needs: want.needs_at_first(),
            want,
            made: None,
            had_ingress: None,
            set: EndpointSet::default(),
        }
    }

    /// Whether it is what this balancer wants.
    pub(crate) fn is(&self, want: &Want) -> bool {
        self.want == *want
    }

    /// What has to be known for it besides the Service, since it was last resolved.
    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    pub(crate) fn families(&self) -> IpFamilies {
        self.want.families
    }

    /// Which of these ports of a slice this view is likely to want, as far as that can be told before
    /// the slice is part of the world.
    pub(crate) fn likely_port(&self, world: &World, ports: &[SlicePort]) -> Option<u16> {
        let wanted = self.want.port.as_ref();
        if let ServiceState::Known(service) = &world.service
            && let Ok(plan) = port::plan(&world.name, wanted, Ok(service), world.all_slices())
        {
            return plan.in_ports(ports);
        }
        let port = match wanted {
            Some(PortRef::Name(name)) => ports.iter().find(|port| port.name == *name),
            // Most have only one.
            _ => ports.first(),
        };
        port?.number
    }

    /// The endpoint of the set that equals this one.
    pub(crate) fn known(&self, endpoint: &Endpoint) -> Option<Arc<Endpoint>> {
        let known = self.set.get(splice::find(&self.set, endpoint).ok()?)?;
        (**known == *endpoint).then(|| Arc::clone(known))
    }

    /// What the world means to this view, after these slices were touched. Nothing, as long as not
    /// enough is known.
    pub(crate) fn resolve(&mut self, world: &World, touched: &[Touched]) -> Option<Resolution> {
        let service = match &world.service {
            ServiceState::Unknown => return None,
            ServiceState::Absent => {
                self.forget();
                return Some(Resolution::Absent);
            }
            ServiceState::Known(service) => Ok(&**service),
            ServiceState::Hidden(reason) => Err(reason),
        };
        let resolved = self.resolve_service(world, service, touched);
        if !matches!(resolved, Ok(Some(Reach::Pods))) {
            self.made = None;
        }
        match resolved {
            Ok(None) => None,
            // The last good set stays where it was published; here it only stays to be reused.
            Err(error) => Some(Resolution::Failed(error)),
            Ok(Some(reach)) => {
                let internal_traffic = match (reach, service) {
                    (Reach::Pods, Ok(service)) => service.internal_traffic,
                    // The policy is about the Pods, and whoever else is reached minds it by itself.
                    _ => InternalTraffic::Cluster,
                };
                let affinity = service.map(|service| service.session_affinity);
                let set = std::mem::take(&mut self.set);
                if set.reach() != reach {
                    let (service, before) = (&world.name, set.reach());
                    tracing::info!(service, ?before, now = ?reach, "the Service is reached in another way");
                }
                self.set = set
                    .with_reach(reach)
                    .with_internal_traffic(internal_traffic)
                    .with_session_affinity(affinity.unwrap_or_default());
                Some(Resolution::Present(self.set.clone()))
            }
        }
    }

    /// Why something that it needs is not heard of at present. What is known of it still holds.
    pub(crate) fn failure<'a>(&self, world: &'a World) -> Option<&'a SourceError> {
        let nodes = self.needs.nodes.then_some(&world.nodes.failure);
        let hosts = self.needs.hosts.iter();
        let hosts = hosts.filter_map(|host| Some(&world.hosts.get(host)?.failure));
        nodes.into_iter().chain(hosts).find_map(Option::as_ref)
    }

    /// Brings the set up to date, and says what its addresses are.
    fn resolve_service(
        &mut self,
        world: &World,
        service: Result<&Service, &SourceError>,
        touched: &[Touched],
    ) -> Result<Option<Reach>, SourceError> {
        self.needs = Needs::default();
        let reach = match service {
            Ok(service) => self.want.reach(&world.name, &service.kind)?,
            // The slices may be enough.
            Err(_) => self.want.reach.unwrap_or_default(),
        };
        if reach != Reach::LoadBalancer {
            self.had_ingress = None;
        }
        if reach == Reach::Pods {
            self.needs.slices = true;
            return self.resolve_pods(world, service, touched);
        }
        let service = service.map_err(Clone::clone)?;
        let of = Of {
            world,
            service,
            want: &self.want,
        };
        let found = match reach {
            Reach::VirtualIp => virtual_ip::find(of).map(Some),
            Reach::Nodes => nodes::find(of, &mut self.needs),
            Reach::LoadBalancer => load_balancer::find(of, &mut self.needs, &mut self.had_ingress),
            Reach::ExternalName => external_name::find(of, &mut self.needs),
            _ => Err(invalid(format!(
                "Service `{}` was asked for by {reach:?}, which is not known here",
                world.name
            ))),
        };
        let Some(endpoints) = found? else {
            return Ok(None);
        };
        let (set, changes) =
            splice::replace(&self.set, endpoints.into_iter().map(Arc::new).collect());
        if !changes.is_none() {
            self.set = set;
        }
        changes.log(&world.name, self.want.port.as_ref(), self.set.len());
        Ok(Some(reach))
    }

    fn resolve_pods(
        &mut self,
        world: &World,
        service: Result<&Service, &SourceError>,
        touched: &[Touched],
    ) -> Result<Option<Reach>, SourceError> {
        if world.slices.is_none() {
            return Ok(None);
        }
        let port = self.want.port.as_ref();
        let plan = port::plan(&world.name, port, service, world.all_slices())?;
        let family = service.ok().and_then(|service| service.family);
        let families = self.want.families.order(family);
        let made = Made { plan, families };
        let (set, changes) = if self.made.as_ref() == Some(&made) {
            match made.patch(&self.set, world, touched) {
                Some(patched) => patched,
                None => return Ok(Some(Reach::Pods)),
            }
        } else {
            made.rebuild(&self.set, world)
        };
        self.made = Some(made);
        self.set = set;
        changes.log(&world.name, port, self.set.len());
        Ok(Some(Reach::Pods))
    }

    fn forget(&mut self) {
        self.needs = self.want.needs_at_first();
        self.made = None;
        self.had_ingress = None;
        self.set = EndpointSet::default();
    }
}

/// Whose endpoints are looked for, and what is known.
#[derive(Clone, Copy)]
struct Of<'a> {
    world: &'a World,
    service: &'a Service,
    want: &'a Want,
}

fn invalid(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
