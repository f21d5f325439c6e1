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
    let listed = each(0);
    assert!(listed <= 200.0, "{listed} bytes for each endpoint");
    // Once there were events, there is room to read them in, whatever becomes of the endpoints.
    let (once, often) = (each(1), each(4));
    assert!(often <= 200.0, "{often} bytes for each endpoint");
    assert!(
        often <= once + 1.0,
        "{once} bytes when all endpoints were replaced once, {often} after four times"
    );
}
