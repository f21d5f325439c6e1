//! Making a request fit for the connection: whom it names, and in which form.
//!
//! A request names the Service, never the endpoint: certificates, virtual hosts and logs of the server
//! go by that name. What the caller has set (a Host header, an authority in the URI) stays.

use http::{
    HeaderValue, Method, Uri, Version,
    header::HOST,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

/// Whom requests are for that do not say it themselves.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
}

impl Target {
    pub(crate) fn new(scheme: Scheme, authority: Authority) -> Self {
        let host = host_header(&authority);
        Self {
            scheme,
            authority,
            host,
        }
    }

    /// The same by another name.
    pub(super) fn named(&self, authority: Authority) -> Self {
        Self::new(self.scheme.clone(), authority)
    }

    /// The same without TLS.
    pub(super) fn in_clear_text(&self) -> Self {
        Self::new(Scheme::HTTP, self.authority.clone())
    }

    /// HTTP/1.1: the path alone, and a Host header (RFC 9112, 3.2).
    pub(super) fn prepare_http1(&self, head: &mut Parts) {
        if head.version != Version::HTTP_10 {
            head.version = Version::HTTP_11;
        }
        if !head.headers.contains_key(HOST) {
            let host = match head.uri.authority() {
                Some(authority) => host_header(authority),
                None => self.host.clone(),
            };
            head.headers.insert(HOST, host);
        }
        if head.method != Method::CONNECT && head.uri.authority().is_some() {
            head.uri = origin_form(&head.uri);
        }
    }

    /// HTTP/2: scheme, authority and path, and no Host header (RFC 9113, 8.3.1).
    pub(super) fn prepare_http2(&self, head: &mut Parts) {
        head.version = Version::HTTP_2;
        let named = head.headers.remove(HOST);
        if head.method == Method::CONNECT {
            return;
        }
        let named = named.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let complete = named.is_none()
            && head.uri.authority().is_some_and(|one| !has_user(one))
            && head.uri.scheme() == Some(&self.scheme);
        if complete {
            return;
        }
        let mut uri = std::mem::take(&mut head.uri).into_parts();
        let authority = named.or(uri.authority).unwrap_or(self.authority.clone());
        uri.authority = Some(without_user(authority));
        uri.scheme = Some(self.scheme.clone());
        uri.path_and_query
            .get_or_insert_with(|| PathAndQuery::from_static("/"));
        // All three are there, so it cannot fail.
        head.uri = Uri::from_parts(uri).unwrap_or_default();
    }
}

fn host_header(authority: &Authority) -> HeaderValue {
    // An authority is made of characters that a header may hold.
    HeaderValue::from_str(host_and_port(authority)).unwrap_or(HeaderValue::from_static(""))
}

/// Neither protocol sends the user on (RFC 9110, 7.2; RFC 9113, 8.3.1).
fn without_user(authority: Authority) -> Authority {
    if has_user(&authority) {
        host_and_port(&authority).parse().unwrap_or(authority)
    } else {
        authority
    }
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

fn host_and_port(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .map_or_else(Uri::default, |path| Uri::from(path.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str) -> Parts {
        http::Request::get(uri).body(()).unwrap().into_parts().0
    }

    fn target() -> Target {
        Target::new(Scheme::HTTP, Authority::from_static("orders.shop"))
    }

    fn http1(mut head: Parts) -> (String, String) {
        target().prepare_http1(&mut head);
        let host = head.headers[HOST].to_str().unwrap().to_owned();
        (head.uri.to_string(), host)
    }

    fn http2(mut head: Parts) -> String {
        target().prepare_http2(&mut head);
        assert!(!head.headers.contains_key(HOST));
        assert_eq!(head.version, Version::HTTP_2);
        head.uri.to_string()
    }

    #[test]
    fn the_service_is_named_where_the_request_names_nobody() {
        assert_eq!(http1(head("/a?b")), ("/a?b".into(), "orders.shop".into()));
        assert_eq!(http2(head("/a?b")), "http://orders.shop/a?b");
    }

    #[test]
    fn the_uri_names_it_where_it_does() {
        let uri = "http://user:secret@orders:8080/a";
        assert_eq!(http1(head(uri)), ("/a".into(), "orders:8080".into()));
        assert_eq!(http2(head(uri)), "http://orders:8080/a");
        assert_eq!(http1(head("http://orders")), ("/".into(), "orders".into()));
    }

    #[test]
    fn a_host_header_names_it_before_all() {
        let mut head = head("http://orders:8080/a");
        head.headers
            .insert(HOST, HeaderValue::from_static("tenant.example"));
        assert_eq!(http1(head.clone()), ("/a".into(), "tenant.example".into()));
        assert_eq!(http2(head), "http://tenant.example/a");
    }

    #[test]
    fn the_scheme_is_the_connections_own() {
        assert_eq!(http2(head("https://orders/a")), "http://orders/a");
    }

    #[test]
    fn what_was_prepared_for_one_protocol_is_right_for_the_other() {
        let mut first = head("http://orders:8080/a");
        target().prepare_http1(&mut first);
        assert_eq!(http2(first), "http://orders:8080/a");
        let mut second = head("http://orders:8080/a");
        target().prepare_http2(&mut second);
        assert_eq!(http1(second), ("/a".into(), "orders:8080".into()));
    }

    #[test]
    fn asterisk_form_stays() {
        let mut head = head("*");
        head.method = Method::OPTIONS;
        assert_eq!(http1(head).0, "*");
    }
}
