//! What the user asks for: one Service, and one of its ports.

mod parse;

use std::{fmt, num::NonZeroU16, str::FromStr, sync::Arc};

pub use parse::ParseServiceRefError;

use crate::Reach;

/// The name of a Service and of the port that is wanted, parsed once.
///
/// Written `name[.namespace[.svc[.domain]]][:port]`, with the port by name or by number, or as a URL
/// of which only scheme, host and port count:
///
/// ```
/// use portolan_core::{PortRef, ServiceRef};
///
/// let orders: ServiceRef = "orders.shop:http".parse()?;
/// assert_eq!(orders.name(), "orders");
/// assert_eq!(orders.namespace(), Some("shop"));
/// assert_eq!(orders.port(), Some(&PortRef::named("http")?));
///
/// // The scheme of a URL says the port where the URL does not.
/// let db: ServiceRef = "https://db.shop.svc.cluster.local".parse()?;
/// assert_eq!(db.domain(), Some("cluster.local"));
/// assert_eq!(db.port(), Some(&PortRef::number(443)?));
///
/// let wrong = "shop/orders".parse::<ServiceRef>().unwrap_err();
/// assert!(wrong.to_string().contains("expected `name[.namespace[.svc[.domain]]][:port]`"));
/// # Ok::<(), portolan_core::ParseServiceRefError>(())
/// ```
///
/// Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceRef {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    domain: Option<Arc<str>>,
    port: Option<PortRef>,
    reach: Option<Reach>,
}

/// A port of a Service: by its name, or by the number under which the Service offers it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PortRef {
    /// `spec.ports[].name`.
    Name(Arc<str>),
    /// `spec.ports[].port`: the Service's number, not necessarily the one that the Pod listens on.
    Number(NonZeroU16),
}

impl ServiceRef {
    /// The Service `name` in `namespace`, any port.
    ///
    /// # Errors
    /// Where either is not a DNS label (RFC 1035, RFC 1123), which is all that Kubernetes allows.
    pub fn new(name: &str, namespace: &str) -> Result<Self, ParseServiceRefError> {
        parse::service_label(name, name)?;
        parse::namespace_label(namespace, namespace)?;
        Ok(Self {
            name: name.into(),
            namespace: Some(namespace.into()),
            domain: None,
            port: None,
            reach: None,
        })
    }

    /// The same Service with this port.
    #[must_use]
    pub fn with_port(mut self, port: PortRef) -> Self {
        self.port = Some(port);
        self
    }

    /// The same Service, to be reached in this way, and no other.
    ///
    /// Where none is asked for, a source chooses what a client can reach: the Pods, wherever it can.
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    /// The same Service, in `namespace` where none was written.
    ///
    /// # Errors
    /// Where `namespace` is not a DNS label.
    pub fn or_namespace(mut self, namespace: &str) -> Result<Self, ParseServiceRefError> {
        if self.namespace.is_none() {
            parse::namespace_label(namespace, namespace)?;
            self.namespace = Some(namespace.into());
        }
        Ok(self)
    }

    /// The Service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace, where one was written. Without one a source uses its own.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The cluster's DNS domain, where one was written.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The port, where one was written. Without one, a Service must have a single port.
    #[must_use]
    pub fn port(&self) -> Option<&PortRef> {
        self.port.as_ref()
    }

    /// In which way it is to be reached, where that was asked for.
    #[must_use]
    pub fn reach(&self) -> Option<Reach> {
        self.reach
    }

    /// The host that a client would write in a URL: `name`, `name.namespace` or, where a domain is
    /// known, `name.namespace.svc.domain`. It is what the TLS certificate of the Service names.
    #[must_use]
    pub fn host(&self) -> String {
        match (&self.namespace, &self.domain) {
            (Some(namespace), Some(domain)) => format!("{}.{namespace}.svc.{domain}", self.name),
            (Some(namespace), None) => format!("{}.{namespace}", self.name),
            (None, _) => self.name.to_string(),
        }
    }
}

impl PortRef {
    /// A port by name.
    ///
    /// # Errors
    /// Where `name` is not what Kubernetes allows as a port's name: at most 63 lower-case letters,
    /// digits and hyphens, neither first nor last a hyphen, and at least one letter.
    pub fn named(name: &str) -> Result<Self, ParseServiceRefError> {
        parse::port_name(name, name)
    }

    /// A port by number.
    ///
    /// # Errors
    /// Where `number` is 0.
    pub fn number(number: u16) -> Result<Self, ParseServiceRefError> {
        NonZeroU16::new(number)
            .map(Self::Number)
            .ok_or_else(|| ParseServiceRefError::port_zero("0"))
    }
}

impl FromStr for ServiceRef {
    type Err = ParseServiceRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::service_ref(text)
    }
}

impl TryFrom<&str> for ServiceRef {
    type Error = ParseServiceRefError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<&String> for ServiceRef {
    type Error = ParseServiceRefError;

    fn try_from(text: &String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for ServiceRef {
    type Error = ParseServiceRefError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host())?;
        match &self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceRef({self})")
    }
}

#[cfg(test)]
mod tests;
