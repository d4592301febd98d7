//! Bodies of requests, and those that have not arrived.
//!
//! **Problem.** A request whose body does not come costs its sender nothing, and whatever it holds in the node it holds for
//! as long as it likes. If it holds one of the places for requests that run, a thousand of them lock everybody out.
//!
//! **Design.** A request gets such a place when its body is there, and not before. Until then it has a place among the
//! bodies that are *awaited*: so many in all, so many from one address, so many bytes. Whoever comes when these
//! are taken has the oldest give way, which is answered with 408. So what is sent in one go is always served, and those who
//! send slowly crowd out one another, first of all those from their own address. A body that came with its head takes
//! no place at all.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use futures::StreamExt;
use gritmesh_transport::network;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::BODY_BYTES_MAX;
use super::call::bad_request;
use super::problem::{HttpCode, Problem};

/// How long the body of a request may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Memory that a body is given because it announces its size; beyond that it has to come first.
const BODY_BYTES_TRUSTED: usize = 64 * 1024;

/// How often the connection is given time to look into its socket before a body counts as awaited.
const GLANCES: u32 = 2;

/// What is read of a body that was refused, and for how long, so that its sender sees the refusal.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// What may be awaited. One address may have a quarter of it: that is more than one client needs, and a proxy whose
/// clients are slow has a memory of its own.
const BOUNDS: Bounds = Bounds {
    bodies: Bound { in_all: 1024, from_one: 256 },
    bytes: Bound { in_all: 256 * 1024 * 1024, from_one: 64 * 1024 * 1024 },
};

#[derive(Clone, Copy, Debug)]
struct Bounds {
    bodies: Bound,
    bytes: Bound,
}

impl Bounds {
    /// Where a process has few connections, bodies that do not come hold no more than half of them.
    fn among(self, connections_max: usize) -> Self {
        let Bound { in_all, from_one } = self.bodies;
        let in_all = in_all.min(connections_max / 2).max(1);
        Self { bodies: Bound { in_all, from_one: from_one.min(in_all.div_ceil(4)) }, ..self }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    in_all: usize,
    from_one: usize,
}

/// The bodies that one node waits for.
#[derive(Debug)]
pub(super) struct Bodies(Mutex<Awaited>);

impl Bodies {
    pub(super) fn new(connections_max: usize) -> Self {
        Self(Mutex::new(Awaited::new(BOUNDS.among(connections_max))))
    }

    /// Waits for a whole body, as long as it may take.
    pub(super) async fn receive(&self, from: IpAddr, body: Body) -> Result<Bytes, Problem> {
        // What announces its size is refused before it is read.
        let announced = body.size_hint().lower();
        let mut arriving = Arriving { rest: body.into_data_stream(), read: Vec::new() };
        if announced > BODY_BYTES_MAX as u64 {
            return Err(arriving.refuse());
        }
        arriving.read.reserve((announced as usize).min(BODY_BYTES_TRUSTED));
        while let Some(chunk) = arriving.glance().await {
            match chunk {
                Some(chunk) => arriving = arriving.take(chunk)?,
                None => return Ok(arriving.read.into()),
            }
        }
        self.wait_for(from, arriving).await
    }

    async fn wait_for(&self, from: IpAddr, mut arriving: Arriving) -> Result<Bytes, Problem> {
        let (place, mut crowded_out) = self.enter(from, arriving.read.len());
        let deadline = Instant::now() + BODY_TIME_MAX;
        loop {
            let chunk = tokio::select! {
                biased;
                _ = &mut crowded_out => {
                    let detail = "too many bodies were awaited, and this one for the longest time";
                    return Err(Problem::new(HttpCode::RequestTimeout, detail));
                }
                chunk = arriving.rest.next() => chunk,
                () = sleep_until(deadline) => {
                    let detail = format!("the body did not arrive within {} s", BODY_TIME_MAX.as_secs());
                    return Err(Problem::new(HttpCode::RequestTimeout, detail));
                }
            };
            let Some(chunk) = chunk else { return Ok(arriving.read.into()) };
            arriving = arriving.take(chunk)?;
            place.grow(arriving.read.len());
        }
    }

    /// Takes a place. The receiver hears when the place is lost.
    fn enter(&self, from: IpAddr, bytes: usize) -> (Place<'_>, oneshot::Receiver<()>) {
        let (crowd_out, crowded_out) = oneshot::channel();
        let number = self.0.lock().enter(network(from), bytes, crowd_out);
        (Place { bodies: self, number }, crowded_out)
    }
}

/// Gives the place back when it is dropped.
struct Place<'a> {
    bodies: &'a Bodies,
    number: u64,
}

impl Place<'_> {
    fn grow(&self, bytes: usize) {
        self.bodies.0.lock().grow(self.number, bytes);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.bodies.0.lock().leave(self.number);
    }
}

/// Who has a place, by age.
#[derive(Debug)]
struct Awaited {
    bounds: Bounds,
    next: u64,
    bodies: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    from: IpAddr,
    bytes: usize,
    /// Dropped when the place is lost.
    _crowd_out: oneshot::Sender<()>,
}

impl Awaited {
    const fn new(bounds: Bounds) -> Self {
        Self { bounds, next: 0, bodies: BTreeMap::new() }
    }

    fn enter(&mut self, from: IpAddr, bytes: usize, crowd_out: oneshot::Sender<()>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bodies.insert(number, Entry { from, bytes, _crowd_out: crowd_out });
        self.make_room(from);
        number
    }

    fn grow(&mut self, number: u64, bytes: usize) {
        let Some(entry) = self.bodies.get_mut(&number) else { return };
        entry.bytes = bytes;
        let from = entry.from;
        self.make_room(from);
    }

    fn leave(&mut self, number: u64) {
        self.bodies.remove(&number);
    }

    /// Has the oldest give way until the bounds hold: of this address first, so that nobody pays for another.
    fn make_room(&mut self, from: IpAddr) {
        let Bounds { bodies, bytes } = self.bounds;
        while self.exceeds(|entry| entry.from == from, bodies.from_one, bytes.from_one)
            || self.exceeds(|_| true, bodies.in_all, bytes.in_all)
        {
            let of_this = self.exceeds(|entry| entry.from == from, bodies.from_one, bytes.from_one);
            let oldest = self.bodies.iter().find(|(_, entry)| !of_this || entry.from == from);
            let Some(number) = oldest.map(|(number, _)| *number) else { return };
            self.bodies.remove(&number);
        }
    }

    fn exceeds(&self, counts: impl Fn(&Entry) -> bool, bodies_max: usize, bytes_max: usize) -> bool {
        let of = self.bodies.values().filter(|entry| counts(entry));
        let (bodies, bytes) = of.fold((0, 0), |(bodies, bytes), entry| (bodies + 1, bytes + entry.bytes));
        bodies > bodies_max || bytes > bytes_max
    }
}

/// A body, as far as it is there.
struct Arriving {
    rest: BodyDataStream,
    read: Vec<u8>,
}

type Chunk = Result<Bytes, axum::Error>;

impl Arriving {
    /// The next part, if it is there; the connection reads only when it is asked, so it is given a moment.
    async fn glance(&mut self) -> Option<Option<Chunk>> {
        let mut glances = 0;
        poll_fn(|cx| match self.rest.poll_next_unpin(cx) {
            Poll::Ready(chunk) => Poll::Ready(Some(chunk)),
            Poll::Pending if glances == GLANCES => Poll::Ready(None),
            Poll::Pending => {
                glances += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }

    fn take(mut self, chunk: Chunk) -> Result<Self, Problem> {
        let chunk = chunk.map_err(|error| bad_request(format!("the body cannot be read: {error}")))?;
        if self.read.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(self.refuse());
        }
        self.read.extend_from_slice(&chunk);
        Ok(self)
    }

    fn refuse(self) -> Problem {
        discard(self.rest);
        let detail = format!("the body may have {BODY_BYTES_MAX} bytes");
        Problem::new(HttpCode::PayloadTooLarge, detail).with("limit_bytes", BODY_BYTES_MAX)
    }
}

/// Reads on, for nobody, while the refusal is on its way. A connection that is closed with something unread is reset,
/// and takes the refusal with it before a caller that is still sending has seen it.
fn discard(mut rest: BodyDataStream) {
    let mut left = DISCARDED_BYTES_MAX;
    let discarding = async move {
        while let Some(Ok(chunk)) = rest.next().await
            && chunk.len() <= left
        {
            left -= chunk.len();
        }
    };
    // Whoever takes longer is cut off after all.
    drop(tokio::spawn(timeout(DISCARD_TIME_MAX, discarding)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { bodies: Bound { in_all: 4, from_one: 2 }, bytes: Bound { in_all: 400, from_one: 200 } };

    struct World {
        awaited: Awaited,
        told: Vec<oneshot::Receiver<()>>,
    }

    impl World {
        fn new() -> Self {
            Self { awaited: Awaited::new(BOUNDS), told: Vec::new() }
        }

        fn enter(&mut self, from: &str, bytes: usize) -> u64 {
            let (crowd_out, crowded_out) = oneshot::channel();
            self.told.push(crowded_out);
            self.awaited.enter(network(from.parse().unwrap()), bytes, crowd_out)
        }

        /// Who has lost its place, by number.
        fn lost(&mut self) -> Vec<usize> {
            let lost = |receiver: &mut oneshot::Receiver<()>| {
                receiver.try_recv() == Err(oneshot::error::TryRecvError::Closed)
            };
            let told = self.told.iter_mut().enumerate();
            told.filter_map(|(number, receiver)| lost(receiver).then_some(number)).collect()
        }
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_to_its_own() {
        let mut world = World::new();
        world.enter("10.0.0.2", 0);
        for _ in 0..3 {
            world.enter("127.0.0.1", 0);
        }
        assert_eq!(world.lost(), [1], "not the one of another address, though that is older");
        world.enter("::ffff:127.0.0.1", 0);
        assert_eq!(world.lost(), [1, 2], "the same address in another form");
    }

    #[test]
    fn the_oldest_of_all_gives_way_when_all_places_are_taken() {
        let mut world = World::new();
        for last in 1..=6 {
            world.enter(&format!("10.0.0.{last}"), 0);
        }
        assert_eq!(world.lost(), [0, 1]);
        world.awaited.leave(3);
        world.enter("10.0.0.9", 0);
        assert_eq!(world.lost(), [0, 1, 3], "a place that was given back is free");
    }

    #[test]
    fn where_connections_are_few_bodies_hold_half_of_them() {
        let bodies = |connections_max| {
            let Bound { in_all, from_one } = super::BOUNDS.among(connections_max).bodies;
            (in_all, from_one)
        };
        assert_eq!(bodies(16_384), (1024, 256));
        assert_eq!(bodies(432), (216, 54));
        assert_eq!(bodies(1), (1, 1));
    }

    #[test]
    fn bytes_are_bounded_as_bodies_are() {
        let mut world = World::new();
        let first = world.enter("10.0.0.1", 100);
        let second = world.enter("10.0.0.1", 100);
        world.awaited.grow(second, 101);
        assert_eq!(world.lost(), [0]);
        world.awaited.grow(first, 1000);
        for last in 2..=3 {
            world.enter(&format!("10.0.0.{last}"), 150);
        }
        assert_eq!(world.lost(), [0, 1], "{} bytes were awaited", 101 + 2 * 150);
    }

    #[test]
    fn one_who_has_many_addresses_of_a_network_counts_once() {
        let mut world = World::new();
        for last in 1..=3 {
            world.enter(&format!("fd00:1:2:3::{last}"), 0);
        }
        world.enter("fd00:1:2:4::1", 0);
        assert_eq!(world.lost(), [0]);
    }
}
