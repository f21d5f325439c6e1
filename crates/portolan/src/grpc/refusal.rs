//! Statuses that say that an endpoint cannot serve a call now, and another might.

use std::time::Duration;

use http::HeaderMap;

use super::status::Code;
use crate::{
    Refusal,
    http::{endpoint::Response, refusal},
    retry::Pushback,
};

/// Whether a call was ended at once with UNAVAILABLE (gRFC A6, "trailers-only"), or by somebody who speaks no gRPC.
pub(super) fn refused(response: &Response) -> Option<Refusal> {
    let headers = response.headers();
    let code = match Code::of(headers) {
        Some(code) => code,
        None => return refusal::refusal(response.status(), headers),
    };
    let refusal = || Refusal::new("it answered UNAVAILABLE").with_pushback(pushback(headers));
    (code == Code::UNAVAILABLE).then(refusal)
}

/// What the server says of when to try again (gRFC A6, "Pushback"): what is negative, or no number, is not at all.
fn pushback(headers: &HeaderMap) -> Pushback {
    let Some(said) = headers.get("grpc-retry-pushback-ms") else {
        return Pushback::Unsaid;
    };
    let millis = said.to_str().ok().and_then(|said| said.parse().ok());
    millis.map_or(Pushback::Never, |millis| {
        Pushback::After(Duration::from_millis(millis))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn pushback_is_milliseconds_and_anything_else_is_never() {
        let said = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-retry-pushback-ms", HeaderValue::from_static(text));
            pushback(&headers)
        };
        assert_eq!(pushback(&HeaderMap::new()), Pushback::Unsaid);
        assert_eq!(said("250"), Pushback::After(Duration::from_millis(250)));
        for never in ["-1", "", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(said(never), Pushback::Never, "{never}");
        }
    }
}
