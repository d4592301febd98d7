//! One stream of one traffic class: reads for the handler and writes the outbox.
//!
//! Both directions are one task. What the handler sends back while it handles what was read is then written by
//! the very same poll, so that an answer costs no wake-up of another task, and all answers to one read leave in
//! one write.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use gritmesh_runtime::frame::{FRAME_BYTES_MAX, Frames, HEADER_BYTES};
use gritmesh_runtime::{NetworkEvent, Tag, TrafficClass};
use libp2p::swarm::Stream;

use crate::outbox::{Batch, Order, Refill};
use crate::peer::Peer;
use crate::shared::Shared;

/// Reads in a row before other tasks get their turn. One read holds up to a few hundred calls.
const READS_PER_TURN: usize = 8;

/// First size of a read buffer. Most links carry little, and a node has four to every peer.
const READ_BYTES_MIN: usize = 8 * 1024;

/// Size to which a busy link's buffer grows, and to which it returns after a large frame. It equals the window
/// that the multiplexer starts a stream with.
const READ_BYTES_KEPT: usize = 256 * 1024;

/// Why a link ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkEnd {
    /// It was told to.
    Ordered,
    /// The other side ended the stream, or the connection broke.
    Broken,
    /// The other side broke the protocol. The handler knows.
    Malformed,
}

/// A link's last words.
#[derive(Debug)]
pub(crate) struct LinkReport {
    pub(crate) end: LinkEnd,
    /// Tags of envelopes that the link held and surely did not send.
    pub(crate) unsent: Vec<Tag>,
}

/// Carries one class until the stream ends or the outbox orders it to.
pub(crate) async fn run(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    class: TrafficClass,
    activity: Arc<AtomicU64>,
    stream: Stream,
) -> LinkReport {
    let mut link = Link {
        reading: ReadBuffer::default(),
        batch: Batch::default(),
        unflushed: false,
        write_over: false,
        concurrent: false,
        slept: false,
        class,
        stream,
        activity,
        peer,
        shared,
    };
    let end = loop {
        match poll_fn(|cx| link.poll(cx)).await {
            Pace::Yield => tokio::task::yield_now().await,
            Pace::End(end) => break end,
        }
    };
    LinkReport { end, unsent: link.batch.unsent().collect() }
}

/// What a link does next.
enum Pace {
    /// Let other tasks run first.
    Yield,
    End(LinkEnd),
}

struct Link {
    stream: Stream,
    reading: ReadBuffer,
    batch: Batch,
    unflushed: bool,
    /// Nothing more is to be written, or can be; what arrives is still read.
    write_over: bool,
    /// The last read or write held more than one envelope: several callers are at work.
    concurrent: bool,
    /// The link has slept until something was to be read or written.
    slept: bool,
    class: TrafficClass,
    activity: Arc<AtomicU64>,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
}

impl Link {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Pace> {
        // The first of several callers wakes the link. If it wrote at once, each caller would cost a write of
        // its own; so the others go first. A caller that is alone does not wait.
        if std::mem::take(&mut self.slept) && self.concurrent {
            return Poll::Ready(Pace::Yield);
        }
        for _ in 0..READS_PER_TURN {
            match self.read(cx) {
                Poll::Ready(Some(end)) => return Poll::Ready(Pace::End(end)),
                Poll::Ready(None) => match self.write(cx, false) {
                    Poll::Ready(end) => return Poll::Ready(Pace::End(end)),
                    Poll::Pending => {}
                },
                Poll::Pending => {
                    self.slept = true;
                    return self.write(cx, true).map(Pace::End);
                }
            }
        }
        Poll::Ready(Pace::Yield)
    }

    /// Reads once and has the whole frames handled. `None` if the link goes on.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkEnd>> {
        let space = self.reading.space();
        let count = match Pin::new(&mut self.stream).poll_read(cx, space) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(LinkEnd::Broken)),
            Poll::Ready(Ok(count)) => count,
            Poll::Pending => return Poll::Pending,
        };
        self.reading.filled += count;
        self.activity.fetch_add(1, Relaxed);
        let from = self.peer.id;
        match Frames::split(self.reading.bytes()) {
            Ok((frames, used)) => {
                if !frames.is_empty() {
                    let envelopes = frames.count();
                    self.concurrent = envelopes > 1;
                    self.shared.meter.received(self.class, envelopes, used);
                    self.shared.emit(NetworkEvent::Received { from, class: self.class, frames });
                }
                self.reading.consume(used);
                Poll::Ready(None)
            }
            Err(oversized) => {
                let detail = format!("{} stream: {oversized}", self.class.as_str());
                self.shared.malformed(from, detail);
                Poll::Ready(Some(LinkEnd::Malformed))
            }
        }
    }

    /// Writes until nothing is queued or the stream takes no more. Ready only if the link has to end.
    fn write(&mut self, cx: &mut Context<'_>, park: bool) -> Poll<LinkEnd> {
        match self.try_write(cx, park) {
            Poll::Ready(Ok(())) => Poll::Ready(LinkEnd::Ordered),
            Poll::Ready(Err(_)) => {
                self.write_over = true;
                self.wait(cx)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn try_write(&mut self, cx: &mut Context<'_>, park: bool) -> Poll<io::Result<()>> {
        if self.write_over {
            return self.wait(cx).map(|_| Ok(()));
        }
        loop {
            while !self.batch.rest().is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, self.batch.rest()) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => self.batch.advance(count),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return self.wait(cx).map(|_| Ok(())),
                }
                self.unflushed = true;
            }
            match self.peer.outbox(self.class).refill(&mut self.batch, park.then(|| cx.waker())) {
                Refill::Ready => {
                    self.concurrent |= self.batch.envelopes() > 1;
                    self.shared.meter.sent(self.class, self.batch.envelopes(), self.batch.len());
                }
                Refill::Empty => {
                    if self.unflushed {
                        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Refill::Drained => {
                    // The other side reads to the end and closes the connection; cutting it here could overtake
                    // what was written.
                    ready!(Pin::new(&mut self.stream).poll_close(cx))?;
                    self.write_over = true;
                    return self.wait(cx).map(|_| Ok(()));
                }
                Refill::Stopped => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Sleeps without more to write, but obeys an order to stop.
    fn wait(&self, cx: &Context<'_>) -> Poll<LinkEnd> {
        match self.peer.outbox(self.class).park(cx.waker()) {
            Order::Run | Order::Drain => Poll::Pending,
            Order::Stop => Poll::Ready(LinkEnd::Ordered),
        }
    }
}

/// Bytes read and not yet handled, at the start of a buffer that is kept initialised.
#[derive(Debug, Default)]
struct ReadBuffer {
    buffer: Vec<u8>,
    filled: usize,
}

impl ReadBuffer {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Where to read to; never empty. The buffer doubles when it is full, so that memory follows what has
    /// arrived and not what a header announces.
    fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            const LARGEST: usize = FRAME_BYTES_MAX + HEADER_BYTES + READ_BYTES_KEPT;
            let doubled = (self.buffer.len() * 2).clamp(READ_BYTES_MIN, LARGEST);
            self.buffer.resize(doubled, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Removes what has been handled. Only the head of an incomplete frame is moved.
    fn consume(&mut self, used: usize) {
        let was_full = self.filled == self.buffer.len();
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        if self.filled > 0 {
            return;
        }
        if self.buffer.len() > READ_BYTES_KEPT {
            self.buffer = vec![0; READ_BYTES_KEPT];
        } else if was_full && self.buffer.len() < READ_BYTES_KEPT {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gritmesh_runtime::frame;
    use proptest::prelude::*;

    #[test]
    fn the_buffer_returns_to_its_usual_size_after_a_large_frame() {
        let mut stream = Vec::new();
        frame::append(&mut stream, &vec![7; FRAME_BYTES_MAX]);
        let mut buffer = ReadBuffer::default();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let space = buffer.space();
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            buffer.filled += count;
            rest = &rest[count..];
            let (_, used) = Frames::split(buffer.bytes()).unwrap();
            buffer.consume(used);
        }
        assert_eq!((buffer.filled, buffer.buffer.len()), (0, READ_BYTES_KEPT));
    }

    proptest! {
        #[test]
        fn frames_survive_any_pattern_of_reads(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 0..12),
            reads in prop::collection::vec(1_usize..30_000, 1..20),
        ) {
            let mut stream = Vec::new();
            bodies.iter().for_each(|body| frame::append(&mut stream, body));
            let (mut buffer, mut rest, mut handled) = (ReadBuffer::default(), &stream[..], Vec::new());
            for read in reads.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let space = buffer.space();
                prop_assert!(!space.is_empty());
                let count = space.len().min(rest.len()).min(*read);
                space[..count].copy_from_slice(&rest[..count]);
                buffer.filled += count;
                rest = &rest[count..];
                let (frames, used) = Frames::split(buffer.bytes()).unwrap();
                handled.extend(frames.map(<[u8]>::to_vec));
                buffer.consume(used);
            }
            prop_assert_eq!(handled, bodies);
        }
    }
}
