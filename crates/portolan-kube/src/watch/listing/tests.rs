//! Any list in any parts, against the parser of the whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pod::WirePod;

/// The names and versions of the objects, and what is known of the list; nothing if it cannot be parsed.
type Read = Option<(Vec<(String, String)>, (String, String))>;

fn summary(objects: Vec<WirePod>, list: ListMeta) -> Read {
    let objects = objects.into_iter().map(|pod| pod.metadata);
    let objects = objects.map(|meta| (meta.name, meta.resource_version));
    Some((objects.collect(), (list.resource_version, list.next_page)))
}

fn in_parts(text: &[u8], length: usize) -> Read {
    let mut listing = Listing::<WirePod>::default();
    let mut objects = Vec::new();
    for part in text.chunks(length) {
        objects.extend(listing.push(part).ok()?);
    }
    let (last, list) = listing.finish().ok()?;
    objects.extend(last);
    summary(objects, list)
}

fn as_a_whole(text: &[u8]) -> Read {
    let ObjectList { metadata, items } = serde_json::from_slice(text).ok()?;
    summary(items, metadata)
}

/// A string that looks like what surrounds the objects, now and then.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\[\\]{},:\"\\\\a-cé😀\\n ]{0,8}",
        Just(r#""items":["#.to_owned()),
        Just(r#"items":["#.to_owned()),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![Just("items".to_owned()), any_text()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..3)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    (any_text(), any::<u8>(), any_value()).prop_map(|(name, version, spec)| {
        let metadata = json!({ "name": name, "resourceVersion": version.to_string() });
        json!({ "metadata": metadata, "spec": spec })
    })
}

proptest! {
    #[test]
    fn any_list_in_any_parts_is_what_it_is_as_a_whole(
        // In any order: with and without metadata, or with another key, before the objects.
        before in prop::option::of(("[a-z\"]{1,3}items|[a-z]{1,3}", any_value())),
        first in any::<bool>(), more in any_value(),
        items in prop::collection::vec(any_object(), 0..6),
        pretty in any::<bool>(), length in 1_usize..200,
    ) {
        let metadata = json!({ "resourceVersion": "7", "continue": "more", "x": more });
        let write = |value: &Value| {
            if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap()
        };
        let mut members: Vec<_> = before.iter().map(|(key, value)| (json!(key), value.clone())).collect();
        members.push((json!("items"), Value::from(items)));
        members.insert(if first { 0 } else { members.len() }, (json!("metadata"), metadata));
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("{key}:{}", write(value))).collect();
        let text = format!("{{{}}}\n", members.join(","));
        let read = in_parts(text.as_bytes(), length);
        prop_assert!(read.is_some(), "{}", text);
        prop_assert_eq!(read, as_a_whole(text.as_bytes()), "{}", text);
    }

    #[test]
    fn what_is_no_list_as_a_whole_is_none_in_parts(
        inner in "(\\{\"metadata\":\\{\\}\\}|[\\[\\]{},:\"\\\\1 ]){0,4}",
        ends in prop_oneof![Just("]}"), Just("]"), Just(""), Just("],\"items\":[]}"), Just("]}]")],
        length in 1_usize..40,
    ) {
        let text = format!(r#"{{"metadata":{{"resourceVersion":"7"}},"items":[{inner}{ends}"#);
        prop_assert_eq!(in_parts(text.as_bytes(), length), as_a_whole(text.as_bytes()), "{}", text);
    }
}

#[test]
fn objects_are_there_before_the_list_has_ended() {
    let object = json!({ "metadata": { "name": "db-0", "resourceVersion": "5" } }).to_string();
    let mut listing = Listing::<WirePod>::default();
    let mut push = |text: &str| listing.push(text.as_bytes()).unwrap().len();
    let (begin, end) = object.split_at(20);
    assert_eq!(push(r#"{"metadata":{"resourceVersion":"7"},"ite"#), 0);
    assert_eq!(push(&format!(r#"ms":[{begin}"#)), 0);
    assert_eq!(push(&format!("{end},")), 1);
    assert_eq!(push(&format!("{object},{object},{begin}")), 2);
    assert_eq!(push(&format!("{end}]")), 1);
    assert_eq!(push("}"), 0);
    let (last, list) = listing.finish().unwrap();
    assert_eq!((last.len(), &*list.resource_version), (0, "7"));
}

#[test]
fn a_number_that_is_cut_off_is_no_fault() {
    let text = r#"{"items":[{"metadata":{"name":"a"},"spec":[-1.5e-7,-0]},{"metadata":{"name":"b"}}],"metadata":{}}"#;
    for length in 1..text.len() {
        let read = in_parts(text.as_bytes(), length);
        assert!(read.is_some(), "{length}");
        assert_eq!(read, as_a_whole(text.as_bytes()), "{length}");
    }
}
#[test]
fn short_objects_behind_a_long_one_are_taken_at_the_end() {
    let long = "x".repeat(500);
    let text = format!(
        r#"{{"items":[{{"metadata":{{"name":"{long}"}}}},{{"metadata":{{}}}},{{"metadata":{{}}}}],"metadata":{{}}}}"#
    );
    for length in [1, 7, text.len()] {
        let read = in_parts(text.as_bytes(), length);
        assert_eq!(read, as_a_whole(text.as_bytes()));
        assert!(
            read.is_some_and(|(objects, _)| objects.len() == 3),
            "{length}"
        );
    }
}
