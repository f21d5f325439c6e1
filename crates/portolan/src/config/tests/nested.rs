//! Whatever is written: nothing panics, nothing overflows, and what is read is written again.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{PolicyConfig, depth::DEEPEST},
    accept, built, handles,
};

/// So many policies over each other.
fn tower(floors: u32) -> Value {
    // `json!` would copy what is inside, floor by floor, by recursion.
    let around =
        |name: &str, inner| Value::Object([(name.to_owned(), inner)].into_iter().collect());
    (1..floors).fold(json!("random"), |over, _| {
        around("zone-aware", around("over", over))
    })
}

#[test]
fn so_many_policies_are_in_each_other_and_no_more() {
    let read = |floors| PolicyConfig::from_deserializer(tower(floors));
    assert!(read(DEEPEST).unwrap().build().is_ok());
    let error = read(DEEPEST + 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("more than 32 policies are in each other"),
        "{error}"
    );
    // Whoever has failed leaves nothing behind.
    assert!(read(DEEPEST).is_ok());
    // As text, too: that much is within the limits of the parser itself.
    assert!(accept(&tower(DEEPEST).to_string()).is_ok());
}

/// A value is not limited by a parser, and may be as deep as somebody makes it.
#[test]
fn a_value_that_is_deeper_than_any_stack_is_refused() {
    let deep = tower(20_000);
    let error = PolicyConfig::deserialize(&deep).unwrap_err();
    assert!(error.to_string().contains("more than 32"), "{error}");
    // To drop it as it is would overflow the stack here.
    unwind(deep);
}

fn unwind(mut value: Value) {
    while let Some(inner) = value.pointer_mut("/zone-aware/over").map(Value::take) {
        value = inner;
    }
}

/// In the midst of other settings, where serde hands on what it has read before.
#[test]
fn it_may_be_flattened() {
    #[derive(Deserialize)]
    struct Settings {
        service: String,
        #[serde(flatten)]
        policy: PolicyConfig,
    }
    for (text, _) in built::table() {
        let alone = PolicyConfig::from_json(text).unwrap();
        let mut settings: Value = serde_json::to_value(&alone).unwrap();
        settings["service"] = json!("db.shop");
        let settings: Settings = serde_json::from_value(settings).unwrap();
        assert_eq!(
            (&*settings.service, settings.policy),
            ("db.shop", alone),
            "{text}"
        );
    }
}

#[test]
fn many_brackets_are_refused() {
    for bracket in ["[", "{\"zone-aware\":{\"over\":", "{\"a\":"] {
        let text = bracket.repeat(100_000);
        assert!(PolicyConfig::from_json(&text).is_err());
        assert!(PolicyConfig::from_yaml(&text).is_err());
    }
}

proptest! {
    /// What was read is written, read again, and built, all to the same.
    #[test]
    fn it_is_written_as_it_is_read(config in configs()) {
        let config = PolicyConfig::from_deserializer(&config).unwrap();
        let written = serde_json::to_string(&config).unwrap();
        let again = PolicyConfig::from_json(&written).unwrap();
        prop_assert_eq!(&again, &config);
        let (one, other) = (config.build_with(&handles()), again.build_with(&handles()));
        prop_assert_eq!(format!("{:?}", one.unwrap()), format!("{:?}", other.unwrap()));
    }

    /// Whatever JSON it is: an error, or a policy. What is nearly right is what goes deep.
    #[test]
    fn no_json_panics(config in configs(), path in prop::collection::vec(any::<prop::sample::Index>(), 0..8), other in json()) {
        let mut config = config;
        *some_part(&mut config, &path) = other;
        let _ = accept(&config.to_string());
    }

    #[test]
    fn no_text_panics(text in "\\PC*", near in "[{}\\[\\]:,\"0-9a-z-]{0,40}") {
        let _ = (accept(&text), accept(&near));
        let _ = (PolicyConfig::from_yaml(&text), PolicyConfig::from_yaml(&near));
    }
}

/// The part of it to which these steps lead.
pub(super) fn some_part<'v>(value: &'v mut Value, path: &[prop::sample::Index]) -> &'v mut Value {
    let Some((step, rest)) = path.split_first() else {
        return value;
    };
    let parts = match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    if parts == 0 {
        return value;
    }
    let step = step.index(parts);
    let part = match value {
        Value::Object(map) => map.values_mut().nth(step),
        Value::Array(list) => list.get_mut(step),
        _ => None,
    };
    some_part(part.unwrap(), rest)
}

/// Those of the table, and any of them over any others.
pub(super) fn configs() -> impl Strategy<Value = Value> {
    let texts = built::table()
        .into_iter()
        .map(|(text, _)| serde_json::from_str(text).unwrap());
    let leaf = prop::sample::select(texts.collect::<Vec<Value>>());
    leaf.prop_recursive(4, 12, 2, |inner| {
        let factor = (1_000..5_000_u32).prop_map(|thousandths| f64::from(thousandths) / 1_000.0);
        let name = prop::sample::select(vec!["ring-hash", "maglev", "rendezvous", "jump-hash"]);
        prop_oneof![
            inner.clone().prop_map(|over| json!({ "zone-aware": { "over": over } })),
            inner.clone().prop_map(|over| json!({ "routes": { "learnt": "moved", "over": over } })),
            (name, factor, inner.clone()).prop_map(|(name, factor, inner)| {
                json!({ name: { "bounded-load": factor, "without-key": inner } })
            }),
            (1..=u32::MAX, inner.clone(), inner.clone()).prop_map(|(shards, over, without_key)| {
                json!({ "shard": {
                    "by": { "stateful-set": { "shards": shards } }, "over": over, "without-key": without_key
                } })
            }),
            (0..1_000_000_u64, inner).prop_map(|(window, over)| {
                let within = format!("{window}us");
                json!({ "primary-replica": {
                    "by": { "label": "redis" }, "read-from": { "within": within }, "over": over
                } })
            }),
        ]
    })
}

/// Any JSON, of words that mean something here more often than not.
pub(super) fn json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        "[a-z-]{0,8}",
        prop::sample::select(vec![
            "random", "shard", "own", "over", "by", "map", "wait", "infinite", "2s", "mine",
            "keys", "shards",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // To a schema, 2.0 is a whole number. To serde, it is not.
        (-1e9..1e9).prop_map(|number: f64| Value::from(number.trunc() + 0.5)),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
