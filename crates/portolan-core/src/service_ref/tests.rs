use proptest::prelude::*;

use super::{PortRef, ServiceRef};

fn parsed(text: &str) -> ServiceRef {
    text.parse().unwrap()
}

fn error(text: &str) -> String {
    text.parse::<ServiceRef>().unwrap_err().to_string()
}

#[test]
fn reads_every_form() {
    for (text, name, namespace, domain, port) in [
        ("db", "db", None, None, None),
        ("db:5432", "db", None, None, Some("5432")),
        ("db.shop", "db", Some("shop"), None, None),
        ("db.shop.svc:pg", "db", Some("shop"), None, Some("pg")),
        (
            "db.shop.svc.cluster.local",
            "db",
            Some("shop"),
            Some("cluster.local"),
            None,
        ),
        (
            "db.shop.svc.cluster.local.:1",
            "db",
            Some("shop"),
            Some("cluster.local"),
            Some("1"),
        ),
        ("http://db.shop", "db", Some("shop"), None, Some("80")),
        ("https://db.shop/", "db", Some("shop"), None, Some("443")),
        (
            "grpc://db.shop:grpc",
            "db",
            Some("shop"),
            None,
            Some("grpc"),
        ),
        ("grpc://db", "db", None, None, None),
        ("1st.shop", "1st", Some("shop"), None, None),
    ] {
        let service = parsed(text);
        assert_eq!(service.name(), name, "{text}");
        assert_eq!(service.namespace(), namespace, "{text}");
        assert_eq!(service.domain(), domain, "{text}");
        assert_eq!(
            service.port().map(ToString::to_string).as_deref(),
            port,
            "{text}"
        );
    }
}

#[test]
fn says_what_is_wrong_and_what_was_expected() {
    for (text, problem) in [
        ("", "the name is empty"),
        (".shop", "the name is empty"),
        ("db.", "db"),
        ("Db", "`D`"),
        ("db_1", "`_`"),
        ("-db", "hyphen"),
        ("db.shop.pod", "`pod` stands where `svc` should"),
        ("db:", "the port is empty"),
        ("db:0", "port 0 cannot be connected to"),
        ("db:65536", "port 65536 does not exist"),
        ("db:99999999999999999999", "does not exist"),
        ("db:1-2", "neither a number nor a name"),
        ("ftp://db", "the scheme `ftp` is not known"),
        ("http://db/path", "no path, query or user"),
        ("http://me@db", "no path, query or user"),
        ("db:http:80", "`:`"),
        ("[::1]:80", "`[`"),
    ] {
        if text == "db." {
            assert_eq!(parsed(text).name(), problem);
            continue;
        }
        let said = error(text);
        assert!(said.contains(problem), "{text}: {said}");
        assert!(said.contains("expected"), "{text}: {said}");
    }
}

#[test]
fn hostile_text_is_neither_echoed_whole_nor_raw() {
    let said = error(&format!("\u{1b}[2J{}", "x".repeat(10_000)));
    assert!(said.len() < 1_000);
    assert!(!said.contains('\u{1b}'));
}

#[test]
fn a_namespace_is_filled_in_only_where_none_was_written() {
    assert_eq!(
        parsed("db").or_namespace("shop").unwrap().namespace(),
        Some("shop")
    );
    assert_eq!(
        parsed("db.a").or_namespace("b").unwrap().namespace(),
        Some("a")
    );
    assert!(parsed("db").or_namespace("B").is_err());
}

proptest! {
    #[test]
    fn what_is_displayed_parses_to_the_same(
        name in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
        namespace in proptest::option::of("[a-z]{1,10}"),
        port in proptest::option::of(1u16..),
    ) {
        let mut text = name;
        if let Some(namespace) = &namespace {
            text = format!("{text}.{namespace}");
        }
        let mut service = parsed(&text);
        if let Some(port) = port {
            service = service.with_port(PortRef::number(port).unwrap());
        }
        prop_assert_eq!(parsed(&service.to_string()), service);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = text.parse::<ServiceRef>();
    }
}
