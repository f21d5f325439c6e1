//! What is refused says in which field, and what to do.

use super::{super::PolicyConfig, accept};

/// A text, the field that the error is to name, and what it is to say. The last is whether a
/// schema can know.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, &str, &str, bool)] = &[
    // No policy at all.
    ("null", "", "expected the name of a policy, or a map", true),
    ("17", "", "expected the name of a policy, or a map", true),
    ("[]", "", "expected the name of a policy, or a map", true),
    ("{}", "", "an empty map, where there is to be the name of a policy", true),
    (r#""""#, "", "unknown variant ``, expected one of `least-request`", true),
    (r#""least_request""#, "", "expected one of `least-request`", true),
    (r#"{ "least-requests": {} }"#, "least-requests", "expected one of `least-request`", true),
    (r#"{ "random": {}, "maglev": {} }"#, "", "two policies where there is to be one", true),
    (r#"{ "random": null }"#, "random", "invalid type: null", true),
    (r#""shard""#, "", "`shard` does not stand alone: missing field `by`", true),
    (r#""own""#, "", "`own` does not stand alone", true),
    (r#"{ "ring-hash": [] }"#, "ring-hash", "invalid type: sequence, expected a map", true),
    (r#"{ "shard": { "by": { "ordinal": [2] } } }"#, "shard.by.ordinal", "expected a map, from settings", true),
    // Fields that there are not, or are missing.
    (r#"{ "random": { "seed": 7 } }"#, "random.seed", "unknown field `seed`", true),
    (r#"{ "zone-aware": { "ovr": "random" } }"#, "zone-aware.ovr", "unknown field `ovr`, expected `over`", true),
    (r#"{ "zone-aware": { "over": "shard" } }"#, "zone-aware.over", "missing field `by`", true),
    (r#"{ "shard": { "by": { "ordinal": {} } } }"#, "shard.by.ordinal", "missing field `shards`", true),
    (r#"{ "shard": { "by": { "label": { "shards": 2 } } } }"#, "shard.by.label", "missing field `label`", true),
    (r#"{ "ketama": {} }"#, "ketama", "missing field `by`", true),
    (r#"{ "shard": { "by": { "ordinal": { "shards": 2 } }, "over": { "primary-replica": {
        "by": { "label": "patroni" }, "read-from": "neerest" } } } }"#,
     "shard.over.primary-replica.read-from", "unknown variant `neerest`, expected one of `primary`", true),
    (r#"{ "primary-replica": { "by": { "label": "cnpg" } } }"#,
     "primary-replica.by.label", "expected one of `cloud-native-pg`", true),
    (r#"{ "shard": { "by": { "ordinal": { "shards": { "fixed": 2 } } } } }"#,
     "shard.by.ordinal.shards.fixed", "unknown field `fixed`, expected `changing`", true),
    (r#"{ "primary-replica": { "by": { "label": "patroni" }, "read-your-writes": "them" } }"#,
     "primary-replica.read-your-writes", "`them` is not handed over", false),
    // Out of range.
    (r#"{ "prequal": { "choices": 1 } }"#, "prequal.choices", "1 is out of range: from 2 to 16", true),
    (r#"{ "prequal": { "hot-above": 1.1 } }"#, "prequal.hot-above", "1.1 is out of range: from 0 to 1", true),
    (r#"{ "prequal": { "hot-above": -1 } }"#, "prequal.hot-above", "-1 is out of range", true),
    (r#"{ "prequal": { "max-age": 1 } }"#, "prequal.max-age", "invalid type", true),
    (r#"{ "backend-weighted": { "error-penalty": -0.5 } }"#,
     "backend-weighted.error-penalty", "-0.5 is out of range: from 0 to 1000", true),
    (r#"{ "backend-weighted": { "blackout": "soon" } }"#,
     "backend-weighted.blackout", "`soon` is no length of time", true),
    (r#"{ "client-affinity": { "capacity": 1 } }"#, "client-affinity.capacity", "1 is out of range: from 64", true),
    (r#"{ "ring-hash": { "bounded-load": 0.5 } }"#, "ring-hash.bounded-load", "a number of at least 1", true),
    (r#"{ "ring-hash": { "bounded-load": -1 } }"#, "ring-hash.bounded-load", "a number of at least 1", true),
    (r#"{ "ring-hash": { "bounded-load": "none" } }"#, "ring-hash.bounded-load", "or `infinite`", true),
    (r#"{ "ring-hash": { "points-per-weight": 0 } }"#,
     "ring-hash.points-per-weight", "0 is out of range: from 1 to 4294967295", true),
    (r#"{ "ring-hash": { "points-per-weight": 1.5 } }"#, "ring-hash.points-per-weight", "invalid type", true),
    (r#"{ "maglev": { "table-size": 5000012 } }"#, "maglev.table-size", "from 1 to 5000011", true),
    (r#"{ "jump-hash": { "places": 0 } }"#, "jump-hash.places", "from 1 to", true),
    (r#"{ "jump-hash": { "starting-at": -1 } }"#, "jump-hash.starting-at", "-1 is out of range", true),
    (r#"{ "jump-hash": { "starting-at": 4294967296 } }"#, "jump-hash.starting-at", "out of range", true),
    (r#"{ "jump-hash": { "places": 99999999999999999999999999 } }"#, "jump-hash.places", "", true),
    (r#"{ "shard": { "by": { "ordinal": { "shards": 0 } } } }"#, "shard.by.ordinal.shards", "0 is out of range", true),
    (r#"{ "shard": { "by": { "ordinal": { "shards": 18446744073709551615 } } } }"#,
     "shard.by.ordinal.shards", "out of range", true),
    (r#"{ "shard": { "by": { "ordinal": { "shards": "two" } } } }"#,
     "shard.by.ordinal.shards", "a number of at least 1, or `changing`", true),
    (r#"{ "shard": { "by": { "ordinal": { "shards": 2, "replicas": 0 } } } }"#,
     "shard.by.ordinal.replicas", "0 is out of range", true),
    (r#"{ "primary-replica": { "by": { "label": "redis" }, "read-from": { "within": "fast" } } }"#,
     "primary-replica.read-from.within", "`fast` is no length of time", true),
    (r#"{ "primary-replica": { "by": { "label": "redis" }, "while-absent": { "wait": "1.5s" } } }"#,
     "primary-replica.while-absent.wait", "as in 250ms, 2s or 1m30s", true),
    (r#"{ "primary-replica": { "by": { "label": "redis" }, "while-absent": { "wait": 2 } } }"#,
     "primary-replica.while-absent.wait", "expected a string", true),
    // What does not fit together.
    (r#"{ "grpc-ring-hash": { "by": "address", "ring-size": { "least": 10, "most": 9 } } }"#,
     "grpc-ring-hash.ring-size", "`least` (10) is more than `most` (9)", false),
    (r#"{ "primary-replica": { "by": { "leadership": "db" }, "fenced-by": "db" } }"#,
     "primary-replica.fenced-by", "leave this out, or let `by` be a label", false),
    // Maps of shards.
    (r#"{ "shard": { "by": { "map": [] } } }"#, "shard.by.map", "it is empty", true),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "ranges": [{ "below": "m" }] }, "pods": ["a"] }] } } }"#,
     "shard.by.map", "no shard has keys from \"m\" on. Give each key to one shard", false),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "slots": [{ "first": 0, "last": 99 }] }, "pods": ["a"] }] } } }"#,
     "shard.by.map", "no shard has slots 100-16383", false),
    (r#"{ "shard": { "by": { "map": [
        { "shard": 0, "has": { "ranges": [{}] }, "pods": ["a"] },
        { "shard": 1, "has": { "ranges": [{ "from": "x" }] }, "pods": ["a"] }] } } }"#,
     "shard.by.map", "keys from \"x\" on are assigned twice, to shard 0 and to shard 1", false),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "ranges": [{ "from": "b", "below": "a" }, {}] }, "pods": ["a"] }] } } }"#,
     "shard.by.map", "the range of shard 0 holds nothing", false),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "slots": [{ "first": 5, "last": 4 }] }, "pods": ["a"] }] } } }"#,
     "shard.by.map", "the range of shard 0 holds nothing", false),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "slots": [{ "first": 0, "last": 16384 }] }, "pods": ["a"] }] } } }"#,
     "shard.by.map[0].has.slots[0].last", "from 0 to 16383", true),
    (r#"{ "shard": { "by": { "map": [{ "shard": 4294967295, "has": { "ranges": [{}] }, "pods": ["a"] }] } } }"#,
     "shard.by.map[0].shard", "from 0 to 4294967294", true),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "ranges": [{}] }, "pods": [] }] } } }"#,
     "shard.by.map[0].pods", "name at least one Pod", true),
    (r#"{ "shard": { "by": { "map": [{ "shard": 0, "has": { "ranges": [] }, "pods": ["a"] }] } } }"#,
     "shard.by.map[0].has", "the shard has no keys", true),
    (r#"{ "shard": { "by": { "map": [
        { "shard": 0, "has": { "ranges": [{ "below": "m" }] }, "pods": ["a"] },
        { "shard": 0, "has": { "ranges": [{ "from": "m" }] }, "pods": ["b"] }] } } }"#,
     "shard.by.map[1].shard", "shard 0 is there already, at [0]", false),
    (r#"{ "shard": { "by": { "map": [
        { "shard": 0, "has": { "ranges": [{ "below": "m" }] }, "pods": ["a"] },
        { "shard": 1, "has": { "slots": [{ "first": 0, "last": 1 }] }, "pods": ["b"] }] } } }"#,
     "shard.by.map[1].has", "let all have the same of the two", false),
    // Names of what nobody handed over.
    (r#"{ "own": "yours" }"#, "own", "`yours` is not handed over by the program (those that are: `mine`)", false),
    (r#"{ "routes": { "learnt": "ask" } }"#, "routes.learnt", "by `Handles::routes` and", false),
    (r#"{ "shard": { "by": { "maps": "x" } } }"#, "shard.by.maps", "by `Handles::maps`", false),
    (r#"{ "shard": { "by": { "ordinal": { "shards": { "changing": "x" } } } } }"#,
     "shard.by.ordinal.shards.changing", "by `Handles::shards`", false),
    (r#"{ "shard": { "by": { "label": { "label": "l", "shards": 1, "keys": { "own": "x" } } } } }"#,
     "shard.by.label.keys.own", "by `Handles::sharding`", false),
    (r#"{ "primary-replica": { "by": { "leadership": "x" } } }"#,
     "primary-replica.by.leadership", "by `Handles::leadership`", false),
    (r#"{ "primary-replica": { "by": { "label": "redis" }, "fenced-by": "x" } }"#,
     "primary-replica.fenced-by", "by `Handles::leadership`", false),
    (r#"{ "primary-replica": { "by": { "label": "redis" }, "max-lag": { "limit": "1s", "reported-by": "x" } } }"#,
     "primary-replica.max-lag.reported-by", "by `Handles::lag`", false),
    // Deep inside.
    (r#"{ "ring-hash": { "without-key": { "zone-aware": { "over": { "shard": {
        "by": { "stateful-set": { "shards": 1 } }, "without-key": { "own": "yours" } } } } } } }"#,
     "ring-hash.without-key.zone-aware.over.shard.without-key.own", "is not handed over", false),
];

#[test]
fn the_error_names_the_field_and_says_what_to_do() {
    let mut wrong = Vec::new();
    for (text, path, says, _) in TABLE {
        let error = accept(text).expect_err(text);
        if error.path() != *path || !error.to_string().contains(says) {
            wrong.push(format!("{text}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_text_that_is_not_json_is_refused_with_the_place_in_it() {
    for text in [
        "",
        "{",
        "{ \"random\": {} } x",
        "random",
        "{ \"random\": {} }, {}",
        "\u{0}",
    ] {
        let error = PolicyConfig::from_json(text).expect_err(text);
        assert!(
            error.to_string().contains("at line 1 column"),
            "{text}: {error}"
        );
    }
}

#[test]
fn yaml_is_refused_with_the_field_and_the_place() {
    for (text, path, says) in [
        (
            "zone-aware:\n  over:\n    maglev: {table-size: 0}\n",
            "zone-aware.over.maglev.table-size",
            "0 is out of range: from 1 to 5000011",
        ),
        (
            "zone-aware:\n  over:\n    maglev:\n      table: 7\n",
            "zone-aware.over.maglev.table",
            "unknown field `table`, expected one of",
        ),
        (
            "jump-hash: {bounded-load: .nan}",
            "jump-hash.bounded-load",
            "",
        ),
        (
            "jump-hash: {bounded-load: -.inf}",
            "jump-hash.bounded-load",
            "",
        ),
        (
            "shard:\n  by:\n    map:\n      - shard: 0\n        pods: [a]\n",
            "shard.by.map[0]",
            "missing field `has`",
        ),
        (
            "zone-aware:\n  over: random\n  over: maglev\n",
            "zone-aware",
            "duplicate",
        ),
        ("zone-aware: {over: [", "", ""),
        ("", "", ""),
    ] {
        let error = PolicyConfig::from_yaml(text).expect_err(text);
        let said = error.to_string();
        assert!(
            error.path().starts_with(path) && said.contains(says),
            "{text}: {said}"
        );
        assert!(said.contains("line "), "{text}: {said}");
    }
}

#[test]
fn a_field_twice_is_refused() {
    let error = accept(r#"{ "zone-aware": { "over": "random", "over": "maglev" } }"#).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("zone-aware: duplicate field `over`"),
        "{error}"
    );
}

#[test]
fn a_path_goes_on_in_what_the_policy_is_a_field_of() {
    let of = |text: &str| accept(text).unwrap_err().within("policy").to_string();
    assert!(of(r#"{ "own": "yours" }"#).starts_with("policy.own: "));
    assert!(of("17").starts_with("policy: invalid type"));
}
