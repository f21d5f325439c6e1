//! Any sequence of events, against a model that keeps nothing and computes everything anew.

use std::net::{IpAddr, SocketAddr};

use portolan_core::Placement;
use proptest::{collection::vec, prelude::*};

use super::*;

/// An entry in a test's words: which Pod (or none), which address, how it is.
#[derive(Clone, Debug)]
struct Entry {
    pod: Option<u8>,
    ip: u8,
    conditions: (Option<bool>, Option<bool>, Option<bool>),
    zone: Option<bool>,
}

#[derive(Clone, Debug)]
struct SliceModel {
    name: u8,
    v6: bool,
    ports: Vec<(bool, Option<u16>)>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
enum Event {
    Apply(SliceModel),
    Delete(u8),
    Relist(Vec<SliceModel>),
    Service(Option<bool>),
}

fn entry() -> impl Strategy<Value = Entry> {
    // Few Pods and few addresses, so that they meet in all ways: a Pod in two slices, with two
    // addresses, an address of two Pods, an address with and without a Pod.
    let conditions = (
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
    );
    (
        proptest::option::weighted(0.8, 0..6_u8),
        1..7_u8,
        conditions,
        any::<Option<bool>>(),
    )
        .prop_map(|(pod, ip, conditions, zone)| Entry {
            pod,
            ip,
            conditions,
            zone,
        })
}

fn slice_model() -> impl Strategy<Value = SliceModel> {
    let ports = vec(
        (
            any::<bool>(),
            prop_oneof![Just(None), (8080..8082_u16).prop_map(Some)],
        ),
        0..3,
    );
    (0..4_u8, any::<bool>(), ports, vec(entry(), 0..6)).prop_map(
        |(name, v6, mut ports, entries)| {
            ports.dedup_by_key(|(http, _)| *http);
            // A slice's family never changes.
            SliceModel {
                name,
                v6: v6 && name > 1,
                ports,
                entries,
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => slice_model().prop_map(Event::Apply),
        2 => (0..4_u8).prop_map(Event::Delete),
        1 => vec(slice_model(), 0..4).prop_map(Event::Relist),
        1 => any::<Option<bool>>().prop_map(Event::Service),
    ]
}

impl SliceModel {
    fn build(&self, version: u64) -> Slice {
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|(http, number)| (if *http { "http" } else { "other" }, *number))
            .collect();
        let endpoints = self.entries.iter().map(|entry| {
            let ip = if self.v6 {
                format!("fd00::{}", entry.ip)
            } else {
                format!("10.0.0.{}", entry.ip)
            };
            let endpoint = match entry.pod {
                Some(n) => pod(&format!("pod-{n}"), &ip),
                None => bare(&ip),
            };
            let endpoint = but(endpoint, entry.conditions);
            match entry.zone {
                Some(zone) => endpoint.with_zone(if zone { "a" } else { "b" }),
                None => endpoint,
            }
        });
        let mut slice = slice_with(&format!("slice-{}", self.name), &ports, endpoints.collect());
        slice.version = version;
        slice
    }
}

/// The endpoints of these slices, by the rules as they are written down, without regard to cost.
fn model(slices: &BTreeMap<Arc<str>, Slice>, v6_first: bool, families: IpFamilies) -> EndpointSet {
    let v6_first = match families {
        IpFamilies::AsService => v6_first,
        IpFamilies::PreferV6 | IpFamilies::V6Only => true,
        _ => false,
    };
    let only_first = matches!(families, IpFamilies::V4Only | IpFamilies::V6Only);
    // Every entry with its port, the most believed first.
    let mut entries: Vec<(&Endpoint, &Slice, SocketAddr)> = Vec::new();
    for slice in slices.values() {
        let Some(port) = slice.ports.iter().find(|port| &*port.name == "http") else {
            continue;
        };
        let port = port.number.unwrap_or(8080);
        entries.extend(slice.endpoints().iter().map(|endpoint| {
            let address = SocketAddr::new(endpoint.address().ip(), port);
            (&**endpoint, slice, address)
        }));
    }
    entries.retain(|(endpoint, ..)| !only_first || endpoint.address().is_ipv6() == v6_first);
    entries.sort_by_key(|(endpoint, slice, _)| {
        let conditions = endpoint.conditions();
        (
            !conditions.is_ready(),
            !conditions.is_serving(),
            conditions.is_terminating(),
            u64::MAX - slice.version,
            Arc::clone(&slice.name),
        )
    });
    // One address each: by Pod and IP, or by address where there is no Pod.
    let mut addresses: Vec<(&Endpoint, SocketAddr)> = Vec::new();
    for (endpoint, _, address) in entries {
        let same = |(known, at): &&(&Endpoint, SocketAddr)| match (known.uid(), endpoint.uid()) {
            (Some(a), Some(b)) => a == b && at.ip() == address.ip(),
            (None, None) => *at == address,
            _ => false,
        };
        if addresses.iter().find(same).is_none() {
            addresses.push((endpoint, address));
        }
    }
    // The n-th address of each family belong together, for each Pod.
    let mut endpoints = Vec::new();
    let mut uids: Vec<_> = addresses
        .iter()
        .filter_map(|(endpoint, _)| endpoint.uid())
        .collect();
    uids.sort();
    uids.dedup();
    for uid in uids {
        let of = |six: bool| {
            let of_uid = addresses
                .iter()
                .filter(|(endpoint, _)| endpoint.uid() == Some(uid));
            let mut of: Vec<_> = of_uid
                .filter(|(endpoint, _)| endpoint.address().is_ipv6() == six)
                .copied()
                .collect();
            of.sort_by_key(|(_, address)| *address);
            of
        };
        let (first, second) = (of(v6_first), of(!v6_first));
        for n in 0..first.len().max(second.len()) {
            endpoints.push(match (first.get(n), second.get(n)) {
                (Some(primary), Some((_, alternate))) => {
                    endpoint(primary).with_alternate(*alternate)
                }
                (Some(primary), None) | (None, Some(primary)) => endpoint(primary),
                (None, None) => unreachable!(),
            });
        }
    }
    endpoints.extend(
        addresses
            .iter()
            .filter(|(endpoint, _)| endpoint.uid().is_none())
            .map(endpoint),
    );
    endpoints.into_iter().collect()
}

fn endpoint((entry, address): &(&Endpoint, SocketAddr)) -> Endpoint {
    let placement = entry.pod().map_or_else(|| address.to_string(), Into::into);
    let mut endpoint =
        Endpoint::new(Placement::new(placement), *address).with_conditions(entry.conditions());
    if let (Some(pod), Some(uid)) = (entry.pod(), entry.uid()) {
        endpoint = endpoint.with_pod(pod).with_uid(uid.clone());
    }
    match entry.zone() {
        Some(zone) => endpoint.with_zone(zone),
        None => endpoint,
    }
}

/// A copy of a slice, so that the machine and the model share nothing.
fn copy(slice: &Slice) -> Slice {
    let endpoints = slice.endpoints().iter();
    let endpoints = endpoints.map(|one| Arc::new(Endpoint::clone(one)));
    let (name, ports) = (slice.name.to_string(), slice.ports.clone());
    Slice::new(name.into(), slice.version, ports, endpoints.collect())
}

fn families() -> impl Strategy<Value = IpFamilies> {
    use IpFamilies::{AsService, PreferV4, PreferV6, V4Only, V6Only};
    prop_oneof![
        Just(AsService),
        Just(PreferV4),
        Just(PreferV6),
        Just(V4Only),
        Just(V6Only)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_events_lead_to_what_the_world_is(families in families(), events in vec(event(), 1..30)) {
        let mut machine = Machine::new().with_families(families);
        let mut slices: BTreeMap<Arc<str>, Slice> = BTreeMap::new();
        let mut there = true;
        let mut v6_first = false;
        let mut last = machine.set();
        for (version, event) in (1..).zip(events) {
            match event {
                Event::Apply(slice) => {
                    let slice = slice.build(version);
                    slices.insert(Arc::clone(&slice.name), copy(&slice));
                    machine.apply(slice);
                }
                Event::Delete(name) => {
                    let name = format!("slice-{name}");
                    slices.remove(name.as_str());
                    machine.delete(&name);
                }
                Event::Relist(listed) => {
                    // The versions of a list are those of its slices, in no order.
                    let listed: BTreeMap<_, _> = listed.into_iter().rev().zip(0..).map(|(slice, back)| {
                        let slice = slice.build(version.saturating_sub(back));
                        (Arc::clone(&slice.name), slice)
                    }).collect();
                    slices = listed.iter().map(|(name, slice)| (Arc::clone(name), copy(slice))).collect();
                    machine.relist(listed.into_values().collect());
                }
                Event::Service(None) => {
                    there = false;
                    machine.serve(ServiceState::Absent);
                }
                Event::Service(Some(six)) => {
                    (there, v6_first) = (true, six);
                    let family = Some(if six { Family::V6 } else { Family::V4 });
                    let service = Service { family, ..service(&[port("http", 80, 8080)]) };
                    machine.serve(ServiceState::Known(Arc::new(service)));
                }
            }
            if !there {
                prop_assert!(matches!(machine.last, Some(Resolution::Absent)));
                last = EndpointSet::default();
                continue;
            }
            let set = machine.set();
            let expected = model(&slices, v6_first, families);
            prop_assert_eq!(set.as_slice(), expected.as_slice());
            for endpoint in set.iter() {
                if let Some(known) = last.iter().find(|known| known == &endpoint) {
                    prop_assert!(Arc::ptr_eq(known, endpoint), "an unchanged endpoint is the same object");
                }
            }
            last = set;
        }
    }
}

/// That the model is no copy of the machine's mistakes: one case by hand.
#[test]
fn the_model_itself() {
    let four = slice("four", vec![pod("p", "10.0.0.1"), bare("10.0.0.9")]);
    let six = slice("six", vec![pod("p", "fd00::1")]);
    let slices: BTreeMap<_, _> = [four, six]
        .map(|slice| (Arc::clone(&slice.name), slice))
        .into();
    let set = model(&slices, true, IpFamilies::AsService);
    assert_eq!(
        set.iter()
            .map(|endpoint| shown(endpoint))
            .collect::<Vec<_>>(),
        ["10.0.0.9:8080@10.0.0.9:8080", "p@[fd00::1]:8080"]
    );
    assert_eq!(
        set[1].alternate().map(|address| address.ip()),
        Some(IpAddr::from([10, 0, 0, 1]))
    );
}
