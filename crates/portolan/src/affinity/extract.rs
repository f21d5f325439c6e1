//! Where in a request something is to be found.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{
    HeaderMap,
    header::{COOKIE, HeaderName},
};

use super::Head;
use crate::{BuildError, Key};

/// Where in a request something is to be found: a key, or the name of a Pod.
#[derive(Clone)]
#[must_use = "it does nothing until an affinity has it"]
pub struct Extract {
    find: Arc<Find>,
    described: Arc<str>,
    /// The name of a header that is none.
    mistake: Option<Arc<str>>,
}

type Find = dyn for<'r> Fn(&Head<'r>) -> Option<Key<'r>> + Send + Sync;

/// The value of a header; with gRPC, of a call's metadata.
///
/// Of one that comes several times, the values are joined by commas, which means the same (RFC 9110, 5.3) and is
/// what gRPC's ring hash does (gRFC A76). A gRPC key whose name ends with `-bin` is decoded from Base64.
///
/// What is no name of a header is an error of the client's `build`.
pub fn header(name: &str) -> Extract {
    let parsed: Result<HeaderName, _> = name.to_ascii_lowercase().try_into();
    let described = format!("the header {name}");
    match parsed {
        Ok(name) => Extract::new(described, move |head| from_header(head, &name)),
        Err(_) => Extract {
            mistake: Some(name.into()),
            ..Extract::new(described, |_| None)
        },
    }
}

/// The value of a cookie, as it is sent: the first of this name.
pub fn cookie(name: impl Into<String>) -> Extract {
    let name = name.into();
    Extract::new(format!("the cookie {name}"), move |head| {
        cookies(head.headers(), &name).next().map(Key::from)
    })
}

/// The values of all cookies of this name.
pub(crate) fn cookies<'h, 'n>(
    headers: &'h HeaderMap,
    name: &'n str,
) -> impl Iterator<Item = &'h [u8]> + use<'h, 'n> {
    let lines = headers.get_all(COOKIE).into_iter();
    // RFC 6265, 4.2.1, and with the leniency of 5.4's readers: spaces round a pair do not count.
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let rest = pair.strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    })
}

/// A segment of the path, counted from 0: of `/tenants/7/orders`, 1 is `7`. Percent-decoded; an empty one
/// counts as not being there.
pub fn path_segment(index: usize) -> Extract {
    Extract::new(format!("segment {index} of the path"), move |head| {
        let path = head.path();
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let segment = segments.nth(index).filter(|segment| !segment.is_empty())?;
        Some(Cow::from(percent_encoding::percent_decode_str(segment)).into())
    })
}

/// The value of a parameter in the query, decoded as a form's (`+` is a space): the first of this name.
pub fn query(name: impl Into<String>) -> Extract {
    let name = name.into();
    Extract::new(format!("the query's {name}"), move |head| {
        let mut pairs = form_urlencoded::parse(head.query()?.as_bytes());
        let (_, value) = pairs.find(|(one, _)| *one == name)?;
        Some(value.into())
    })
}

/// What the caller has attached to the request, of type `T`; `key` says which bytes of it are meant.
///
/// ```
/// use portolan::affinity::extension;
///
/// #[derive(Clone)]
/// struct Tenant(String);
/// let by_tenant = extension(|tenant: &Tenant| tenant.0.as_str().into());
/// ```
pub fn extension<T: Send + Sync + 'static>(
    key: impl for<'t> Fn(&'t T) -> Key<'t> + Send + Sync + 'static,
) -> Extract {
    let described = format!("the extension {}", std::any::type_name::<T>());
    Extract::new(described, move |head| head.extension().map(&key))
}

/// Wherever the closure finds it.
///
/// ```
/// use portolan::affinity::key_by;
///
/// // The part of the host before the first dot.
/// let by_subdomain = key_by(|head| {
///     let host = head.headers().get(http::header::HOST)?.to_str().ok()?;
///     Some(host.split('.').next()?.into())
/// });
/// ```
pub fn key_by(
    find: impl for<'r> Fn(&Head<'r>) -> Option<Key<'r>> + Send + Sync + 'static,
) -> Extract {
    Extract::new("a closure", find)
}

impl Extract {
    fn new(
        described: impl Into<Arc<str>>,
        find: impl for<'r> Fn(&Head<'r>) -> Option<Key<'r>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            find: Arc::new(find),
            described: described.into(),
            mistake: None,
        }
    }

    /// Where this finds nothing, whatever the other one finds.
    pub fn or(self, other: Self) -> Self {
        let described = format!("{}, or {}", self.described, other.described);
        let (first, second) = (self.find, other.find);
        Self {
            mistake: self.mistake.or(other.mistake),
            ..Self::new(described, move |head| first(head).or_else(|| second(head)))
        }
    }

    pub(super) fn find<'r>(&self, head: &Head<'r>) -> Option<Key<'r>> {
        (self.find)(head)
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        match &self.mistake {
            None => Ok(()),
            Some(name) => Err(BuildError::Setting {
                setting: "affinity",
                value: format!("header({name:?})"),
                expected: "expected the name of a header: letters, digits and hyphens",
            }),
        }
    }
}

impl fmt::Debug for Extract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extract({})", self.described)
    }
}

fn from_header<'r>(head: &Head<'r>, name: &HeaderName) -> Option<Key<'r>> {
    let is_binary = name.as_str().ends_with("-bin");
    let mut values = head.headers().get_all(name).into_iter();
    let decoded = |value: &'r http::HeaderValue| match is_binary {
        true => from_base64(value.as_bytes()),
        false => Cow::Borrowed(value.as_bytes()),
    };
    let first = decoded(values.next()?);
    let mut rest = values.map(decoded).peekable();
    if rest.peek().is_none() {
        return Some(first.into());
    }
    let mut joined = first.into_owned();
    for value in rest {
        joined.push(b',');
        joined.extend_from_slice(&value);
    }
    Some(joined.into())
}

/// The bytes of a binary value, or, where it is none, of what was sent in its place.
fn from_base64(value: &[u8]) -> Cow<'_, [u8]> {
    use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
    // gRPC sends no padding, and takes it (PROTOCOL-HTTP2.md).
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    match LENIENT.decode(value) {
        Ok(bytes) => Cow::Owned(bytes),
        Err(_) => Cow::Borrowed(value),
    }
}
