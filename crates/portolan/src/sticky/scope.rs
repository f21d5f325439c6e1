//! What a token is good for: one Service, or what its user says.

use std::fmt;

use portolan_core::ServiceRef;

use crate::{BalancerBuilder, BuildError};

/// What a token is good for. There is none without a namespace, in which `orders` would be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// The Service of this name in this namespace.
    Service { name: &'a str, namespace: &'a str },
    /// What the user says that it is.
    Said(&'a str),
}

/// No name of anything that is written down is longer.
const LONGEST: usize = 253;

impl<'a> Scope<'a> {
    /// What was said, or else the Service that is balanced.
    pub(super) fn of(
        balancer: &'a BalancerBuilder,
        said: Option<&'a str>,
    ) -> Result<Self, BuildError> {
        match said {
            Some(said) => Self::said(said),
            None => Self::service(balancer.service_ref(), balancer.home()),
        }
    }

    fn service(service: &'a ServiceRef, home: Option<&'a str>) -> Result<Self, BuildError> {
        let namespace = service.namespace().or(home);
        let namespace = namespace.ok_or_else(|| BuildError::Setting {
            setting: "sticky.scope",
            value: format!("that of `{service}`, whose namespace is not known"),
            expected: "Services of that name in all namespaces would take each other's sessions; write \
                       `name.namespace`, or say with `Sticky::scope` what the tokens are for",
        })?;
        let name = service.name();
        Ok(Self::Service { name, namespace })
    }

    fn said(scope: &'a str) -> Result<Self, BuildError> {
        let is_sound = (1..=LONGEST).contains(&scope.len()) && !scope.contains(char::is_control);
        match is_sound {
            true => Ok(Self::Said(scope)),
            false => Err(BuildError::Setting {
                setting: "sticky.scope",
                value: format!("{scope:?}"),
                expected: "expected 1 to 253 bytes of text, without control characters",
            }),
        }
    }
}

/// As it is signed: no two are the same, since no Service's name begins as the second does.
impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { name, namespace } => write!(f, "{name}.{namespace}"),
            Self::Said(scope) => write!(f, "={scope}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_a_namespace_is_in_the_clients_own_or_in_none() {
        let in_shop = ServiceRef::new("orders", "shop").unwrap();
        let bare: ServiceRef = "orders:http".parse().unwrap();
        let shop = Scope::service(&in_shop, None).unwrap();
        assert_eq!(Scope::service(&bare, Some("shop")).unwrap(), shop);
        assert_eq!(Scope::service(&in_shop, Some("bank")).unwrap(), shop);
        assert_ne!(Scope::service(&bare, Some("bank")).unwrap(), shop);
        let error = Scope::service(&bare, None).unwrap_err().to_string();
        assert!(error.contains("`orders:http`"), "{error}");
        assert!(error.contains("Sticky::scope"), "{error}");
    }

    #[test]
    fn what_is_said_is_never_the_same_as_a_service() {
        let service = ServiceRef::new("orders", "shop").unwrap();
        let service = Scope::service(&service, None).unwrap();
        let said = Scope::said("orders.shop").unwrap();
        assert_ne!(said.to_string(), service.to_string());
        for odd in ["", "a\0b", "a\nb", &"x".repeat(254)] {
            assert!(Scope::said(odd).is_err(), "{odd:?}");
        }
    }
}
