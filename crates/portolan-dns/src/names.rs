//! The complete names under which DNS knows a Service.

use hickory_resolver::proto::rr::Name;
use portolan_core::{PortRef, ServiceRef, SourceError, SourceErrorKind};

use crate::Error;

/// The longest name as people write it, without the final dot (RFC 1035 section 2.3.4).
const LONGEST: usize = 253;

/// A name with its final dot, whether it was written with one or not.
fn complete(text: &str) -> Result<Name, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.is_empty() {
        return Err("it is empty".into());
    }
    if bare.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let mut name = Name::from_str_relaxed(bare).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

/// The domain that a cluster keeps its Services in.
pub(crate) fn domain(text: &str) -> Result<Name, Error> {
    complete(text).map_err(|cause| Error::InvalidDomain {
        domain: text.chars().take(200).collect(),
        cause: cause.into(),
    })
}

/// The name of some host.
pub(crate) fn host(text: &str) -> Result<Name, SourceError> {
    complete(text).map_err(|problem| {
        let text: String = text
            .chars()
            .take(200)
            .flat_map(char::escape_debug)
            .collect();
        invalid(format!(
            "`{text}` is no host: {problem}; expected a DNS name such as `db.example.com`, or an address"
        ))
    })
}

/// `name.namespace.svc.domain.`
pub(crate) fn service(
    service: &ServiceRef,
    namespace: Option<&str>,
    domain: &Name,
) -> Result<Name, SourceError> {
    let Some(namespace) = service.namespace().or(namespace) else {
        return Err(invalid(format!(
            "`{service}` names no namespace, and this program's own is not known, as it does not run \
             in a Pod; write `{}.NAMESPACE`, or set one with `Dns::with_namespace`",
            service.name()
        )));
    };
    let domain = match service.domain() {
        Some(written) => written.to_owned(),
        None => domain.to_ascii(),
    };
    let text = format!("{}.{namespace}.svc.{domain}", service.name());
    complete(&text).map_err(|problem| {
        invalid(format!(
            "Service `{service}` cannot be asked for: {problem}"
        ))
    })
}

/// `_port._tcp.name.namespace.svc.domain.`, the name of a port's SRV records.
pub(crate) fn port(service: &Name, port: &str) -> Result<Name, SourceError> {
    complete(&format!("_{port}._tcp.{service}")).map_err(|problem| {
        invalid(format!(
            "port `{port}` of `{service}` cannot be asked for: {problem}"
        ))
    })
}

/// The label under which `name` stands right below `service`: `db-0` of `db-0.db.shop.svc…`.
pub(crate) fn label_below(name: &Name, service: &Name) -> Option<String> {
    let below = name.num_labels() == service.num_labels() + 1 && service.zone_of(name);
    let label = name.iter().next().filter(|_| below)?;
    Some(String::from_utf8_lossy(label).to_ascii_lowercase())
}

/// What a port is, in the words of people.
pub(crate) fn port_for_people(port: Option<&PortRef>) -> String {
    port.map(|port| format!(":{port}")).unwrap_or_default()
}

pub(crate) fn invalid(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, namespace: Option<&str>) -> Result<Name, SourceError> {
        service(
            &text.parse().unwrap(),
            namespace,
            &domain("cluster.local").unwrap(),
        )
    }

    #[test]
    fn names_are_complete_whatever_was_left_out() {
        let expected = "db.shop.svc.cluster.local.";
        for text in ["db.shop", "db.shop.svc", "db.shop.svc.cluster.local"] {
            assert_eq!(named(text, Some("other")).unwrap().to_ascii(), expected);
        }
        assert_eq!(named("db", Some("shop")).unwrap().to_ascii(), expected);
        let elsewhere = named("db.shop.svc.example.org:http", None).unwrap();
        assert_eq!(elsewhere.to_ascii(), "db.shop.svc.example.org.");
        assert!(elsewhere.is_fqdn());
        let srv = port(&elsewhere, "http").unwrap();
        assert_eq!(srv.to_ascii(), "_http._tcp.db.shop.svc.example.org.");
        assert!(srv.is_fqdn());
    }

    #[test]
    fn without_any_namespace_it_says_what_to_do() {
        let error = named("db", None).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Invalid);
        assert!(
            error.to_string().contains("write `db.NAMESPACE`"),
            "{error}"
        );
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let long = ["abcdefghi"; 25].join(".");
        let error = named(&format!("db.shop.svc.{long}"), None).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Invalid);
        assert!(error.to_string().contains("longer than 253"), "{error}");
        let fits = named(&format!("db.shop.svc.{}", &long[..240]), None).unwrap();
        let error = port(&fits, "http").unwrap_err();
        assert!(error.to_string().contains("longer than 253"), "{error}");
    }

    #[test]
    fn hosts_are_names_with_or_without_the_final_dot() {
        assert_eq!(
            host("db.example.com").unwrap(),
            host("db.example.com.").unwrap()
        );
        for wrong in ["", ".", "a..b", "white space.com", &"x".repeat(64)] {
            let error = host(wrong).unwrap_err();
            assert_eq!(error.kind(), SourceErrorKind::Invalid, "{wrong}");
        }
    }

    #[test]
    fn only_a_name_right_below_the_service_has_a_label_there() {
        let service = host("db.shop.svc.cluster.local").unwrap();
        let label = |name| label_below(&host(name).unwrap(), &service);
        assert_eq!(
            label("DB-0.db.shop.svc.cluster.local").as_deref(),
            Some("db-0")
        );
        assert_eq!(label("db.shop.svc.cluster.local"), None);
        assert_eq!(label("a.b.db.shop.svc.cluster.local"), None);
        assert_eq!(label("db-0.example.com"), None);
    }

    #[test]
    fn a_domain_that_is_none_is_refused() {
        for wrong in ["", ".", "a..b"] {
            assert!(
                matches!(domain(wrong), Err(Error::InvalidDomain { .. })),
                "{wrong}"
            );
        }
    }
}
