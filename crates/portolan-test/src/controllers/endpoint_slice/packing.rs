//! Distributing endpoints over slices with as few writes as may be.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json;

/// What becomes of a slice.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Keep,
    Replace(Vec<Value>),
    Delete,
}

/// What becomes of all slices of one group.
#[derive(Debug, PartialEq)]
pub(super) struct Packed {
    /// In the order of the slices given.
    pub(super) existing: Vec<Change>,
    /// The contents of slices to make.
    pub(super) new: Vec<Vec<Value>>,
}

/// Distributes `desired` over the slices with these `contents`, of at most `limit` endpoints each.
///
/// An endpoint stays in its slice; a new one goes where something changes anyway, then into slices
/// that have room, then into new slices. A slice that ends up empty is deleted.
pub(super) fn pack(contents: &[&[Value]], desired: Vec<Value>, limit: usize) -> Packed {
    let limit = limit.max(1);
    let mut wanted: BTreeMap<String, Value> = desired
        .into_iter()
        .map(|endpoint| (identity(&endpoint), endpoint))
        .collect();

    // What stays, with its new conditions.
    let mut slices: Vec<(Vec<Value>, bool)> = contents
        .iter()
        .map(|old| {
            let stays = old
                .iter()
                .filter_map(|endpoint| wanted.remove(&identity(endpoint)));
            let stays: Vec<Value> = stays.take(limit).collect();
            let changed = stays.as_slice() != *old;
            (stays, changed)
        })
        .collect();

    // What is new, first where there is a write anyway.
    let mut rest: Vec<Value> = wanted.into_values().collect();
    rest.reverse();
    for changed_ones in [true, false] {
        for (endpoints, changed) in &mut slices {
            while *changed == changed_ones
                && endpoints.len() < limit
                && !endpoints.is_empty()
                && let Some(endpoint) = rest.pop()
            {
                endpoints.push(endpoint);
                if !changed_ones {
                    *changed = true;
                    fill(endpoints, &mut rest, limit);
                }
            }
        }
    }
    rest.reverse();

    Packed {
        existing: slices
            .into_iter()
            .map(
                |(endpoints, changed)| match (endpoints.is_empty(), changed) {
                    (true, _) => Change::Delete,
                    (false, true) => Change::Replace(endpoints),
                    (false, false) => Change::Keep,
                },
            )
            .collect(),
        new: rest.chunks(limit).map(<[Value]>::to_vec).collect(),
    }
}

fn fill(endpoints: &mut Vec<Value>, rest: &mut Vec<Value>, limit: usize) {
    while endpoints.len() < limit
        && let Some(endpoint) = rest.pop()
    {
        endpoints.push(endpoint);
    }
}

/// What makes two endpoints the same one: its Pod and addresses, not its conditions.
fn identity(endpoint: &Value) -> String {
    let name = json::text(endpoint, "/targetRef/name");
    let uid = json::text(endpoint, "/targetRef/uid");
    let addresses = endpoint.get("addresses").unwrap_or(&Value::Null);
    format!("{name} {uid} {addresses}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn endpoint(number: usize) -> Value {
        json!({"addresses": [format!("10.0.0.{number}")], "targetRef": {"uid": number.to_string()}})
    }

    fn endpoints(numbers: std::ops::Range<usize>) -> Vec<Value> {
        numbers.map(endpoint).collect()
    }

    #[test]
    fn many_endpoints_make_many_slices() {
        let packed = pack(&[], endpoints(0..250), 100);
        let sizes: Vec<usize> = packed.new.iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let (a, b) = (endpoints(0..3), endpoints(3..5));
        let packed = pack(&[&a, &b], endpoints(0..5), 3);
        assert_eq!(packed.existing, [Change::Keep, Change::Keep]);
        assert!(packed.new.is_empty());
    }

    #[test]
    fn one_change_writes_one_slice() {
        let (a, b) = (endpoints(0..3), endpoints(3..5));
        let mut desired = endpoints(0..6);
        desired.remove(0);
        let packed = pack(&[&a, &b], desired, 3);
        assert!(matches!(&packed.existing[0], Change::Replace(now) if now.len() == 3));
        assert_eq!(
            packed.existing[1],
            Change::Keep,
            "the room in the changed slice was enough"
        );
        assert!(packed.new.is_empty());
    }

    #[test]
    fn a_slice_that_becomes_empty_goes() {
        let (a, b) = (endpoints(0..2), endpoints(2..3));
        let packed = pack(&[&a, &b], endpoints(0..2), 2);
        assert_eq!(packed.existing, [Change::Keep, Change::Delete]);
    }

    #[test]
    fn the_overflow_gets_new_slices_and_no_slice_is_overfull() {
        let a = endpoints(0..2);
        let packed = pack(&[&a], endpoints(0..8), 3);
        assert!(matches!(&packed.existing[0], Change::Replace(now) if now.len() == 3));
        let sizes: Vec<usize> = packed.new.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 2]);
    }

    #[test]
    fn conditions_change_in_place() {
        let a = endpoints(0..2);
        let mut desired = endpoints(0..2);
        json::set(&mut desired[1], &["conditions", "ready"], false);
        let packed = pack(&[&a], desired.clone(), 100);
        assert_eq!(packed.existing, [Change::Replace(desired)]);
    }
}
