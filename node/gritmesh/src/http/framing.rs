//! Where requests of a connection begin, to find those that give the length of their body in two ways.
//!
//! **Problem.** Of a request with both `Content-Length` and `Transfer-Encoding`, two readers may take different parts for
//! its body, and what the one takes for the rest of it is a request for the other: that is how one passes a proxy
//! unseen. RFC 9112 (6.1) lets a server refuse it. The server below reads it by the second header and drops the first one,
//! so nothing above can tell.
//!
//! **Design.** The bytes are looked at on their way in. What a body is, is known from its head; a connection ends after a body
//! in chunks, so those need not be followed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::HEAD_BYTES_MAX;

/// Whether a connection has had a request with two lengths, or one of which that cannot be told. From then on nothing is served by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ambiguous(Arc<AtomicBool>);

impl Ambiguous {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection whose requests are looked at.
pub(super) struct Watched<S> {
    stream: S,
    heads: Heads,
    ambiguous: Ambiguous,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, heads: Heads::default(), ambiguous: Ambiguous::default() }
    }

    pub(super) fn ambiguous(&self) -> Ambiguous {
        self.ambiguous.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.heads.see(&buffer.filled()[before..]) {
            self.ambiguous.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Follows requests from head to head.
#[derive(Debug, Default)]
struct Heads {
    place: Place,
    /// The line that is being read.
    line: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    /// Within a head, of which this is known.
    Head(Head),
    /// Within a body, of which this is to come.
    Body(u64),
    /// Behind the last request of the connection.
    End,
}

impl Default for Place {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Whether the request line is there; empty lines before it do not count.
    begun: bool,
    length: Option<u64>,
    has_encoding: bool,
}

impl Heads {
    /// Takes what was read. Returns whether a request gives two lengths, or a line that is too long to tell.
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::End => return false,
                Place::Body(left) => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[skipped..];
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.place = Place::default();
                    }
                }
                Place::Head(head) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    if self.line.len() + part.len() > HEAD_BYTES_MAX {
                        // The server may take it. What is not looked at is not served.
                        self.place = Place::End;
                        return true;
                    }
                    self.line.extend_from_slice(part);
                    let Some(end) = end else { return false };
                    bytes = &bytes[end + 1..];
                    let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
                    let ended = line.is_empty() && head.begun;
                    head.take(line);
                    let head = *head;
                    self.line.clear();
                    if ended {
                        self.place = head.body();
                        if head.has_encoding && head.length.is_some() {
                            return true;
                        }
                    }
                }
            }
        }
        false
    }
}

impl Head {
    fn take(&mut self, line: &[u8]) {
        if !self.begun {
            self.begun = !line.is_empty();
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.has_encoding = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            // What is no number, the server refuses.
            self.length = Some(number.unwrap_or(u64::MAX));
        }
    }

    const fn body(self) -> Place {
        match self.length {
            _ if self.has_encoding => Place::End,
            Some(0) | None => Place::Head(Self { begun: false, length: None, has_encoding: false }),
            Some(length) => Place::Body(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &str = "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 43\r\n\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\nGET / HTTP/1.1\nHost: b\n\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

    /// Whether any part of what comes in pieces of this size is found to be ambiguous.
    fn found(text: &str, size: usize) -> bool {
        let mut heads = Heads::default();
        text.as_bytes().chunks(size).any(|piece| heads.see(piece))
    }

    #[test]
    fn both_lengths_are_found_in_either_order_and_behind_other_requests() {
        let both = [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-ENCODING:chunked\r\nA: b\r\ncontent-length:5\r\n\r\n",
            "POST / HTTP/1.1\nContent-Length: 0\nTransfer-Encoding: identity\n\n",
            "POST / HTTP/1.1\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        for size in [1, 2, 3, 7, 1000] {
            assert!(!found(PLAIN, size) && !found(CHUNKED, size), "{size}");
            for request in both {
                assert!(found(request, size), "{request}");
                assert!(found(&format!("{PLAIN}{request}"), size), "{request}");
            }
        }
    }

    #[test]
    fn a_head_without_end_takes_no_memory_without_end() {
        let mut heads = Heads::default();
        let refused = (0..100).filter(|_| heads.see(&[b'x'; 8192])).count();
        assert_eq!(refused, 1, "what is too long to be looked at is not served");
        assert!(heads.line.len() <= HEAD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
            let mut heads = Heads::default();
            for piece in bytes.chunks(size) {
                heads.see(piece);
            }
        }
    }
}
