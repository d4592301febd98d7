//! The queue of one traffic class to one peer.
//!
//! Two buffers take turns: senders append to one under a short lock while the link writes the other, so that a
//! burst of envelopes becomes one write and no envelope costs an allocation. The link is woken only if it has
//! gone to sleep; an envelope that a handler sends while the link runs is simply found by it afterwards.

use std::task::Waker;

use gritmesh_runtime::frame::{self, Frames, HEADER_BYTES};
use gritmesh_runtime::{SendError, Tag};
use parking_lot::Mutex;

/// Capacity that a buffer may keep when it is empty. More is returned to the allocator after a burst.
const CAPACITY_KEPT: usize = 1024 * 1024;

/// Envelopes as they will lie in the stream.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Tags that the sender wants back, each with the offset at which its frame starts.
    tags: Vec<(Tag, usize)>,
    envelopes: usize,
    /// Bytes that the stream has taken.
    written: usize,
}

impl Batch {
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(crate) const fn advance(&mut self, written: usize) {
        self.written += written;
    }

    pub(crate) const fn envelopes(&self) -> usize {
        self.envelopes
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tags of envelopes of which the stream has not taken a single byte.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = Tag> {
        let written = self.written;
        self.tags.iter().filter(move |(_, start)| *start >= written).map(|(tag, _)| *tag)
    }

    fn clear(&mut self) {
        if self.bytes.capacity() > CAPACITY_KEPT {
            *self = Self::default();
        }
        self.bytes.clear();
        self.tags.clear();
        self.envelopes = 0;
        self.written = 0;
    }

    /// Takes out envelopes whose tag is chosen, of a batch of which nothing is written.
    fn withdraw(&mut self, chosen: &dyn Fn(Tag) -> bool) -> Vec<Tag> {
        if !self.tags.iter().any(|(tag, _)| chosen(*tag)) {
            return Vec::new();
        }
        let whole = std::mem::take(self);
        let (frames, _) = Frames::split(&whole.bytes).expect("what is queued are frames");
        let (mut tags, mut start, mut withdrawn) = (whole.tags.into_iter().peekable(), 0, Vec::new());
        for body in frames {
            let tag = tags.next_if(|(_, at)| *at == start).map_or_else(Tag::default, |(tag, _)| tag);
            start += HEADER_BYTES + body.len();
            match tag != Tag::default() && chosen(tag) {
                true => withdrawn.push(tag),
                false => self.append(tag, body),
            }
        }
        withdrawn
    }

    fn append(&mut self, tag: Tag, body: &[u8]) {
        if tag != Tag::default() {
            self.tags.push((tag, self.bytes.len()));
        }
        frame::append(&mut self.bytes, body);
        self.envelopes += 1;
    }
}

/// What a link is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Carry envelopes.
    #[default]
    Run,
    /// Write what is queued, then only read.
    Drain,
    /// End now.
    Stop,
}

/// What a link finds when it looks for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refill {
    /// The batch holds envelopes to write.
    Ready,
    /// Nothing is queued.
    Empty,
    /// Nothing is queued and nothing more is to be written.
    Drained,
    /// The link is to end.
    Stopped,
}

/// The most that may wait in an outbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) envelopes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queued: Batch,
    /// What the link holds; it counts against the limits until it is written.
    in_flight_bytes: usize,
    in_flight_envelopes: usize,
    order: Order,
    /// Set while the link sleeps.
    parked: Option<Waker>,
    /// Whether the link sleeps for want of envelopes. If it waits for the stream, new ones do not wake it.
    idle: bool,
}

impl Outbox {
    /// Appends an envelope and wakes the link if it sleeps.
    pub(crate) fn push(&self, tag: Tag, body: &[u8], limits: Limits) -> Result<(), SendError> {
        let mut state = self.state.lock();
        let envelopes = state.queued.envelopes + state.in_flight_envelopes;
        let bytes = state.queued.bytes.len() + state.in_flight_bytes;
        let fits = bytes + HEADER_BYTES + body.len() <= limits.bytes && envelopes < limits.envelopes;
        if !fits && envelopes > 0 {
            return Err(SendError::QueueFull);
        }
        state.queued.append(tag, body);
        let parked = if state.idle { state.parked.take() } else { None };
        drop(state);
        if let Some(waker) = parked {
            waker.wake();
        }
        Ok(())
    }

    /// Exchanges a written batch for what has been queued meanwhile. With a waker, an idle link is noted as
    /// sleeping.
    pub(crate) fn refill(&self, batch: &mut Batch, park: Option<&Waker>) -> Refill {
        batch.clear();
        let mut state = self.state.lock();
        state.parked = None;
        state.idle = false;
        std::mem::swap(&mut state.queued, batch);
        (state.in_flight_bytes, state.in_flight_envelopes) = (batch.bytes.len(), batch.envelopes);
        match (state.order, batch.envelopes) {
            (Order::Stop, _) => Refill::Stopped,
            (Order::Drain, 0) => Refill::Drained,
            (Order::Run, 0) => {
                state.parked = park.cloned();
                state.idle = true;
                Refill::Empty
            }
            (Order::Run | Order::Drain, _) => Refill::Ready,
        }
    }

    /// Lets a link that cannot write sleep until its order changes. Returns the present one.
    pub(crate) fn park(&self, waker: &Waker) -> Order {
        let mut state = self.state.lock();
        state.parked = Some(waker.clone());
        state.idle = false;
        state.order
    }

    /// Tells the link what to do.
    pub(crate) fn set_order(&self, order: Order) {
        let mut state = self.state.lock();
        state.order = order;
        let parked = state.parked.take();
        drop(state);
        if let Some(waker) = parked {
            waker.wake();
        }
    }

    /// Empties the queue and forgets its link, which has ended. The tags are added to `unsent`.
    pub(crate) fn drain(&self, unsent: &mut Vec<Tag>) {
        let mut state = self.state.lock();
        unsent.extend(state.queued.unsent());
        *state = State::default();
    }

    /// Takes back envelopes that the link does not hold yet.
    pub(crate) fn withdraw(&self, chosen: &dyn Fn(Tag) -> bool) -> Vec<Tag> {
        self.state.lock().queued.withdraw(chosen)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().queued.envelopes == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 100, envelopes: 4 };

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_full_queue_says_so_and_what_is_in_flight_counts() {
        let outbox = Outbox::default();
        for _ in 0..4 {
            outbox.push(Tag(1), b"body", LIMITS).unwrap();
        }
        assert_eq!(outbox.push(Tag(1), b"body", LIMITS), Err(SendError::QueueFull));
        let mut batch = Batch::default();
        assert_eq!(outbox.refill(&mut batch, None), Refill::Ready);
        assert_eq!(outbox.push(Tag(1), b"body", LIMITS), Err(SendError::QueueFull));
        assert_eq!(outbox.refill(&mut batch, None), Refill::Empty);
        assert_eq!(outbox.push(Tag(1), &[0; 90], LIMITS), Ok(()));
        assert_eq!(outbox.push(Tag(1), &[0; 90], LIMITS), Err(SendError::QueueFull));
    }

    #[test]
    fn one_large_envelope_fits_into_an_empty_queue() {
        let outbox = Outbox::default();
        assert_eq!(outbox.push(Tag(1), &[0; 200], LIMITS), Ok(()));
        assert_eq!(outbox.push(Tag(1), b"", LIMITS), Err(SendError::QueueFull));
    }

    #[test]
    fn only_a_sleeping_link_is_woken_and_once() {
        let (outbox, wakes) = (Outbox::default(), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes.clone());
        let mut batch = Batch::default();
        let woken = || wakes.0.load(Ordering::Relaxed);
        assert_eq!(outbox.refill(&mut batch, None), Refill::Empty);
        outbox.push(Tag(0), b"", LIMITS).unwrap();
        assert_eq!(woken(), 0);
        assert_eq!(outbox.refill(&mut batch, Some(&waker)), Refill::Ready);
        assert_eq!(outbox.refill(&mut batch, Some(&waker)), Refill::Empty);
        outbox.push(Tag(0), b"", LIMITS).unwrap();
        outbox.push(Tag(0), b"", LIMITS).unwrap();
        assert_eq!(woken(), 1);
    }

    #[test]
    fn drains_before_it_ends_and_stops_at_once() {
        let outbox = Outbox::default();
        let mut batch = Batch::default();
        outbox.push(Tag(1), b"a", LIMITS).unwrap();
        outbox.set_order(Order::Drain);
        assert_eq!(outbox.refill(&mut batch, None), Refill::Ready);
        assert_eq!(outbox.refill(&mut batch, None), Refill::Drained);
        outbox.push(Tag(2), b"b", LIMITS).unwrap();
        outbox.set_order(Order::Stop);
        assert_eq!(outbox.refill(&mut batch, None), Refill::Stopped);
        assert_eq!(batch.unsent().collect::<Vec<_>>(), [Tag(2)]);
    }

    #[test]
    fn what_is_queued_is_withdrawn_and_what_the_link_holds_is_not() {
        let outbox = Outbox::default();
        outbox.push(Tag(1), b"a", LIMITS).unwrap();
        let mut batch = Batch::default();
        assert_eq!(outbox.refill(&mut batch, None), Refill::Ready);
        for (tag, body) in [(2, &b"bb"[..]), (0, b"c"), (3, b"dd")] {
            outbox.push(Tag(tag), body, LIMITS).unwrap();
        }
        assert_eq!(outbox.withdraw(&|tag| tag.0 <= 2), [Tag(2)]);
        assert_eq!(outbox.withdraw(&|tag| tag.0 <= 2), []);
        assert_eq!(outbox.refill(&mut batch, None), Refill::Ready);
        let (frames, _) = Frames::split(batch.rest()).unwrap();
        assert_eq!(frames.collect::<Vec<_>>(), [b"c".as_slice(), b"dd"]);
        assert_eq!((batch.unsent().collect::<Vec<_>>(), batch.envelopes()), (vec![Tag(3)], 2));
    }

    proptest! {
        /// Whatever has been taken by the stream when it dies: no envelope that is reported unsent has a byte
        /// in the stream, and every envelope that is not reported has one.
        #[test]
        fn unsent_is_exact(
            sizes in prop::collection::vec(0_usize..50, 1..20),
            taken in any::<prop::sample::Index>(),
        ) {
            let limits = Limits { bytes: usize::MAX, envelopes: usize::MAX };
            let outbox = Outbox::default();
            for (number, size) in sizes.iter().enumerate() {
                outbox.push(Tag(number as u64 + 1), &vec![0; *size], limits).unwrap();
            }
            let mut batch = Batch::default();
            outbox.refill(&mut batch, None);
            let written = taken.index(batch.len() + 1);
            let (whole, _) = Frames::split(&batch.rest()[..written]).unwrap();
            let arrived = whole.count();
            batch.advance(written);
            let unsent: Vec<Tag> = batch.unsent().collect();
            let starts = sizes.iter().scan(0, |at, size| {
                let start = *at;
                *at += size + HEADER_BYTES;
                Some(start)
            });
            let expected: Vec<Tag> = starts
                .enumerate()
                .filter(|(_, start)| *start >= written)
                .map(|(number, _)| Tag(number as u64 + 1))
                .collect();
            prop_assert!(unsent.len() + arrived <= sizes.len());
            prop_assert_eq!(unsent, expected);
        }
    }
}
