//! The response body, which holds its endpoint until it ends.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::Lease;

pin_project! {
    /// The body of a balanced response.
    ///
    /// The request counts as in flight at its endpoint until this body has been read to its end, or
    /// is dropped. A body that breaks off counts against the endpoint.
    pub struct ResponseBody {
        #[pin]
        inner: Tracked<Incoming>,
    }
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, lease: Lease) -> Self {
        Self {
            inner: Tracked::new(body, lease),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Any body, and the lease that ends with it.
    pub(crate) struct Tracked<B> {
        #[pin]
        body: B,
        lease: Option<Lease>,
    }
}

impl<B: Body> Tracked<B> {
    pub(crate) fn new(body: B, lease: Lease) -> Self {
        // Nobody reads a body that is empty.
        let lease = (!body.is_end_stream()).then_some(lease);
        Self { body, lease }
    }
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let next = ready!(this.body.as_mut().poll_frame(cx));
        match &next {
            Some(Err(_)) => {
                if let Some(mut lease) = this.lease.take() {
                    lease.fail();
                }
            }
            // Readers that know the length do not ask for more after the last frame.
            Some(Ok(frame)) if !frame.is_trailers() && !this.body.is_end_stream() => {}
            Some(Ok(_)) | None => *this.lease = None,
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
