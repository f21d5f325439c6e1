//! A request body that can be sent again.
//!
//! The body is not in the request but beside it, shared by the request's handle on it and by whoever
//! may have to send it again: hyper drops a body with a request that failed, and what it has read of
//! it would be lost. What is read is recorded (a reference to the bytes, not a copy) up to a limit;
//! past it the recording is given up, and the request with it, should it fail.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;

/// How much of a body is kept by default. Most requests are smaller; a larger one is an upload, of
/// which a copy per request in flight would add up.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// A request body of whatever type, which can be sent again if not too much of it was read.
pub(crate) struct Replay {
    /// None: there is nothing to send, and nothing to keep.
    reading: Option<Reading>,
    idempotent: bool,
}

/// One pass over the body. Passes take turns: a new one ends those before it.
struct Reading {
    recording: Arc<Recording<dyn AnyBody>>,
    /// Nothing for one that goes by the recording alone, which is whole: it is in nobody's way, and nobody ends it.
    turn: Option<u32>,
    /// How many of the recorded frames this pass has yielded.
    yielded: usize,
}

/// Keeps a body for sending it again.
pub(crate) struct Spare {
    recording: Option<Arc<Recording<dyn AnyBody>>>,
    idempotent: bool,
}

struct Recording<B: ?Sized> {
    limit: usize,
    tape: Mutex<Tape<B>>,
}

struct Tape<B: ?Sized> {
    turn: u32,
    frames: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    /// Whether all that was read is recorded.
    whole: bool,
    /// Whether the body has yielded all it has.
    ended: bool,
    body: B,
}

/// A body without its types.
trait AnyBody: Send {
    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>;
    fn hint(&self) -> SizeHint;
    fn has_ended(&self) -> bool;
}

impl<B> AnyBody for B
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(self)
            .poll_frame(cx)
            .map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn hint(&self) -> SizeHint {
        self.size_hint()
    }

    fn has_ended(&self) -> bool {
        self.is_end_stream()
    }
}

impl Replay {
    pub(crate) fn new<B>(body: B, limit: usize) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let reading = (!body.is_end_stream()).then(|| Reading {
            recording: Arc::new(Recording {
                limit,
                tape: Mutex::new(Tape {
                    turn: 0,
                    frames: Vec::new(),
                    bytes: 0,
                    trailers: None,
                    whole: true,
                    ended: false,
                    body,
                }),
            }),
            turn: Some(0),
            yielded: 0,
        });
        Self {
            reading,
            idempotent: false,
        }
    }

    /// Notes that the request may be sent again even if it may have been processed.
    pub(crate) fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Something to send the body again from, should this one be lost.
    pub(crate) fn spare(&self) -> Spare {
        Spare {
            recording: self.reading.as_ref().map(|one| Arc::clone(&one.recording)),
            idempotent: self.idempotent,
        }
    }
}

impl Spare {
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// The body from its beginning a second time, for whoever is to have it besides the first; `None` where it is still
    /// being sent, or more of it was than could be kept.
    pub(crate) fn besides(self) -> Option<Replay> {
        let reading = match self.recording {
            None => None,
            Some(recording) => {
                {
                    let tape = recording.tape();
                    if !tape.whole || !(tape.ended || tape.body.has_ended()) {
                        return None;
                    }
                }
                Some(Reading {
                    recording,
                    turn: None,
                    yielded: 0,
                })
            }
        };
        Some(Replay {
            reading,
            idempotent: self.idempotent,
        })
    }

    /// The body from its beginning, or `None` where more of it was read than could be kept. What
    /// still reads the former body gets an error.
    pub(crate) fn rewind(self) -> Option<Replay> {
        let reading = match self.recording {
            None => None,
            Some(recording) => {
                let turn = {
                    let mut tape = recording.tape();
                    if !tape.whole {
                        return None;
                    }
                    tape.turn = tape.turn.wrapping_add(1);
                    tape.turn
                };
                Some(Reading {
                    recording,
                    turn: Some(turn),
                    yielded: 0,
                })
            }
        };
        Some(Replay {
            reading,
            idempotent: self.idempotent,
        })
    }
}

impl<B: ?Sized> Recording<B> {
    /// The lock is held only while the body is polled, never while anybody waits for it: one pass is
    /// live at a time.
    fn tape(&self) -> MutexGuard<'_, Tape<B>> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: AnyBody + ?Sized> Tape<B> {
    fn poll_next(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = ready!(self.body.poll_any(cx));
        match &next {
            None => self.ended = true,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.record(data, limit);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                    self.ended = true;
                }
            }
            // It will not be any better the next time, and part of it is gone.
            Some(Err(_)) => self.erase(),
        }
        Poll::Ready(next)
    }

    fn record(&mut self, data: &Bytes, limit: usize) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.bytes > limit {
            self.erase();
        } else if self.whole {
            self.frames.push(data.clone());
        }
    }

    fn erase(&mut self) {
        self.whole = false;
        self.frames = Vec::new();
    }

    /// What of the recording a pass that has yielded so many frames has still before it.
    fn recorded_after(&self, yielded: usize) -> &[Bytes] {
        self.frames.get(yielded..).unwrap_or_default()
    }
}

impl Body for Replay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(reading) = &mut self.get_mut().reading else {
            return Poll::Ready(None);
        };
        let mut tape = reading.recording.tape();
        if reading.turn.is_some_and(|turn| turn != tape.turn) {
            return Poll::Ready(Some(Err("the request is being sent elsewhere".into())));
        }
        let yielded = reading.yielded;
        if let Some(data) = tape.frames.get(yielded) {
            let frame = Frame::data(data.clone());
            reading.yielded += 1;
            return Poll::Ready(Some(Ok(frame)));
        }
        if tape.ended {
            // One past the recorded frames stands for the trailers.
            let trailers = tape
                .trailers
                .as_ref()
                .filter(|_| yielded == tape.frames.len());
            let trailers = trailers.cloned().map(Frame::trailers);
            reading.yielded += usize::from(trailers.is_some());
            return Poll::Ready(trailers.map(Ok));
        }
        let next = ready!(tape.poll_next(reading.recording.limit, cx));
        reading.yielded = tape.frames.len() + usize::from(tape.trailers.is_some());
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.reading.as_ref().is_none_or(|reading| {
            let tape = reading.recording.tape();
            tape.recorded_after(reading.yielded).is_empty()
                && (tape.trailers.is_none() || reading.yielded > tape.frames.len())
                && (tape.ended || tape.body.has_ended())
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(reading) = &self.reading else {
            return SizeHint::with_exact(0);
        };
        let tape = reading.recording.tape();
        let rest = tape.recorded_after(reading.yielded);
        let recorded = rest.iter().map(|data| data.len() as u64).sum::<u64>();
        let of_body = tape.body.hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(recorded));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(recorded));
        }
        hint
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("size", &self.size_hint())
            .field("idempotent", &self.idempotent)
            .finish()
    }
}

#[cfg(test)]
mod tests;
