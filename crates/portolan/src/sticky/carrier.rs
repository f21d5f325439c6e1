//! Where the client has its token: a cookie, or a header.

use std::{borrow::Cow, fmt::Write as _, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{GetAll, SET_COOKIE},
};

use crate::{BuildError, affinity::cookies};

/// Where the client is to have its token, as it was said.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Cookie(SessionCookie),
    Header(Arc<str>),
}

/// Where the client has its token.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    /// Which makes sense.
    Cookie(SessionCookie),
    Header(HeaderName),
}

/// The cookie that holds a session's token, and its scope: who sends it back, where to, and for how long.
///
/// It is always `HttpOnly`: no script has any use for it.
///
/// ```
/// use portolan::sticky::{SameSite, SessionCookie};
/// use std::time::Duration;
///
/// let cookie = SessionCookie::named("__Host-games-pod")
///     .same_site(SameSite::Strict)
///     .max_age(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `Sticky::by_cookie`"]
pub struct SessionCookie {
    name: Arc<str>,
    path: Cow<'static, str>,
    domain: Option<Arc<str>>,
    same_site: SameSite,
    secure: bool,
    max_age: Option<Duration>,
}

/// With which requests from other sites a browser sends the cookie (RFC 6265bis, 5.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameSite {
    /// With none.
    Strict,
    /// When a link from there is followed.
    #[default]
    Lax,
    /// With all. Browsers want such a cookie to be [secure](SessionCookie::secure).
    None,
}

impl From<&str> for SessionCookie {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl SessionCookie {
    /// The cookie of this name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            path: Cow::Borrowed("/"),
            domain: None,
            same_site: SameSite::default(),
            secure: true,
            max_age: None,
        }
    }

    /// Sets the paths that the cookie is for. Default: `/`, all of them.
    pub fn path(mut self, path: &str) -> Self {
        self.path = Cow::Owned(path.into());
        self
    }

    /// Has the cookie sent to all hosts of this domain. Default: to the host that set it, alone.
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets with which requests from other sites it is sent. Default: [`SameSite::Lax`], as browsers have it where nothing
    /// is said.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets whether it is sent over TLS only. Default: it is. Of a site in clear text browsers take no such cookie, but for
    /// `localhost`.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Sets for how long after its last response a client keeps it: each response sets it anew, with a new token. In whole
    /// seconds, and no more than the token's [lifetime](super::Sticky::lifetime), where one is set. Default: until the
    /// browser is closed, and set when the session begins, when it moves, and past half the token's lifetime.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    fn check(&self) -> Result<(), BuildError> {
        let refuse = |setting, value: &dyn ToString, expected| {
            Err(BuildError::Setting {
                setting,
                value: value.to_string(),
                expected,
            })
        };
        let is_value = |text: &str| {
            text.bytes()
                .all(|byte| (0x20..0x7f).contains(&byte) && byte != b';')
        };
        let name = &*self.name;
        // RFC 6265, 4.1.1: a token, which is what the name of a header is.
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return refuse(
                "sticky.cookie",
                &format_args!("{name:?}"),
                "expected the name of a cookie: letters, digits, hyphens and underscores",
            );
        }
        if !self.path.starts_with('/') || !is_value(&self.path) {
            return refuse(
                "sticky.cookie.path",
                &format_args!("{:?}", self.path),
                "expected a path that begins with /, of ASCII and without semicolons",
            );
        }
        if let Some(domain) = &self.domain
            && (domain.is_empty() || domain.contains(' ') || !is_value(domain))
        {
            return refuse(
                "sticky.cookie.domain",
                &format_args!("{domain:?}"),
                "expected the name of a domain",
            );
        }
        if let Some(max_age) = &self.max_age
            && max_age.as_secs() == 0
        {
            return refuse(
                "sticky.cookie.max_age",
                &format_args!("{max_age:?}"),
                "expected a second or more: with less, browsers delete the cookie",
            );
        }
        let is_prefixed = |prefix: &str| {
            let start = name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_hosts = is_prefixed("__Host-");
        if is_hosts && (!self.secure || self.path != "/" || self.domain.is_some()) {
            return refuse(
                "sticky.cookie",
                &name,
                "browsers take a cookie with `__Host-` only if it is secure, for the path / and without a domain",
            );
        }
        if !self.secure && (is_prefixed("__Secure-") || self.same_site == SameSite::None) {
            return refuse(
                "sticky.cookie.secure",
                &self.secure,
                "browsers take a cookie with `__Secure-`, or for all sites, only if it is secure",
            );
        }
        Ok(())
    }

    /// What ends it: a cookie that is over.
    fn forget(&self) -> Option<(HeaderName, HeaderValue)> {
        let over = self.set("", Some(Duration::ZERO));
        Some((SET_COOKIE, HeaderValue::from_str(&over).ok()?))
    }

    fn set(&self, token: &str, max_age: Option<Duration>) -> String {
        let same_site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        let (name, path) = (&self.name, &self.path);
        let mut text = format!("{name}={token}; Path={path}; HttpOnly; SameSite={same_site}");
        // Writing to a string does not fail.
        if self.secure {
            text.push_str("; Secure");
        }
        if let Some(domain) = &self.domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if let Some(max_age) = max_age {
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        text
    }
}

impl Wanted {
    /// The same, if it makes sense.
    pub(super) fn check(&self) -> Result<Carrier, BuildError> {
        Ok(match self {
            Self::Cookie(cookie) => {
                cookie.check()?;
                Carrier::Cookie(cookie.clone())
            }
            Self::Header(name) => Carrier::Header(header_name("sticky.header", name)?),
        })
    }

    pub(super) fn forget(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Cookie(cookie) => cookie.forget(),
            Self::Header(_) => None,
        }
    }
}

impl Carrier {
    pub(super) fn forget(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Cookie(cookie) => cookie.forget(),
            Self::Header(_) => None,
        }
    }

    /// What may be tokens in the head of a request: a browser sends several cookies of a name, where they are for several
    /// paths or domains.
    pub(super) fn tokens<'h>(&'h self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h [u8]> {
        let (cookie, header) = match self {
            Self::Cookie(cookie) => (Some(cookies(headers, &cookie.name)), None),
            Self::Header(name) => (None, Some(headers.get_all(name))),
        };
        let of_headers = |values: GetAll<'h, HeaderValue>| values.into_iter();
        let headers = header.into_iter().flat_map(of_headers);
        let cookies = cookie.into_iter().flatten();
        cookies.chain(headers.map(HeaderValue::as_bytes)).take(MOST)
    }

    /// Puts a token into the head of a response.
    pub(super) fn put(&self, token: &str, headers: &mut HeaderMap) {
        match self {
            Self::Cookie(cookie) => {
                let text = cookie.set(token, cookie.max_age);
                if let Ok(value) = HeaderValue::from_str(&text) {
                    headers.append(SET_COOKIE, value);
                }
            }
            Self::Header(name) => {
                if let Ok(value) = HeaderValue::from_str(token) {
                    headers.insert(name, value);
                }
            }
        }
    }

    /// For how long after each response the client keeps the token, where it is told. Then each response has it.
    pub(super) fn kept_for(&self) -> Option<Duration> {
        match self {
            Self::Cookie(cookie) => cookie.max_age,
            Self::Header(_) => None,
        }
    }
}

/// How many values of a request may be tokens. Each that is signed costs a microsecond.
const MOST: usize = 4;

pub(super) fn header_name(setting: &'static str, name: &str) -> Result<HeaderName, BuildError> {
    let refuse = |expected| BuildError::Setting {
        setting,
        value: format!("{name:?}"),
        expected,
    };
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| refuse("expected the name of a header: letters, digits and hyphens"))?;
    // Those that HTTP itself, or gRPC, goes by; and of gRPC's, those that are in Base64 (`-bin`).
    let name = parsed.as_str();
    let is_taken = TAKEN.contains(&name) || name.starts_with("grpc-") || name.ends_with("-bin");
    match is_taken {
        true => Err(refuse(
            "it means something else already: expected a name of your own, such as x-orders-pod",
        )),
        false => Ok(parsed),
    }
}

/// Headers that would break a request or its response, or give the token away.
const TAKEN: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "host",
    "keep-alive",
    "location",
    "proxy-authorization",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
];
