//! Connections that serve no request, which give way when there are as many connections as there may be.
//!
//! **Problem.** A connection that rests costs its client nothing, and takes one of the few that a node has for as long as it may
//! rest. A few hundred of them lock everybody out, and those who ask whether the node is alive, too.
//!
//! **Design.** A connection *serves* from when the head of a request is there until the last byte of the answer is written;
//! else it rests, and a head that is not complete is no request. One more than there may be has one that rests end: of
//! the address that has most of these, the one that has rested for the longest time. Only what serves cannot be made to
//! give way, so that no request ends without an answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use gritmesh_transport::Crowd;
use hyper::body::{Body as Frames, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The connections of one server that rest.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<Crowd<Arc<Notify>>>);

impl Resting {
    /// Takes in a new connection. It rests.
    pub(super) fn take_in(self: &Arc<Self>, from: IpAddr) -> Arc<Seat> {
        let cut = Arc::new(Notify::new());
        let stage = Mutex::new(Stage::Resting(self.0.lock().enter(from, Arc::clone(&cut))));
        Arc::new(Seat { resting: Arc::clone(self), from, stage, cut })
    }

    /// Has one end, soon. Returns whether any rests.
    pub(super) fn make_room(&self) -> bool {
        let leaves = self.0.lock().make_room();
        leaves.inspect(|cut| cut.notify_one()).is_some()
    }
}

/// What a connection does.
#[derive(Debug)]
enum Stage {
    /// Nothing, under this number.
    Resting(u64),
    /// There is a request, and its answer is not complete.
    Serving,
    /// The answer is complete and may not be written yet.
    Answered,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    resting: Arc<Resting>,
    from: IpAddr,
    stage: Mutex<Stage>,
    cut: Arc<Notify>,
}

impl Seat {
    /// Waits until the connection has to end.
    pub(super) async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Notes that a request has come. `None` if the connection has to end: then nothing may come of the request.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Underway> {
        let mut stage = self.stage.lock();
        if let Stage::Resting(number) = *stage {
            self.resting.0.lock().leave(self.from, number)?;
        }
        *stage = Stage::Serving;
        Some(Underway(Arc::clone(self)))
    }

    fn answered(&self) {
        *self.stage.lock() = Stage::Answered;
    }

    /// Notes that everything is written that there is.
    pub(super) fn written(&self) {
        let mut stage = self.stage.lock();
        if matches!(*stage, Stage::Answered) {
            *stage = Stage::Resting(self.resting.0.lock().enter(self.from, Arc::clone(&self.cut)));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Stage::Resting(number) = *self.stage.get_mut() {
            self.resting.0.lock().leave(self.from, number);
        }
    }
}

/// A request, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Underway(Arc<Seat>);

impl Underway {
    /// The answer with its request: they end together.
    pub(super) const fn answer(self, body: Body) -> Answer {
        Answer { body, _request: self }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// The body of an answer. It is dropped when it is complete.
pub(super) struct Answer {
    body: Body,
    _request: Underway,
}

impl Frames for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What comes of a request whose connection has to end: it is cut before this does.
pub(super) async fn nothing() -> Infallible {
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_cut(seat: &Seat) -> bool {
        seat.cut().now_or_never().is_some()
    }

    #[test]
    fn what_serves_does_not_give_way() {
        let resting = Arc::new(Resting::default());
        let from = [127, 0, 0, 1].into();
        let (first, second) = (resting.take_in(from), resting.take_in(from));
        let request = first.begin().unwrap();
        first.written();
        assert!(resting.make_room() && !resting.make_room());
        assert_eq!((is_cut(&first), is_cut(&second)), (false, true));
        assert!(second.begin().is_none(), "a request that comes too late is not begun");
        drop(request);
        assert!(!resting.make_room(), "the answer is not written");
        first.written();
        assert!(resting.make_room() && is_cut(&first));
    }

    #[test]
    fn the_one_that_has_rested_longest_gives_way_and_none_that_is_gone() {
        let resting = Arc::new(Resting::default());
        let from = [127, 0, 0, 1].into();
        let [first, second, third] = [(); 3].map(|()| resting.take_in(from));
        drop(first.begin());
        first.written();
        drop(second);
        assert!(resting.make_room() && is_cut(&third) && !is_cut(&first));
        // Requests may follow one another faster than their answers are written.
        let request = first.begin().unwrap();
        drop(request);
        let request = first.begin().unwrap();
        first.written();
        assert!(!resting.make_room());
        drop((request, first));
        assert!(!resting.make_room() && resting.0.lock().is_empty());
    }
}
