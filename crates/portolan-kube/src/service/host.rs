//! Names that DNS can be asked for.

use std::{fmt, net::IpAddr, sync::Arc};

/// A DNS name, in lower case and without the final dot.
///
/// The API server takes `10.0.0.1` for the name of an alias, and an empty one from before its checks; asked
/// for either, DNS knows nothing, and nobody would say why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HostName(Arc<str>);

impl HostName {
    /// The name, where the text is one (RFC 1123, 2.1): labels of at most 63 letters, digits and hyphens,
    /// 253 characters in all, and no IP address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name = name.len() <= 253
            && name.parse::<IpAddr>().is_err()
            && name.split('.').all(is_label)
            // An address that is written wrongly is none either: no top-level domain is a number.
            && !name.rsplit('.').next().is_some_and(is_number);
        is_name.then(|| Self(name.to_ascii_lowercase().into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    matches!(label.len(), 1..=63)
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (text, name) in [
            ("db.example.com", "db.example.com"),
            ("DB.Example.com.", "db.example.com"),
            ("localhost", "localhost"),
            ("3com.net", "3com.net"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(HostName::parse(text).unwrap().as_str(), name);
        }
        let long = format!("{}.example.com", "x".repeat(64));
        let longer = "x.".repeat(127) + "com";
        for text in [
            "",
            ".",
            "..",
            "db..com",
            "10.0.0.1",
            "10.0.0.1.",
            "10.0.0.256",
            "fd00::1",
            "[::1]",
            "a b",
            "db.example.com:443",
            "https://db",
            "-a.com",
            "a-.com",
            "db.example.com\n",
            "dß.com",
            &long,
            &longer,
        ] {
            assert_eq!(HostName::parse(text), None, "{text:?}");
        }
    }
}
