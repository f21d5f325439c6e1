//! From where the client stands, and by the rules of the Service.

use std::sync::Arc;

use portolan::{
    BalancerBuilder, Cluster, Endpoint, EndpointSet, ErrorKind, Hints, InternalTraffic, Location,
    Reach, Resolution, TrafficRules, Wait,
    policy::{RoundRobin, ZoneAware},
    source::channel,
};
use tower::ServiceExt;

use crate::{endpoint, named, spread, until_served_by};

/// `db-0` and `db-1` are on nodes, and hinted for zones, of the same numbers.
fn set() -> EndpointSet {
    (0..2)
        .map(|number| {
            let hints = Hints {
                zones: [Arc::from(format!("zone-{number}"))].into(),
                nodes: [].into(),
            };
            endpoint(number)
                .with_node(format!("node-{number}"))
                .with_hints(Arc::new(hints))
        })
        .collect()
}

/// The same, where the zones are known as well.
fn set_in_zones() -> EndpointSet {
    let zone = |number: usize, one: &Endpoint| one.clone().with_zone(format!("zone-{number}"));
    set()
        .iter()
        .enumerate()
        .map(|(number, one)| zone(number, one))
        .collect()
}

fn balancer(set: EndpointSet, location: Location) -> (portolan::source::Teller, BalancerBuilder) {
    let (teller, source) = channel();
    teller.tell(Resolution::Present(set));
    let cluster = Cluster::from_source(source).with_location(location);
    let builder = cluster
        .service("db.shop")
        .unwrap()
        .policy(RoundRobin::new());
    (teller, builder)
}

#[tokio::test(start_paused = true)]
async fn hints_keep_requests_in_the_zone_until_they_are_gone() {
    let here = Location::UNKNOWN.with_zone("zone-1");
    let (teller, builder) = balancer(set(), here);
    let service = named(builder);
    until_served_by(&service, &["db-1"]).await;
    // One without a hint, and none counts any more.
    let unhinted = [endpoint(0), (*set()[1]).clone()];
    teller.tell(Resolution::Present(unhinted.into_iter().collect()));
    until_served_by(&service, &["db-0", "db-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_zone_aware_policy_knows_where_the_client_is_and_where_others_are() {
    let here = Location::UNKNOWN.with_zone("zone-1");
    let (_teller, builder) = balancer(set_in_zones(), here);
    let zones = ZoneAware::over(RoundRobin::new());
    let service = named(
        builder
            .traffic_rules(TrafficRules::Ignored)
            .policy(zones.clone()),
    );
    let served = spread(&service, 1000).await;
    assert!((0.9..1.0).contains(&zones.kept().unwrap()));
    assert!(served["db-1"] > 900 && served["db-0"] > 0, "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_local_service_is_served_on_this_node_or_not_at_all() {
    let local = || set().with_internal_traffic(InternalTraffic::Local);
    let (_teller, builder) = balancer(local(), Location::UNKNOWN.with_node("node-0"));
    until_served_by(&named(builder), &["db-0"]).await;

    let (_teller, builder) = balancer(local(), Location::UNKNOWN.with_node("node-7"));
    let service = named(builder.wait(Wait::FailFast));
    let error = service.oneshot(()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );

    let (_teller, builder) = balancer(local(), Location::UNKNOWN.with_node("node-7"));
    let service = named(builder.traffic_rules(TrafficRules::Ignored));
    until_served_by(&service, &["db-0", "db-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_rules_alone_is_followed() {
    let (teller, builder) = balancer(set(), Location::UNKNOWN.with_node("node-0"));
    let service = named(builder);
    until_served_by(&service, &["db-0", "db-1"]).await;
    let local = set().with_internal_traffic(InternalTraffic::Local);
    teller.tell(Resolution::Present(local));
    until_served_by(&service, &["db-0"]).await;
    assert_eq!(service.observe().view().reach(), Reach::Pods);
}
