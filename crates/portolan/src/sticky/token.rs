//! Tokens: the name of a Pod, signed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use portolan_core::Placement;
use sha2::Sha256;

use super::{SigningKey, scope::Scope};

/// What no cookie may hold (RFC 6265, 4.1.1), and what names are escaped by. Names of Pods have none of it.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'\\')
    .add(b'%');

/// The longest token that is looked at: of a name as long as DNS has any, all of which were escaped.
const LONGEST: usize = 1024;

/// The first of these goes before all others in the future.
const VERSION: &str = "1";

/// Signs tokens of one scope, and tells those that it signed.
///
/// A token is `1.`, the name, a dot and the signature in Base64 for URLs. What is signed is the version, the scope and the
/// name, each but the last with a zero byte at its end, which none of them has.
pub(super) struct Seal {
    /// With the version and the scope in it already. The first one signs.
    keys: Box<[Hmac<Sha256>]>,
}

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) placement: Placement,
    /// It was signed with a former key.
    pub(super) is_former: bool,
}

impl Seal {
    pub(super) fn new(scope: Scope<'_>, keys: &[SigningKey]) -> Self {
        let scope = format!("portolan sticky {VERSION}\0{scope}\0");
        let with_scope = |key: &SigningKey| {
            // A key of any length is one (RFC 2104, 2).
            let mut hmac = Hmac::<Sha256>::new_from_slice(key.bytes()).ok()?;
            hmac.update(scope.as_bytes());
            Some(hmac)
        };
        Self {
            keys: keys.iter().filter_map(with_scope).collect(),
        }
    }

    /// A token for this name. `None` where there is no key to sign it with.
    pub(super) fn token(&self, placement: &Placement) -> Option<String> {
        let mut hmac = self.keys.first()?.clone();
        hmac.update(placement.as_str().as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
        let name = utf8_percent_encode(placement.as_str(), ESCAPED);
        Some(format!("{VERSION}.{name}.{signature}"))
    }

    /// What a token says, if this has signed it.
    pub(super) fn open(&self, token: &[u8]) -> Option<Opened> {
        if token.len() > LONGEST {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        let (version, rest) = token.split_once('.')?;
        let (name, signature) = rest.rsplit_once('.')?;
        if version != VERSION {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        let signed_with = self.keys.iter().position(|key| {
            let mut hmac = key.clone();
            hmac.update(name.as_bytes());
            hmac.verify_slice(&signature).is_ok()
        })?;
        Some(Opened {
            placement: Placement::new(&*name),
            is_former: signed_with > 0,
        })
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal(service: &str, keys: &[u8]) -> Seal {
        let (name, namespace) = service.split_once('.').unwrap();
        sealed(Scope::Service { name, namespace }, keys)
    }

    fn sealed(scope: Scope<'_>, keys: &[u8]) -> Seal {
        let keys: Vec<_> = keys
            .iter()
            .map(|byte| SigningKey::new(&[*byte; 32]).unwrap())
            .collect();
        Seal::new(scope, &keys)
    }

    fn opened(seal: &Seal, token: &str) -> Option<(String, bool)> {
        let opened = seal.open(token.as_bytes())?;
        Some((opened.placement.to_string(), opened.is_former))
    }

    #[test]
    fn what_was_signed_is_told_and_by_which_key() {
        let (old, new) = (seal("db.shop", &[1]), seal("db.shop", &[2, 1]));
        let token = old.token(&Placement::new("db-0")).unwrap();
        assert!(token.starts_with("1.db-0."), "{token}");
        assert_eq!(opened(&old, &token), Some(("db-0".into(), false)));
        assert_eq!(opened(&new, &token), Some(("db-0".into(), true)));
        let token = new.token(&Placement::new("db-0")).unwrap();
        assert_eq!(opened(&new, &token), Some(("db-0".into(), false)));
        assert_eq!(opened(&old, &token), None);
    }

    /// Programs of other releases, which have the same key, must agree; so this never changes.
    #[test]
    fn a_token_is_the_same_in_all_releases() {
        let token = seal("db.shop", &[1]).token(&Placement::new("db-0"));
        assert_eq!(
            token.unwrap(),
            "1.db-0.55W0WI7pH7_jj1ejKKYyIqxjW3SyXw-o1yhhgtCzCLE"
        );
    }

    #[test]
    fn a_token_is_for_one_scope() {
        let token = seal("db.shop", &[1]).token(&Placement::new("db-0"));
        let token = token.unwrap();
        for other in ["db.bank", "other.shop", "db-0.shop"] {
            assert_eq!(opened(&seal(other, &[1]), &token), None, "{other}");
        }
        let said = sealed(Scope::Said("db.shop"), &[1]);
        assert_eq!(opened(&said, &token), None);
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_what_a_cookie_may_hold(name in ".{0,80}") {
            let seal = seal("db.shop", &[1]);
            let token = seal.token(&Placement::new(name.as_str())).unwrap();
            let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
            prop_assert!(token.bytes().all(allowed), "{token}");
            prop_assert_eq!(opened(&seal, &token), Some((name, false)));
        }

        #[test]
        fn a_token_with_anything_changed_is_none(at in 0usize..60, byte in any::<u8>()) {
            let seal = seal("db.shop", &[1]);
            let token = seal.token(&Placement::new("db-0")).unwrap().into_bytes();
            let mut forged = token.clone();
            let at = at % forged.len();
            forged[at] = byte;
            // The last digit of 32 bytes in Base64 has two bits that say nothing.
            if forged != token && at + 1 < token.len() {
                prop_assert_eq!(seal.open(&forged), None);
            }
            prop_assert_eq!(seal.open(&token[..at]), None);
        }

        #[test]
        fn nothing_that_comes_in_breaks_it(token in prop::collection::vec(any::<u8>(), 0..2048)) {
            prop_assert_eq!(seal("db.shop", &[1]).open(&token), None);
        }
    }
}
