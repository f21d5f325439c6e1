//! What is written about policies from configuration is so: the guide's examples, its table, and the schema.

use std::{collections::BTreeSet, fs, path::PathBuf};

use portolan::config::PolicyConfig;
use serde_json::Value;

const GUIDE: &str = include_str!("../../docs/policies-from-configuration.md");

/// The schema that editors are pointed at. It is written by `UPDATE_SCHEMA=1 cargo test --test configuration`.
#[test]
fn the_schema_in_the_repository_is_that_of_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.schema.json");
    let schema = serde_json::to_string_pretty(&PolicyConfig::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(
        written == schema,
        "docs/policy.schema.json is out of date: UPDATE_SCHEMA=1 cargo test --test configuration"
    );
}

#[test]
fn each_example_is_a_policy_and_says_the_same_in_both_formats() {
    let json = blocks("json").map(|text| PolicyConfig::from_json(text).unwrap());
    let yaml = blocks("yaml").map(|text| PolicyConfig::from_yaml(text).unwrap());
    let (json, yaml): (Vec<_>, Vec<_>) = (json.collect(), yaml.collect());
    assert_eq!(json.len(), 3);
    assert_eq!(json, yaml);
    for config in json {
        assert!(config.build().unwrap().is_by_identity());
    }
}

/// The guide has every word that the schema knows.
#[test]
fn the_table_of_the_guide_is_complete() {
    let mut words = BTreeSet::new();
    collect(&PolicyConfig::schema().to_value(), &mut words);
    assert!(
        words.contains("bounded-load") && words.contains("nearest"),
        "{words:?}"
    );
    let missing: Vec<_> = words
        .iter()
        .filter(|word| !GUIDE.contains(&format!("`{word}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The texts of the guide in this language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    let mut rest = GUIDE;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&*fence)?;
        let (text, after) = after.split_once("```")?;
        rest = after;
        Some(text)
    })
}

/// All fields, and all words from which one is chosen.
fn collect(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(fields)) => {
                        into.extend(fields.keys().cloned());
                        fields.values().for_each(|field| collect(field, into));
                    }
                    ("enum", Value::Array(all)) => {
                        into.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const", Value::String(one)) => drop(into.insert(one.clone())),
                    (_, value) => collect(value, into),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, into)),
        _ => {}
    }
}
