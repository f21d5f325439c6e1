//! Tokens: the name of a Pod and when that was written, signed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use portolan_core::Placement;
use sha2::Sha256;

use super::{
    SigningKey,
    lifetime::{Age, Lifetime, Moment},
    scope::Scope,
};

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
/// A token is `1.`, the time in seconds since 1970, a dot, the name, a dot and the signature in Base64 for URLs. What is signed is
/// the version, the scope, the time and the name, each but the last with a zero byte at its end, which none of them has.
pub(super) struct Seal {
    /// With the version and the scope in it already. The first one signs.
    keys: Box<[Hmac<Sha256>]>,
    lifetime: Lifetime,
}

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) placement: Placement,
    /// There is to be a new one: it was signed with a former key, or long ago.
    pub(super) is_due: bool,
}

impl Seal {
    pub(super) fn new(scope: Scope<'_>, lifetime: Lifetime, keys: &[SigningKey]) -> Self {
        let scope = format!("portolan sticky {VERSION}\0{scope}\0");
        let with_scope = |key: &SigningKey| {
            // A key of any length is one (RFC 2104, 2).
            let mut hmac = Hmac::<Sha256>::new_from_slice(key.bytes()).ok()?;
            hmac.update(scope.as_bytes());
            Some(hmac)
        };
        Self {
            keys: keys.iter().filter_map(with_scope).collect(),
            lifetime,
        }
    }

    /// A token for this name. `None` where there is no key to sign it with.
    pub(super) fn token(&self, placement: &Placement, now: Moment) -> Option<String> {
        let key = self.keys.first()?;
        let hmac = signed(key, &now.to_string(), placement.as_str());
        let signature = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
        let name = utf8_percent_encode(placement.as_str(), ESCAPED);
        Some(format!("{VERSION}.{now}.{name}.{signature}"))
    }

    /// What a token says, if this has signed it, and it is good yet.
    pub(super) fn open(&self, token: &[u8], now: Moment) -> Option<Opened> {
        if token.len() > LONGEST {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        let (version, rest) = token.split_once('.')?;
        let (time, rest) = rest.split_once('.')?;
        let (name, signature) = rest.rsplit_once('.')?;
        if version != VERSION {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        let signed_with = self.keys.iter().position(|key| {
            let hmac = signed(key, time, &name);
            hmac.verify_slice(&signature).is_ok()
        })?;
        let age = self.lifetime.age(Moment::parse(time)?, now);
        (age != Age::Over).then(|| Opened {
            placement: Placement::new(&*name),
            is_due: signed_with > 0 || age == Age::Old,
        })
    }
}

/// With what this key signs, all of it.
fn signed(key: &Hmac<Sha256>, time: &str, name: &str) -> Hmac<Sha256> {
    let mut hmac = key.clone();
    hmac.update(time.as_bytes());
    hmac.update(b"\0");
    hmac.update(name.as_bytes());
    hmac
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// So many seconds after all tokens here are signed.
    fn at(seconds: u64) -> Moment {
        Moment::parse(&(1_800_000_000 + seconds).to_string()).unwrap()
    }

    fn seal(service: &str, keys: &[u8]) -> Seal {
        let (name, namespace) = service.split_once('.').unwrap();
        sealed(Scope::Service { name, namespace }, keys)
    }

    fn sealed(scope: Scope<'_>, keys: &[u8]) -> Seal {
        let keys: Vec<_> = keys
            .iter()
            .map(|byte| SigningKey::new(&[*byte; 32]).unwrap())
            .collect();
        Seal::new(scope, Lifetime::Limited(HOUR), &keys)
    }

    fn sign(seal: &Seal, name: &str) -> String {
        seal.token(&Placement::new(name), at(0)).unwrap()
    }

    fn opened(seal: &Seal, token: &str) -> Option<(String, bool)> {
        let opened = seal.open(token.as_bytes(), at(1))?;
        Some((opened.placement.to_string(), opened.is_due))
    }

    #[test]
    fn what_was_signed_is_told_and_by_which_key() {
        let (old, new) = (seal("db.shop", &[1]), seal("db.shop", &[2, 1]));
        let token = sign(&old, "db-0");
        assert!(token.starts_with("1.1800000000.db-0."), "{token}");
        assert_eq!(opened(&old, &token), Some(("db-0".into(), false)));
        assert_eq!(opened(&new, &token), Some(("db-0".into(), true)));
        let token = sign(&new, "db-0");
        assert_eq!(opened(&new, &token), Some(("db-0".into(), false)));
        assert_eq!(opened(&old, &token), None);
    }

    /// Programs of other releases, which have the same key, must agree; so this never changes.
    #[test]
    fn a_token_is_the_same_in_all_releases() {
        assert_eq!(
            sign(&seal("db.shop", &[1]), "db-0"),
            "1.1800000000.db-0.lrcFsVh_j9PCr0fCvTyuX6LRodwouwePyv8ARFATNIo"
        );
    }

    #[test]
    fn a_token_is_for_one_scope() {
        let token = sign(&seal("db.shop", &[1]), "db-0");
        for other in ["db.bank", "other.shop", "db-0.shop"] {
            assert_eq!(opened(&seal(other, &[1]), &token), None, "{other}");
        }
        let said = sealed(Scope::Said("db.shop"), &[1]);
        assert_eq!(opened(&said, &token), None);
    }

    #[test]
    fn a_token_is_due_past_half_its_life_and_ends() {
        let seal = seal("db.shop", &[1]);
        let token = sign(&seal, "db-0");
        let is_due = |seconds| Some(seal.open(token.as_bytes(), at(seconds))?.is_due);
        assert_eq!(is_due(1800), Some(false));
        assert_eq!(is_due(1801), Some(true));
        assert_eq!(is_due(3600), None);
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_what_a_cookie_may_hold(name in ".{0,80}") {
            let seal = seal("db.shop", &[1]);
            let token = sign(&seal, &name);
            let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
            prop_assert!(token.bytes().all(allowed), "{token}");
            prop_assert_eq!(opened(&seal, &token), Some((name, false)));
        }

        #[test]
        fn a_token_with_anything_changed_is_none(place in 0usize..80, byte in any::<u8>()) {
            let seal = seal("db.shop", &[1]);
            let token = sign(&seal, "db-0").into_bytes();
            let mut forged = token.clone();
            let place = place % forged.len();
            forged[place] = byte;
            if forged != token {
                prop_assert_eq!(seal.open(&forged, at(1)), None);
            }
            prop_assert_eq!(seal.open(&token[..place], at(1)), None);
        }

        #[test]
        fn nothing_that_comes_in_breaks_it(token in prop::collection::vec(any::<u8>(), 0..2048)) {
            prop_assert_eq!(seal("db.shop", &[1]).open(&token, at(1)), None);
        }
    }
}
