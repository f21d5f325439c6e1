//! The state machine: from slices and the Service to the endpoints of one port.
//!
//! No I/O, no clock. A [`World`] is all that is known of a Service; a [`View`] is what one balancer
//! wants of it (a port, a preference of IP families) and the endpoints that this comes to. When the
//! world changes, a view recomputes only the endpoints that the change touches: among 10,000
//! endpoints, one Pod that becomes ready must not cost a sort of 10,000.
//!
//! What holds, whatever the order of events:
//! - the set is a function of the world alone: the same slices and Service give the same endpoints;
//! - an endpoint that stands in several slices is one endpoint, and it goes when the last of them
//!   lets go of it;
//! - an endpoint that did not change is the same `Arc` as before.

mod family;
mod merge;
mod port;
mod splice;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use portolan_core::{Endpoint, EndpointSet, PortRef, Resolution, SourceError, SourceErrorKind};

use self::{merge::Member, port::PortPlan, splice::Changes};
use crate::{
    cluster::IpFamilies,
    service::{Family, Service, ServiceKind},
    slice::Slice,
};

/// Everything that is known of a Service.
#[derive(Debug)]
pub(crate) struct World {
    /// How the Service is called in messages: `orders.shop`.
    pub(crate) name: String,
    pub(crate) service: ServiceState,
    /// The slices, by name; nothing until they were listed.
    pub(crate) slices: Option<BTreeMap<Arc<str>, Arc<Slice>>>,
}

/// What is known of the Service object.
#[derive(Clone, Debug)]
pub(crate) enum ServiceState {
    /// Not asked yet, or no answer yet.
    Unknown,
    /// There is none.
    Absent,
    /// There it is.
    Known(Arc<Service>),
    /// It may not be read, for this reason. The slices may be enough.
    Hidden(SourceError),
}

/// A slice as it was and as it is.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) before: Option<Arc<Slice>>,
    pub(crate) after: Option<Arc<Slice>>,
}

/// The endpoints behind one port of a Service.
#[derive(Debug)]
pub(crate) struct View {
    port: Option<PortRef>,
    families: IpFamilies,
    /// How the set was made; nothing where it must be made from scratch.
    made: Option<Made>,
    set: EndpointSet,
}

/// What a set depends on besides the slices.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    plan: PortPlan,
    families: FamilyOrder,
}

/// Which IP families are used, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyOrder {
    pub(crate) first: Family,
    pub(crate) second: Option<Family>,
}

impl World {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            service: ServiceState::Unknown,
            slices: None,
        }
    }

    fn all_slices(&self) -> impl Iterator<Item = &Slice> + Clone {
        self.slices
            .iter()
            .flat_map(BTreeMap::values)
            .map(|slice| &**slice)
    }
}

impl View {
    pub(crate) fn new(port: Option<PortRef>, families: IpFamilies) -> Self {
        Self {
            port,
            families,
            made: None,
            set: EndpointSet::default(),
        }
    }

    /// Whether it is what this balancer wants.
    pub(crate) fn is(&self, port: Option<&PortRef>, families: IpFamilies) -> bool {
        self.port.as_ref() == port && self.families == families
    }

    pub(crate) fn families(&self) -> IpFamilies {
        self.families
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
            ServiceState::Known(service) => match &service.kind {
                ServiceKind::Unhandled(kind) => {
                    self.made = None;
                    return Some(Resolution::Failed(unhandled(&world.name, kind)));
                }
                ServiceKind::Virtual | ServiceKind::Headless => Ok(&**service),
            },
            ServiceState::Hidden(reason) => Err(reason),
        };
        world.slices.as_ref()?;
        let plan = match port::plan(&world.name, self.port.as_ref(), service, world.all_slices()) {
            Ok(plan) => plan,
            Err(error) => {
                // The last good set stays where it was published; here it only stays to be reused.
                self.made = None;
                return Some(Resolution::Failed(error));
            }
        };
        let families = self
            .families
            .order(service.ok().and_then(|service| service.family));
        self.update(world, Made { plan, families }, touched);
        Some(Resolution::Present(self.set.clone()))
    }

    fn forget(&mut self) {
        self.made = None;
        self.set = EndpointSet::default();
    }

    fn update(&mut self, world: &World, made: Made, touched: &[Touched]) {
        let (set, changes) = if self.made.as_ref() == Some(&made) {
            match self.patch(world, &made, touched) {
                Some(patched) => patched,
                None => return,
            }
        } else {
            self.rebuild(world, &made)
        };
        self.made = Some(made);
        self.set = set;
        changes.log(&world.name, self.port.as_ref(), self.set.len());
    }

    /// Makes the set from scratch, with the endpoints of the old one where they are equal.
    fn rebuild(&self, world: &World, made: &Made) -> (EndpointSet, Changes) {
        let mut buckets: Buckets<Vec<Member<'_>>> = Buckets::default();
        for slice in world.all_slices() {
            for member in made.members(slice) {
                buckets
                    .entry(member.endpoint.bucket)
                    .or_default()
                    .push(member);
            }
        }
        let mut endpoints: Vec<Endpoint> = Vec::with_capacity(buckets.len());
        for members in buckets.into_values() {
            merge::merge(members, made.families, &mut endpoints);
        }
        splice::replace(&self.set, endpoints)
    }

    /// Changes the set where the touched slices have something to say, or leaves it.
    fn patch(
        &self,
        world: &World,
        made: &Made,
        touched: &[Touched],
    ) -> Option<(EndpointSet, Changes)> {
        // Each endpoint that stands in a touched slice, as it was and as it is: with its entries in
        // all other slices, since which entry is believed depends on them all.
        let mut buckets: Buckets<BeforeAndAfter<'_>> = Buckets::default();
        for Touched { before, after } in touched {
            for member in before.iter().flat_map(|slice| made.members(slice)) {
                buckets
                    .entry(member.endpoint.bucket)
                    .or_default()
                    .before
                    .push(member);
            }
            for member in after.iter().flat_map(|slice| made.members(slice)) {
                buckets
                    .entry(member.endpoint.bucket)
                    .or_default()
                    .after
                    .push(member);
            }
        }
        if buckets.is_empty() {
            return None;
        }
        let was_touched = |slice: &Slice| {
            let mut after = touched
                .iter()
                .filter_map(|touched| touched.after.as_deref());
            after.any(|after| std::ptr::eq(after, slice))
        };
        for slice in world.all_slices().filter(|slice| !was_touched(slice)) {
            for member in made.members(slice) {
                if let Some(endpoint) = buckets.get_mut(&member.endpoint.bucket) {
                    endpoint.before.push(member);
                    endpoint.after.push(member);
                }
            }
        }
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for BeforeAndAfter { before, after } in buckets.into_values() {
            merge::merge(before, made.families, &mut old);
            merge::merge(after, made.families, &mut new);
        }
        splice::splice(&self.set, &mut old, new)
    }
}

/// By [`SliceEndpoint::bucket`](crate::slice::SliceEndpoint), which is a hash already.
type Buckets<T> = HashMap<u64, T, BuildHasherDefault<AlreadyHashed>>;

#[derive(Default)]
struct BeforeAndAfter<'a> {
    before: Vec<Member<'a>>,
    after: Vec<Member<'a>>,
}

#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Made {
    /// The entries of a slice that have the port, of the families in use.
    fn members<'a>(&self, slice: &'a Slice) -> impl Iterator<Item = Member<'a>> {
        let families = self.families;
        let port = self.plan.in_slice(slice);
        let with_port = move |endpoint| {
            Some(Member {
                endpoint,
                slice,
                port: port?,
            })
        };
        let members = slice.endpoints.iter().filter_map(with_port);
        members.filter(move |member| families.rank(member.family()).is_some())
    }
}

impl FamilyOrder {
    /// 0 for the preferred family, 1 for the other where it is used.
    pub(crate) fn rank(self, family: Family) -> Option<usize> {
        if family == self.first {
            Some(0)
        } else {
            (self.second == Some(family)).then_some(1)
        }
    }
}

fn unhandled(service: &str, kind: &str) -> SourceError {
    let message = match kind {
        "ExternalName" => format!(
            "Service `{service}` is of type ExternalName: it is a DNS alias and has no endpoints; \
             name the Service or host that it points to"
        ),
        _ => format!(
            "Service `{service}` is of type `{}`, which is not handled; expected ClusterIP (headless \
             or not), NodePort or LoadBalancer",
            kind.escape_debug()
        ),
    };
    SourceError::new(SourceErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
