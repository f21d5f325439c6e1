//! Several streams of resolutions, each in its place, polled together.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use futures::{StreamExt, stream::BoxStream};
use portolan_core::{Resolution, SourceError, SourceErrorKind};

/// What some of several sources are saying.
pub(super) struct Streams {
    streams: Vec<Option<BoxStream<'static, Resolution>>>,
    /// Who is asked first next time: or one that always has something to say drowns out the others.
    first: usize,
}

impl Streams {
    /// Places for so many.
    pub(super) fn new(places: usize) -> Self {
        Self {
            streams: std::iter::repeat_with(|| None).take(places).collect(),
            first: 0,
        }
    }

    /// Starts, or stops, to follow the source of this place.
    pub(super) fn set(
        &mut self,
        place: usize,
        wanted: bool,
        watch: impl FnOnce() -> BoxStream<'static, Resolution>,
    ) {
        if let Some(stream) = self.streams.get_mut(place) {
            match wanted {
                true if stream.is_none() => *stream = Some(watch()),
                false => *stream = None,
                true => {}
            }
        }
    }

    /// The next word of any of them, and whose it is. A stream that ends has said, as its last word, that
    /// it has.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub(super) async fn next(&mut self) -> (usize, Resolution) {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(usize, Resolution)> {
        let places = self.streams.len();
        for place in (0..places).map(|nth| (self.first + nth) % places) {
            let Some(Some(stream)) = self.streams.get_mut(place) else {
                continue;
            };
            if let Poll::Ready(said) = stream.poll_next_unpin(context) {
                self.first = (place + 1) % places;
                let said = said.unwrap_or_else(|| {
                    // It is not to be polled again, nor to be taken for one that was never asked.
                    self.set_ended(place);
                    Resolution::Failed(SourceError::new(
                        SourceErrorKind::Unavailable,
                        "the source has ended, and says nothing more",
                    ))
                });
                return Poll::Ready((place, said));
            }
        }
        Poll::Pending
    }

    fn set_ended(&mut self, place: usize) {
        if let Some(stream) = self.streams.get_mut(place) {
            *stream = Some(futures::stream::pending().boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_that_never_stops_does_not_drown_out_the_others() {
        let mut streams = Streams::new(3);
        let chatter = || futures::stream::repeat(Resolution::Absent).boxed();
        let once = || futures::stream::iter([Resolution::Absent]).boxed();
        streams.set(0, true, chatter);
        streams.set(2, true, once);
        let who: Vec<_> = (0..6)
            .filter_map(|_| streams.next().now_or_never())
            .map(|(who, said)| (who, matches!(said, Resolution::Failed(_))))
            .collect();
        // The other says its word, then that it has ended, and then nothing more.
        let other: Vec<_> = who.iter().filter(|(who, _)| *who == 2).collect();
        assert_eq!(other, [&(2, false), &(2, true)]);
        assert_eq!(who.len(), 6);
        // One that is let go of is not heard any more, and begins anew when it is wanted again.
        streams.set(0, false, chatter);
        assert!(streams.next().now_or_never().is_none());
        streams.set(2, false, once);
        streams.set(2, true, once);
        assert!(streams.next().now_or_never().is_some());
    }
}
