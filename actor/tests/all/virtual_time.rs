//! One thread, a clock that jumps, and tasks that run in the order in which they were woken.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use gritmesh_runtime::{BoxFuture, Clock, Instant, Spawn, UnixTime};

#[derive(Clone, Default)]
pub(crate) struct World(Arc<Inner>);

#[derive(Default)]
struct Inner {
    now: AtomicU64,
    ready: Mutex<VecDeque<Arc<Task>>>,
    timers: Mutex<BTreeMap<(Instant, u64), Waker>>,
    numbers: AtomicU64,
    spawned: AtomicU64,
    /// Every so many calls one has to yield; zero for never.
    yield_every: AtomicU64,
}

struct Task {
    future: Mutex<Option<BoxFuture<()>>>,
    queued: AtomicBool,
    world: World,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.world.0.ready.lock().unwrap().push_back(Arc::clone(&self));
        }
    }
}

impl World {
    /// How many tasks were ever spawned.
    pub(crate) fn spawned(&self) -> u64 {
        self.0.spawned.load(Ordering::SeqCst)
    }

    pub(crate) fn yield_every(&self, calls: u64) {
        self.0.yield_every.store(calls, Ordering::SeqCst);
    }

    /// Starts a future, and returns where its result will be.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let task = Task {
            future: Mutex::new(Some(Box::pin(async move { *place.lock().unwrap() = Some(future.await) }))),
            queued: AtomicBool::new(false),
            world: self.clone(),
        };
        Arc::new(task).wake();
        self.settle();
        Pending(result)
    }

    /// Runs until nobody is ready. Time stands still.
    pub(crate) fn settle(&self) {
        loop {
            let Some(task) = self.0.ready.lock().unwrap().pop_front() else { return };
            task.queued.store(false, Ordering::SeqCst);
            let Some(mut future) = task.future.lock().unwrap().take() else { continue };
            let waker = Waker::from(Arc::clone(&task));
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                *task.future.lock().unwrap() = Some(future);
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, duration: Duration) {
        let end = self.now() + duration;
        self.settle();
        loop {
            let due = {
                let mut timers = self.0.timers.lock().unwrap();
                match timers.first_key_value() {
                    Some(((due, _), _)) if *due <= end => timers.pop_first(),
                    _ => None,
                }
            };
            let Some(((due, _), waker)) = due else { break };
            self.0.now.fetch_max(due.as_nanos(), Ordering::SeqCst);
            waker.wake();
            self.settle();
        }
        self.0.now.store(end.as_nanos(), Ordering::SeqCst);
        self.settle();
    }

    /// Runs a future to its end, passing as much time as it needs, up to an hour.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let pending = self.begin(future);
        for _ in 0..3600 {
            if let Some(result) = pending.take() {
                return result;
            }
            self.pass(Duration::from_secs(1));
        }
        panic!("the future does not end");
    }

    /// Drops all tasks that are ready, as an executor does that is shut down.
    pub(crate) fn shut_down(&self) {
        let ready = std::mem::take(&mut *self.0.ready.lock().unwrap());
        drop(ready);
    }
}

pub(crate) struct Pending<T>(Arc<Mutex<Option<T>>>);

impl<T> Pending<T> {
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap().take()
    }
}

impl Clock for World {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now.load(Ordering::SeqCst))
    }

    fn unix_time(&self) -> UnixTime {
        UnixTime(self.now().as_nanos() / 1_000_000)
    }
}

impl Spawn for World {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawned.fetch_add(1, Ordering::SeqCst);
        let task =
            Task { future: Mutex::new(Some(task)), queued: AtomicBool::new(false), world: self.clone() };
        Arc::new(task).wake();
    }

    fn sleep_until(&self, due: Instant) -> BoxFuture<()> {
        let number = self.0.numbers.fetch_add(1, Ordering::SeqCst);
        Box::pin(Sleep { world: self.clone(), key: (due, number) })
    }

    fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let every = self.0.yield_every.load(Ordering::SeqCst);
        if every > 0 && self.0.numbers.fetch_add(1, Ordering::SeqCst).is_multiple_of(every) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

struct Sleep {
    world: World,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.key.0 {
            return Poll::Ready(());
        }
        self.world.0.timers.lock().unwrap().insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.world.0.timers.lock().unwrap().remove(&self.key);
    }
}
