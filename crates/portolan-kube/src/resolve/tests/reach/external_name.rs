//! Services that are another name in DNS.

use super::*;

fn wanting(port: Option<&str>) -> Want {
    Want {
        port: port.map(wanted_port),
        ..Want::default()
    }
}

fn without_ports(name: &str) -> Service {
    Service {
        ports: Box::default(),
        ..alias(name)
    }
}

#[test]
fn are_asked_of_dns_with_the_port_that_is_asked_for() {
    let mut machine = Machine::seeing(without_ports("DB.example.com."), wanting(Some("5432")));
    assert!(machine.is_silent());
    let db = host("db.example.com", 5432);
    assert_eq!(
        *machine.needs(),
        Needs {
            hosts: [db.clone()].into(),
            ..Needs::default()
        }
    );
    machine.answer(db.clone(), addresses(&["192.0.2.1:5432", "192.0.2.2:5432"]));
    let set = machine.set();
    assert_eq!(set.len(), 2);
    assert!(set.iter().all(|one| one.host() == Some("db.example.com")));
    assert_eq!(machine.reach(), Reach::ExternalName);
    // What DNS says again is no change, and what it adds leaves the rest alone.
    machine.answer(db.clone(), addresses(&["192.0.2.1:5432", "192.0.2.2:5432"]));
    assert!(machine.set().is_same(&set));
    machine.answer(db.clone(), addresses(&["192.0.2.2:5432", "192.0.2.3:5432"]));
    assert!(Arc::ptr_eq(&machine.set()[0], &set[1]));
    machine.answer(db, EndpointSet::default());
    assert!(machine.set().is_empty());
}

#[test]
fn may_list_ports_by_name() {
    let machine = Machine::seeing(alias("db.example.com"), wanting(Some("http")));
    assert!(machine.needs().hosts.contains(&host("db.example.com", 80)));
    let machine = Machine::seeing(alias("db.example.com"), wanting(None));
    assert!(
        machine.needs().hosts.contains(&host("db.example.com", 80)),
        "it is the only one"
    );
    let machine = Machine::seeing(alias("db.example.com"), wanting(Some("443")));
    assert!(
        machine.needs().hosts.contains(&host("db.example.com", 443)),
        "a number needs no list"
    );
}

#[test]
fn need_a_number_otherwise() {
    Machine::seeing(without_ports("db.example.com"), wanting(Some("http")))
        .refuses("is of type ExternalName and lists no port `http`; write the number that is meant, such as `orders.shop:443`");
    Machine::seeing(without_ports("db.example.com"), wanting(None)).refuses("lists no ports");
    let two = Service {
        ports: [port("a", 1, 1), port("b", 2, 2)].into(),
        ..alias("db.example.com")
    };
    Machine::seeing(two, wanting(None)).refuses("lists several ports");
}

#[test]
fn that_are_no_names_say_so() {
    let refused = |name: &str| Machine::seeing(alias(name), wanting(Some("80")));
    refused("").refuses("its `spec.externalName` is empty");
    refused("10.0.0.1").refuses(
        "is an alias of `10.0.0.1`, which is no DNS name; for an IP address, make a headless",
    );
    refused("fd00::1").refuses("which is no DNS name");
    refused("https://db.example.com").refuses("which is no DNS name");
    refused("db\nexample").refuses("an alias of `db\\nexample`");
}

#[test]
fn are_reached_in_no_other_way() {
    for reach in [
        Reach::Pods,
        Reach::VirtualIp,
        Reach::Nodes,
        Reach::LoadBalancer,
    ] {
        let machine = Machine::seeing(alias("db.example.com"), reached_by(reach));
        machine.refuses(&format!("it cannot be reached by {reach:?}"));
    }
    let machine = Machine::seeing(
        of_kind(ServiceKind::Headless),
        reached_by(Reach::ExternalName),
    );
    machine.refuses("is of type ClusterIP and no alias");
}

#[test]
fn families_are_chosen_among_what_dns_says() {
    let want = Want {
        families: IpFamilies::V4Only,
        ..wanting(Some("80"))
    };
    let mut machine = Machine::seeing(alias("db.example.com"), want);
    machine.answer(
        host("db.example.com", 80),
        addresses(&["[fd00::1]:80", "192.0.2.1:80"]),
    );
    assert_eq!(machine.endpoints(), ["192.0.2.1:80@192.0.2.1:80"]);
    assert_eq!(machine.set()[0].host(), Some("db.example.com"));
}

#[test]
fn a_failure_of_dns_is_told_and_takes_nothing_away() {
    let mut machine = Machine::seeing(alias("db.example.com"), wanting(Some("80")));
    let db = host("db.example.com", 80);
    machine.answer(db.clone(), addresses(&["192.0.2.1:80"]));
    let set = machine.set();
    let failure = SourceError::new(SourceErrorKind::Unavailable, "no answer");
    machine.world.hosts.get_mut(&db).unwrap().failure = Some(failure);
    machine.resolve(&[]);
    assert!(machine.set().is_same(&set));
    assert!(machine.view.failure(&machine.world).is_some());
}
