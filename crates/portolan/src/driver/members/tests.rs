use std::time::Duration;

use portolan_core::{Endpoint, Measurement, Placement};
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

#[tokio::test(start_paused = true)]
async fn a_late_report_does_not_count_on_a_probe_that_has_done_its_work() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let changed = Arc::new(Notify::new());
    let mut members = Members::new(|_: &Endpoint| (), Arc::clone(&changed));
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
