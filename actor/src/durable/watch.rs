//! The deadlines of callers whose answers wait for a commit: one task for all of a node's.
//!
//! A turn is over when its gate is still closed, so no task of the actor is left to look at a clock. Thousands wait
//! at once, nearly all for less than a millisecond: a timer for each would cost more than the rest of the wait.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, Waker};

use futures::FutureExt;
use gritmesh_runtime::{BoxFuture, Instant};
use parking_lot::Mutex;

use crate::durable::gate::Waiting;
use crate::host::Host;

/// A deadline, and a number that tells equal ones apart.
pub(crate) type WatchKey = (Instant, u64);

/// The answers that wait, by the deadlines of their callers. There are as many as there are gates, which the
/// activations bound.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: BTreeMap<WatchKey, Arc<Waiting>>,
    numbers: u64,
    /// When the task looks again, and how to wake it earlier; `None` while it runs.
    alarm: Option<(Instant, Waker)>,
    has_task: bool,
}

impl Watch {
    pub(crate) fn insert(&self, deadline: Instant, waiting: Arc<Waiting>) -> WatchKey {
        let mut inner = self.0.lock();
        inner.numbers += 1;
        let key = (deadline, inner.numbers);
        inner.waiting.insert(key, waiting);
        let woken = inner.alarm.take_if(|(at, _)| deadline < *at);
        drop(inner);
        if let Some((_, waker)) = woken {
            waker.wake();
        }
        key
    }

    pub(crate) fn remove(&self, key: WatchKey) {
        let removed = self.0.lock().waiting.remove(&key);
        drop(removed);
    }

    /// Forgets everybody, as a crash does.
    pub(crate) fn clear(&self) {
        let dropped = std::mem::take(&mut self.0.lock().waiting);
        drop(dropped);
    }

    /// Has a task look after the deadlines, unless one does.
    pub(crate) fn begin(self: &Arc<Self>, host: &Arc<dyn Host>) {
        if !std::mem::replace(&mut self.0.lock().has_task, true) {
            let task = Watching { watch: Arc::clone(self), host: Arc::downgrade(host), sleep: None };
            host.spawn().spawn(Box::pin(task));
        }
    }

    /// Takes out what is late, and says when to look again; never, if nothing waits.
    fn late(&self, now: Instant, waker: &Waker) -> (Vec<Arc<Waiting>>, Option<Instant>) {
        let mut inner = self.0.lock();
        let after = inner.waiting.split_off(&(now, u64::MAX));
        let late = std::mem::replace(&mut inner.waiting, after);
        let next = inner.waiting.first_key_value().map(|((deadline, _), _)| *deadline);
        inner.alarm = next.map(|at| (at, waker.clone()));
        inner.has_task = next.is_some();
        (late.into_values().collect(), next)
    }
}

struct Watching {
    watch: Arc<Watch>,
    /// The task outlives those for whom it was begun, and must not keep the node alive.
    host: Weak<dyn Host>,
    sleep: Option<(Instant, BoxFuture<()>)>,
}

impl Future for Watching {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            let Some(host) = self.host.upgrade() else {
                return Poll::Ready(());
            };
            let (late, next) = self.watch.late(host.clock().now(), cx.waker());
            late.into_iter().for_each(|waiting| waiting.expire());
            let Some(next) = next else {
                return Poll::Ready(());
            };
            if self.sleep.as_ref().is_none_or(|(at, _)| *at != next) {
                self.sleep = Some((next, host.spawn().sleep_until(next)));
            }
            let (_, sleep) = self.sleep.as_mut().expect("it was just set");
            if sleep.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
    }
}
