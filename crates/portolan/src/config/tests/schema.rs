//! The schema says of each text what reading and building say.

use std::collections::BTreeSet;

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::prelude::*;
use serde_json::Value;

use super::{super::PolicyConfig, accept, built, nested, refused};

/// The schema, ready to be asked.
struct Oracle {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Oracle {
    fn new() -> Self {
        let mut compiler = Compiler::new();
        let schema = PolicyConfig::schema().to_value();
        compiler.add_resource("policy.schema.json", schema).unwrap();
        let mut schemas = Schemas::new();
        let index = compiler
            .compile("policy.schema.json", &mut schemas)
            .unwrap();
        Self { schemas, index }
    }

    fn accepts(&self, text: &str) -> bool {
        let value: Value = serde_json::from_str(text).unwrap();
        self.schemas.validate(&value, self.index).is_ok()
    }
}

#[test]
fn what_is_accepted_is_by_both() {
    let oracle = Oracle::new();
    for (text, _) in built::table() {
        assert!(accept(text).is_ok() && oracle.accepts(text), "{text}");
        let written = serde_json::to_string(&accept(text).unwrap()).unwrap();
        assert!(oracle.accepts(&written), "{written}");
    }
}

/// But for what a schema cannot know: how numbers compare, what is handed over, gaps and overlaps.
#[test]
fn what_is_refused_is_by_both() {
    let oracle = Oracle::new();
    for (text, _, _, is_known) in refused::TABLE {
        assert_eq!(oracle.accepts(text), !is_known, "{text}");
    }
}

thread_local! {
    static ORACLE: Oracle = Oracle::new();
}

proptest! {
    /// What is nearly right: nothing is taken that the schema refuses, and what it does not refuse is read.
    #[test]
    fn they_agree(
        config in nested::configs(),
        path in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        other in nested::json(),
    ) {
        let mut config = config;
        *nested::some_part(&mut config, &path) = other;
        let text = config.to_string();
        let by_schema = ORACLE.with(|oracle| oracle.accepts(&text));
        let read = PolicyConfig::from_json(&text);
        prop_assert!(read.is_ok() || !by_schema, "{}: {:?}", text, read);
        prop_assert!(by_schema || accept(&text).is_err(), "{}: refused by the schema", text);
    }
}

#[test]
fn names_that_may_stand_alone_are_those_that_the_schema_lists() {
    let (schema, oracle) = (PolicyConfig::schema().to_value(), Oracle::new());
    let names = names(&schema);
    assert_eq!(names.len(), 19, "{names:?}");
    for name in names {
        let bare = format!("\"{name}\"");
        assert_eq!(
            oracle.accepts(&bare),
            PolicyConfig::from_json(&bare).is_ok(),
            "{name}"
        );
    }
}

/// The texts that are built, and those only, are the reason to trust the tables: they have all that there is.
#[test]
fn the_table_has_every_policy_field_and_choice_of_the_schema() {
    let mut said = BTreeSet::new();
    for (text, _) in built::table() {
        words(&serde_json::from_str(text).unwrap(), &mut said);
    }
    let (mut known, schema) = (BTreeSet::new(), PolicyConfig::schema().to_value());
    vocabulary(&schema, &mut known);
    assert!(
        known.contains("bounded-load") && known.contains("nearest"),
        "{known:?}"
    );
    // A default that is also said by leaving it out.
    said.extend(["jump", "primary"].map(str::to_owned));
    let missing: Vec<_> = known.difference(&said).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The policies.
fn names(schema: &Value) -> BTreeSet<String> {
    let maps = schema["oneOf"].as_array().unwrap().iter();
    let maps = maps.filter_map(|map| map["properties"].as_object());
    maps.flat_map(|properties| properties.keys().cloned())
        .collect()
}

/// All keys and texts.
fn words(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            into.insert(key.clone());
            words(value, into);
        }),
        Value::Array(list) => list.iter().for_each(|one| words(one, into)),
        Value::String(text) => drop(into.insert(text.clone())),
        _ => {}
    }
}

/// The names of all fields, and all words from which one is chosen.
fn vocabulary(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(fields)) => {
                        into.extend(fields.keys().cloned());
                        fields.values().for_each(|field| vocabulary(field, into));
                    }
                    ("enum", Value::Array(choices)) => {
                        into.extend(choices.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const", Value::String(choice)) => drop(into.insert(choice.clone())),
                    (_, value) => vocabulary(value, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|one| vocabulary(one, into)),
        _ => {}
    }
}
