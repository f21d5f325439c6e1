use std::time::Duration;

use portolan_core::{Endpoint, EndpointSet, Measurement, Placement, reconcile};
use tokio::{net::TcpListener, time::timeout};

use super::*;

fn candidate(endpoint: Endpoint) -> Candidate {
    let endpoint = Arc::new(endpoint);
    let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
    Candidate {
        endpoint,
        state: Arc::new(state),
    }
}

fn set_of(endpoint: Endpoint) -> EndpointSet {
    [endpoint].into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn a_late_report_does_not_count_on_a_probe_that_has_done_its_work() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let changed = Arc::new(Notify::new());
    let mut members = Members::new(
        |_: &Endpoint| (),
        Arc::clone(&changed),
        Attendance::nobody(),
        Arc::default(),
    );
    let candidate = candidate(Endpoint::new(Placement::new("db-0"), address));
    members.service(&candidate, 1);
    let reachability = members.members[&Key::of(&candidate.state)]
        .reachability
        .clone();
    // The second report comes before anybody has looked what became of the first.
    for _ in 0..2 {
        members.look_after(vec![Arc::clone(&candidate.state)]);
        assert!(!reachability.is_reachable());
        let reached = async {
            while !reachability.is_reachable() {
                changed.notified().await;
            }
        };
        timeout(Duration::from_secs(3600), reached).await.unwrap();
    }
}

#[tokio::test]
async fn the_service_follows_an_endpoint_that_is_to_be_connected_to_otherwise() {
    let make = |endpoint: &Endpoint| (endpoint.alternate(), endpoint.host().map(str::to_owned));
    let mut members = Members::new(make, Arc::default(), Attendance::nobody(), Arc::default());
    let first = Endpoint::new(Placement::new("db-0"), "127.0.0.1:1".parse().unwrap());
    let candidate = candidate(first.clone());
    assert_eq!(members.service(&candidate, 1).service, (None, None));
    // The slice of the other IP family comes.
    let alternate = "[::1]:1".parse().unwrap();
    let told = |endpoint: Endpoint| Candidate {
        endpoint: Arc::new(endpoint),
        state: Arc::clone(&candidate.state),
    };
    let both = told(first.clone().with_alternate(alternate));
    let reached = members.service(&both, 2);
    assert_eq!(reached.service, (Some(alternate), None));
    assert_eq!(reached.since, 1, "the endpoint has not been away");
}

#[tokio::test]
async fn the_service_of_one_out_of_reach_follows_it_as_well() {
    let make = |endpoint: &Endpoint| endpoint.alternate();
    let mut members = Members::new(make, Arc::default(), Attendance::nobody(), Arc::default());
    let first = Endpoint::new(Placement::new("db-0"), "127.0.0.1:1".parse().unwrap());
    let alternate = "[::1]:1".parse().unwrap();
    let both = first.clone().with_alternate(alternate);
    let (before, _) = reconcile(
        &Membership::default(),
        &set_of(first),
        Measurement::default(),
    );
    let (after, _) = reconcile(&before, &set_of(both), Measurement::default());

    members.service(&before.members()[0], 1);
    members.look_after(vec![Arc::clone(&before.members()[0].state)]);
    assert!(members.changed(2));
    // It is in no snapshot now.
    members.keep_only(2, &after);
    let member = &members.members[&Key::of(&after.members()[0].state)];
    assert_eq!(member.service, Some(alternate));
}
