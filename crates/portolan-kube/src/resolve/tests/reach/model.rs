//! Whatever happened before, a view comes to what one that has just come makes of the same world.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Change(Service),
    Delete,
    Hide,
    Slice(u8, Vec<u8>),
    Nodes(Vec<(u8, bool)>),
    Answer(u8, Vec<u8>),
}

const HOSTS: [&str; 2] = ["one.example.com", "two.example.com"];

fn services() -> impl Strategy<Value = Service> {
    let places = prop::collection::vec(
        prop::sample::select(vec!["192.0.2.1", "192.0.2.2", HOSTS[0], HOSTS[1]]),
        0..3,
    );
    let kind = prop_oneof![
        Just(ServiceKind::ClusterIp),
        Just(ServiceKind::Headless),
        Just(ServiceKind::NodePort),
        places.prop_map(|places| load_balancer(&places).kind),
        prop::sample::select(vec![HOSTS[0], HOSTS[1], "10.0.0.1", ""])
            .prop_map(|name| alias(name).kind),
        Just(ServiceKind::Unknown("Quantum".into())),
    ];
    (kind, any::<[bool; 4]>()).prop_map(|(kind, [v6, local, stays, renamed])| Service {
        family: Some(if v6 { Family::V6 } else { Family::V4 }),
        internal_traffic: if local {
            InternalTraffic::Local
        } else {
            InternalTraffic::Cluster
        },
        external_traffic_stays: stays,
        ports: [ServicePort {
            node_port: Some(30080),
            ..port(if renamed { "web" } else { "http" }, 80, 8080)
        }]
        .into(),
        ..of_kind(kind)
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => services().prop_map(Event::Change),
        1 => Just(Event::Delete),
        1 => Just(Event::Hide),
        3 => (0u8..2, prop::collection::vec(1u8..5, 0..4)).prop_map(|(slice, pods)| Event::Slice(slice, pods)),
        2 => prop::collection::btree_map(0u8..3, any::<bool>(), 0..4)
            .prop_map(|nodes| Event::Nodes(nodes.into_iter().collect())),
        2 => (0u8..2, prop::collection::vec(1u8..4, 0..3)).prop_map(|(host, ips)| Event::Answer(host, ips)),
    ];
    prop::collection::vec(event, 1..24)
}

fn wants() -> impl Strategy<Value = Want> {
    let reaches = [
        Reach::Pods,
        Reach::VirtualIp,
        Reach::Nodes,
        Reach::LoadBalancer,
        Reach::ExternalName,
    ];
    let reach = prop::option::of(prop::sample::select(reaches.to_vec()));
    let families = prop::sample::select(vec![
        IpFamilies::AsService,
        IpFamilies::PreferV6,
        IpFamilies::V4Only,
    ]);
    (reach, any::<bool>(), families).prop_map(|(reach, outside, families)| Want {
        port: Some(wanted_port("http")),
        reach,
        vantage: if outside {
            Vantage::Outside
        } else {
            Vantage::Inside
        },
        families,
        ..Want::default()
    })
}

impl Machine {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Change(service) => self.change(service),
            Event::Delete => self.serve(ServiceState::Absent),
            Event::Hide => {
                let reason = SourceError::new(SourceErrorKind::Forbidden, "may not list services");
                self.serve(ServiceState::Hidden(reason));
            }
            Event::Slice(number, pods) => {
                let pods = pods.iter().map(|pod| {
                    super::pod(&format!("db-{pod}"), &format!("10.0.0.{pod}"))
                        .with_node(format!("n{}", pod % 3))
                });
                self.apply(slice(&format!("slice-{number}"), pods.collect()));
            }
            Event::Nodes(nodes) => {
                let node = |(number, fit): (u8, bool)| Node {
                    name: format!("n{number}").into(),
                    uid: format!("u{number}").into(),
                    internal: [format!("10.1.0.{}", number + 1).parse().unwrap()].into(),
                    external: Box::default(),
                    zone: None,
                    fit,
                };
                self.list_nodes(&nodes.into_iter().map(node).collect::<Vec<_>>());
            }
            Event::Answer(which, ips) => {
                let ips: Vec<String> = ips.iter().map(|ip| format!("192.0.2.{ip}:80")).collect();
                let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
                self.answer(host(HOSTS[usize::from(which)], 80), addresses(&ips));
            }
        }
    }
}

fn told(resolution: Option<Resolution>) -> String {
    match resolution {
        Some(Resolution::Present(set)) => {
            let endpoints: Vec<_> = set.iter().map(|one| format!("{one:?}")).collect();
            format!(
                "{:?} {:?} {endpoints:?}",
                set.reach(),
                set.internal_traffic()
            )
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_past_does_not_matter(want in wants(), events in events()) {
        let mut machine = Machine::seeing(of_kind(ServiceKind::ClusterIp), want.clone());
        for event in events {
            machine.happen(event);
            let mut fresh = View::new(want.clone());
            let expected = fresh.resolve(&machine.world, &[]);
            let found = machine.view.resolve(&machine.world, &[]);
            prop_assert_eq!(machine.view.needs(), fresh.needs());
            // But for a load balancer that had addresses, and has none any more.
            let pending = matches!(&expected, Some(Resolution::Failed(error)) if error.kind() == SourceErrorKind::Pending);
            let lost = matches!(&found, Some(Resolution::Present(set)) if set.is_empty());
            if !(pending && lost) {
                prop_assert_eq!(told(found), told(expected));
            }
        }
    }
}
