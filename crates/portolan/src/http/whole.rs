//! Requests of our own, whose bodies are there before they are sent.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::replay::Replay;

/// A request body without anything in it.
pub(crate) fn empty() -> Replay {
    of(Bytes::new())
}

/// A request body of these bytes. It can be sent again.
pub(crate) fn of(bytes: Bytes) -> Replay {
    let length = bytes.len();
    Replay::new(Whole(Some(bytes).filter(|bytes| !bytes.is_empty())), length)
}

struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
