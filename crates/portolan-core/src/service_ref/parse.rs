//! Parsing of a [`ServiceRef`], by Kubernetes' own rules for names.

use super::{PortRef, ServiceRef};

const SHAPE: &str = "expected `name[.namespace[.svc[.domain]]][:port]`, such as `orders.shop:http`";
/// RFC 1035 section 2.3.4; Kubernetes holds Services, namespaces and port names to it.
const LABEL_MAX: usize = 63;
/// RFC 1035 section 2.3.4, for the whole name.
const DOMAIN_MAX: usize = 253;

/// Why a text is not a [`ServiceRef`]: what was read, what is wrong with it, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a Service: {problem}; {expected}")]
pub struct ParseServiceRefError {
    text: String,
    problem: String,
    expected: &'static str,
}

impl ParseServiceRefError {
    fn new(text: &str, problem: impl Into<String>, expected: &'static str) -> Self {
        Self {
            // The text may come from anywhere: what is echoed is neither endless nor able to write
            // control characters into a terminal or a log.
            text: text
                .chars()
                .take(200)
                .flat_map(char::escape_debug)
                .collect(),
            problem: problem.into(),
            expected,
        }
    }

    pub(super) fn port_zero(text: &str) -> Self {
        Self::new(
            text,
            "port 0 cannot be connected to",
            "expected a port between 1 and 65535",
        )
    }
}

pub(super) fn service_ref(text: &str) -> Result<ServiceRef, ParseServiceRefError> {
    let (authority, default_port) = match text.split_once("://") {
        Some((scheme, rest)) => strip_url(text, scheme, rest)?,
        None => (text, None),
    };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let service = parse_host(text, host)?;
    Ok(match (port, default_port) {
        (Some(port), _) => service.with_port(parse_port(text, port)?),
        (None, Some(number)) => service.with_port(PortRef::number(number)?),
        (None, None) => service,
    })
}

/// What of a URL names a Service: its authority, and the port that its scheme implies.
fn strip_url<'a>(
    text: &str,
    scheme: &str,
    rest: &'a str,
) -> Result<(&'a str, Option<u16>), ParseServiceRefError> {
    let default_port = match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        // gRPC has no scheme of its own in HTTP and no default port.
        "grpc" | "grpcs" | "tcp" => None,
        _ => {
            return Err(ParseServiceRefError::new(
                text,
                format!("the scheme `{}` is not known", scheme.escape_debug()),
                "expected http, https, ws, wss, grpc, grpcs or tcp",
            ));
        }
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        return Err(ParseServiceRefError::new(
            text,
            "a Service has no path, query or user",
            "expected a URL of scheme, host and port only, such as `http://orders.shop:8080`",
        ));
    }
    Ok((authority, default_port))
}

fn parse_host(text: &str, host: &str) -> Result<ServiceRef, ParseServiceRefError> {
    // A trailing dot is how DNS says that a name is complete.
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut parts = host.splitn(4, '.');
    let name = parts.next().unwrap_or_default();
    service_label(text, name)?;
    let namespace = parts.next();
    if let Some(namespace) = namespace {
        namespace_label(text, namespace)?;
    }
    if let Some(svc) = parts.next().filter(|part| *part != "svc") {
        return Err(ParseServiceRefError::new(
            text,
            format!("`{}` stands where `svc` should", svc.escape_debug()),
            SHAPE,
        ));
    }
    let domain = parts.next();
    if let Some(domain) = domain {
        if domain.len() > DOMAIN_MAX {
            return Err(ParseServiceRefError::new(
                text,
                "the domain is too long",
                "expected at most 253 characters",
            ));
        }
        for part in domain.split('.') {
            label(text, "domain", part, false)?;
        }
    }
    Ok(ServiceRef {
        name: name.into(),
        namespace: namespace.map(Into::into),
        domain: domain.map(Into::into),
        port: None,
        reach: None,
    })
}

fn parse_port(text: &str, port: &str) -> Result<PortRef, ParseServiceRefError> {
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return port_name(text, port);
    }
    match port.parse::<u16>() {
        Ok(0) => Err(ParseServiceRefError::port_zero(text)),
        Ok(number) => PortRef::number(number),
        Err(_) => Err(ParseServiceRefError::new(
            text,
            format!("port {port} does not exist"),
            "expected a port between 1 and 65535",
        )),
    }
}

/// A Service's name: an RFC 1035 label, or since KEP-5311 an RFC 1123 one, which may start with a digit.
pub(super) fn service_label(text: &str, name: &str) -> Result<(), ParseServiceRefError> {
    label(text, "name", name, true)
}

/// A namespace: an RFC 1123 label.
pub(super) fn namespace_label(text: &str, namespace: &str) -> Result<(), ParseServiceRefError> {
    label(text, "namespace", namespace, true)
}

/// A port's name, as Kubernetes validates it for Services: an RFC 1123 label. (RFC 6335's limit of
/// 15 characters and one letter holds for container ports, to which a Service may give another name.)
pub(super) fn port_name(text: &str, port: &str) -> Result<PortRef, ParseServiceRefError> {
    label(text, "port", port, true)?;
    if !port.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(ParseServiceRefError::new(
            text,
            format!("the port `{port}` is neither a number nor a name"),
            "expected a number between 1 and 65535, or a name with at least one letter",
        ));
    }
    Ok(PortRef::Name(port.into()))
}

fn label(text: &str, what: &str, label: &str, shape: bool) -> Result<(), ParseServiceRefError> {
    let expected = if shape {
        SHAPE
    } else {
        "expected labels of lower-case letters, digits and hyphens, with dots between"
    };
    let problem = if label.is_empty() {
        format!("the {what} is empty")
    } else if label.len() > LABEL_MAX {
        format!("the {what} is longer than {LABEL_MAX} characters")
    } else if let Some(odd) = label
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'))
    {
        format!(
            "the {what} holds `{}`, but Kubernetes allows only lower-case letters, digits and hyphens",
            odd.escape_debug()
        )
    } else if label.starts_with('-') || label.ends_with('-') {
        format!("the {what} starts or ends with a hyphen")
    } else {
        return Ok(());
    };
    Err(ParseServiceRefError::new(text, problem, expected))
}
