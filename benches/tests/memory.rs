//! What the source over the Kubernetes API keeps for an endpoint is little, and no more after rolling
//! updates than before.

#![allow(
    clippy::unwrap_used,
    reason = "what is not as it should be ends the test"
)]

#[path = "../benches/support/api.rs"]
mod api;
#[path = "../benches/support/held.rs"]
mod held;
#[path = "../benches/support/watched.rs"]
mod watched;

const ENDPOINTS: u32 = 10_000;

#[test]
fn the_source_keeps_little_and_lets_go_of_what_was_replaced() {
    let each = |replaced| {
        let held = held::held_by(watched::watched(ENDPOINTS, replaced)).unwrap();
        held.bytes_current as f64 / f64::from(ENDPOINTS)
    };
    let (before, after) = (each(0), each(3));
    assert!(before <= 200.0, "{before} bytes for each endpoint");
    assert!(
        after <= before + 4.0,
        "{before} bytes before all endpoints were replaced, {after} after"
    );
}
