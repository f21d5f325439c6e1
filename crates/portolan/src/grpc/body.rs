//! The answers to a call, and its status.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    deadline::Deadline,
    status::{Code, Status},
};
use crate::{Lease, orca::Reader};

/// The body of a balanced gRPC response.
///
/// The call counts as in flight at its endpoint until this body has been read to its end, or is
/// dropped. It always ends well: a stream that breaks off ends with a status that says so.
pub struct ResponseBody {
    // Boxed: an empty one is as small as a pointer, and the rest is moved about less.
    stream: Option<Box<Stream>>,
}

struct Stream {
    body: Incoming,
    lease: Lease,
    deadline: Option<Deadline>,
    /// Whether the status was in the headers already.
    has_status: bool,
    /// Where the server's reports of its load are read.
    reports: Option<Reader>,
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, lease: Lease, has_status: bool) -> Self {
        // Nobody reads a body that is empty.
        let stream = (!body.is_end_stream()).then(|| {
            Box::new(Stream {
                body,
                lease,
                deadline: None,
                has_status,
                reports: None,
            })
        });
        Self { stream }
    }

    /// The same, with reports of load that are in the trailers.
    pub(super) fn reading(mut self, reports: Option<Reader>) -> Self {
        if let Some(stream) = &mut self.stream {
            stream.reports = reports;
        }
        self
    }

    pub(super) fn empty() -> Self {
        Self { stream: None }
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Deadline>) {
        if let Some(stream) = &mut self.stream {
            stream.deadline = deadline;
        }
    }
}

impl Stream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let code = frame.trailers_ref().and_then(Code::of);
                if code.is_some_and(Code::is_failure) {
                    self.lease.fail();
                }
                if let (Some(reports), Some(trailers)) = (&self.reports, frame.trailers_ref())
                    && let Some(report) = reports.read(trailers)
                {
                    self.lease.report_load(&report);
                }
                Poll::Ready(Some(frame))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease.fail();
                let status = Status::of_broken_stream(&error);
                Poll::Ready(Some(Frame::trailers(status.into_trailers())))
            }
            Poll::Ready(None) => {
                if !self.has_status {
                    // It ended without saying how the call went. The client library has a status for
                    // that.
                    self.lease.fail();
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                let status = ready!(Deadline::poll_passed(&mut self.deadline, cx));
                self.lease.fail();
                Poll::Ready(Some(Frame::trailers(status.into_trailers())))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        stream.poll_next(cx).map(|frame| {
            // Nothing comes after the trailers.
            if frame.as_ref().is_none_or(Frame::is_trailers) {
                self.stream = None;
            }
            frame.map(Ok)
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream
            .as_ref()
            .map_or(SizeHint::with_exact(0), |stream| stream.body.size_hint())
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("ended", &self.stream.is_none())
            .finish_non_exhaustive()
    }
}
