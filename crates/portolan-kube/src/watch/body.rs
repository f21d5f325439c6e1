//! Reading what the API server sends, with a limit.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead};

use super::stats::Counters;

/// The longest line of a watch, which is one event with one object. etcd refuses objects beyond
/// 1.5 MiB; a slice of 1,000 endpoints has half of that.
const LINE_LIMIT: usize = 8 << 20;
/// The longest answer to a list: 500 slices, all as large as they get, and not compressed.
pub(super) const PAGE_LIMIT: usize = 256 << 20;

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The connection broke.
    Broken(io::Error),
    /// There is more than any honest answer has.
    TooLong(usize),
}

/// Lines, one by one.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
        }
    }

    /// The next line that is not empty; nothing at the end. What is left without a newline at the
    /// end was cut off, and is dropped.
    ///
    /// Cancel safe: what was read of a line stays for the next call.
    pub(super) async fn next(&mut self, taken: &mut Vec<u8>) -> Result<bool, ReadError> {
        loop {
            let (used, complete) = {
                let available = self.reader.fill_buf().await.map_err(ReadError::Broken)?;
                if available.is_empty() {
                    return Ok(false);
                }
                let newline = available.iter().position(|byte| *byte == b'\n');
                let (part, used) = match newline.and_then(|at| available.get(..at)) {
                    Some(part) => (part, part.len() + 1),
                    None => (available, available.len()),
                };
                if self.line.len() + part.len() > LINE_LIMIT {
                    return Err(ReadError::TooLong(LINE_LIMIT));
                }
                self.line.extend_from_slice(part);
                (used, newline.is_some())
            };
            self.reader.consume_unpin(used);
            if complete && !self.line.is_empty() {
                taken.clear();
                std::mem::swap(taken, &mut self.line);
                return Ok(true);
            }
        }
    }
}

/// Counts what is read.
pub(super) struct Counted<R> {
    reader: R,
    counters: Arc<Counters>,
}

impl<R> Counted<R> {
    pub(super) fn new(reader: R, counters: Arc<Counters>) -> Self {
        Self { reader, counters }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.reader).poll_read(context, buffer);
        if let Poll::Ready(Ok(count)) = read {
            self.counters.bytes.add(count);
        }
        read
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Counted<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().reader).poll_fill_buf(context)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.counters.bytes.add(count);
        Pin::new(&mut self.reader).consume(count);
    }
}

#[cfg(test)]
mod tests {
    use futures::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_were_cut() {
        for capacity in 1..12 {
            let text: &[u8] = b"first\n\nsecond\r\n{\"cut off";
            let mut lines = Lines::new(BufReader::with_capacity(capacity, text));
            let mut line = Vec::new();
            assert!(lines.next(&mut line).await.unwrap());
            assert_eq!(line, b"first");
            assert!(lines.next(&mut line).await.unwrap());
            assert_eq!(line, b"second\r");
            assert!(!lines.next(&mut line).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let endless = BufReader::with_capacity(1 << 16, futures::io::repeat(b'x'));
        let mut lines = Lines::new(endless);
        let refused = lines.next(&mut Vec::new()).await;
        assert!(
            matches!(refused, Err(ReadError::TooLong(LINE_LIMIT))),
            "{refused:?}"
        );
        assert!(lines.line.len() <= LINE_LIMIT);
    }
}
