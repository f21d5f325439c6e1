//! Leases as they are written, and what comes of them.

use serde_json::{Value, json};

use super::*;

const S: Duration = Duration::from_secs(1);

fn lease(uid: &str, holder: Option<&str>, transitions: u64, renewed: &str) -> Lease {
    Lease {
        uid: uid.into(),
        holder: holder.map(Into::into),
        transitions,
        renewed: renewed.into(),
        duration: Some(S * 15),
    }
}

fn holds(holder: &str, epoch: u64) -> Option<Said> {
    Some(Said::Holds(holder.into(), Epoch::new(epoch)))
}

fn vacant(epoch: u64) -> Option<Said> {
    Some(Said::Vacant(Epoch::new(epoch)))
}

#[test]
fn it_runs_out_by_the_time_since_it_was_seen_to_change() {
    let mut tenure = Tenure::default();
    assert_eq!(
        tenure.see(lease("u", Some("db-0"), 3, "a"), S),
        holds("db-0", 3)
    );
    assert_eq!(tenure.until(), Some(S * 16));
    // Seen again, as after a new list, is not renewed.
    assert_eq!(tenure.see(lease("u", Some("db-0"), 3, "a"), S * 10), None);
    assert_eq!(tenure.until(), Some(S * 16));
    assert_eq!(
        tenure.see(lease("u", Some("db-0"), 3, "b"), S * 12),
        holds("db-0", 3)
    );
    assert_eq!(tenure.expire(S * 16), None);
    assert_eq!(tenure.expire(S * 27), vacant(3));
    assert_eq!(tenure.expire(S * 28), None, "it is said once");
    // A clock of another machine that went backwards is a change like any other.
    assert_eq!(
        tenure.see(lease("u", Some("db-0"), 3, "a"), S * 30),
        holds("db-0", 3)
    );
}

#[test]
fn it_is_let_go_of_deleted_and_made_anew() {
    let mut tenure = Tenure::default();
    assert_eq!(tenure.gone(), None, "there never was one");
    assert_eq!(
        tenure.see(lease("u", Some("db-0"), 3, "a"), S),
        holds("db-0", 3)
    );
    assert_eq!(tenure.see(lease("u", None, 3, "b"), S), vacant(3));
    assert_eq!(tenure.until(), None);
    assert_eq!(
        tenure.see(lease("u", Some("db-1"), 4, "c"), S),
        holds("db-1", 4)
    );
    assert_eq!(tenure.gone(), vacant(4));
    assert_eq!(tenure.until(), None);
    // Whoever makes it anew counts from 0; that is still the later reign.
    assert_eq!(
        tenure.see(lease("v", Some("db-2"), 0, "d"), S),
        holds("db-2", 5)
    );
    assert_eq!(
        tenure.see(lease("v", Some("db-1"), 1, "e"), S),
        holds("db-1", 6)
    );
}

#[test]
fn what_is_read_of_it() {
    let read = |spec: Value| -> Lease {
        let wire = json!({ "metadata": { "name": "db", "uid": "u" }, "spec": spec });
        serde_json::from_value::<WireLease>(wire).unwrap().into()
    };
    let whole = read(json!({
        "holderIdentity": "db-1_0b5c", "leaseTransitions": 7, "leaseDurationSeconds": 15,
        "renewTime": "2026-11-25T06:00:00.000000Z", "acquireTime": "2026-11-25T05:00:00.000000Z",
    }));
    assert_eq!(
        whole,
        lease("u", Some("db-1"), 7, "2026-11-25T06:00:00.000000Z")
    );
    for nobody in [
        json!(null),
        json!({}),
        json!({ "holderIdentity": "" }),
        json!({ "holderIdentity": null }),
    ] {
        assert_eq!(
            read(nobody),
            Lease {
                uid: "u".into(),
                ..Lease::default()
            }
        );
    }
    let odd =
        read(json!({ "holderIdentity": "_", "leaseTransitions": -1, "leaseDurationSeconds": 0 }));
    assert_eq!(
        odd,
        Lease {
            uid: "u".into(),
            ..Lease::default()
        }
    );
}
