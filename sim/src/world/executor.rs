//! Tasks of all nodes, run one at a time in an order that only the seed decides.
//!
//! Woken tasks form a sorted set and the generator picks among them, so that no code comes to rely on being
//! polled in the order of its wake-ups. Virtual time stands still while tasks run. Tasks that wake each other
//! without end would stop the world, so after [`POLLS_AT_ONE_INSTANT_MAX`] polls time is pushed on a little.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use gritmesh_runtime::{BoxFuture, Instant, Rng};
use parking_lot::Mutex;

use super::finding::{PANIC, SPIN, panic_message};
use super::queue::Event;
use super::state::{Held, Process, Shared, State};
use crate::NodeIndex;
use crate::trace::Kind;

/// Polls before time is pushed on: far more than a burst of real work at one instant takes.
pub(crate) const POLLS_AT_ONE_INSTANT_MAX: u32 = 4096;

/// By how much time is pushed on at first; it doubles up to a thousand times as much.
const PUSH: Duration = Duration::from_micros(1);

/// Pushes in a row after which spinning is a finding; about a second of virtual time.
const PUSHES_UNTIL_SPIN: u32 = 1000;

/// How often a task may pass [`poll_proceed`](gritmesh_runtime::Spawn::poll_proceed) in one poll; as in tokio.
const BUDGET: u32 = 128;

/// Names a task. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskKey {
    pub(crate) node: NodeIndex,
    pub(crate) number: u64,
}

/// Tasks whose wakers were used since the world last looked.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    keys: Mutex<Vec<TaskKey>>,
}

struct TaskWaker {
    key: TaskKey,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.woken.keys.lock().push(self.key);
        }
    }
}

struct Task {
    /// Absent while it is being polled.
    future: Option<BoxFuture<()>>,
    waker: Arc<TaskWaker>,
}

/// The tasks of one process.
#[derive(Default)]
pub(crate) struct HostTasks {
    tasks: BTreeMap<u64, Task>,
}

impl HostTasks {
    /// Takes all tasks out, to be dropped outside of the lock.
    pub(crate) fn take_futures(&mut self) -> Vec<BoxFuture<()>> {
        std::mem::take(&mut self.tasks).into_values().filter_map(|task| task.future).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct ExecutorState {
    ready: Vec<TaskKey>,
    pub(crate) rng: Rng,
    spawned: u64,
    /// Polls since time last moved.
    pub(crate) polls_here: u32,
    pushes_in_a_row: u32,
    /// How often the task that runs may still pass `poll_proceed`.
    pub(crate) budget: u32,
}

impl ExecutorState {
    pub(crate) const fn new(rng: Rng) -> Self {
        Self { ready: Vec::new(), rng, spawned: 0, polls_here: 0, pushes_in_a_row: 0, budget: BUDGET }
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Takes out the ready tasks of one node.
    pub(crate) fn remove_ready(&mut self, node: NodeIndex) -> Vec<TaskKey> {
        self.ready.extract_if(.., |key| key.node == node).collect()
    }
}

impl State {
    /// Turns wake-ups into turns; in some runs a turn comes late, as from a busy scheduler.
    pub(crate) fn settle_woken(&mut self, woken: &Woken) {
        let mut keys = std::mem::take(&mut *woken.keys.lock());
        for key in keys.drain(..) {
            let faults = self.options.scheduling;
            if !self.host(key.node).tasks.tasks.contains_key(&key.number) {
                continue;
            }
            if faults.late > 0.0 && self.executor.rng.chance(faults.late) {
                let delay = self.executor.rng.below(u64::from(faults.late_micros_max) * 1000);
                let process = Process { node: key.node, life: self.host(key.node).life };
                let due = self.now + Duration::from_nanos(delay);
                self.queue.push(due, Event::TaskReady { process, task: key.number });
            } else {
                self.make_ready(key);
            }
        }
        let mut now_empty = woken.keys.lock();
        if now_empty.is_empty() {
            *now_empty = keys;
        }
    }

    /// Gives a task its turn, unless its process is stalled; then the turn waits.
    pub(crate) fn make_ready(&mut self, key: TaskKey) {
        let host = self.host_mut(key.node);
        if host.stalled {
            host.held.push(Held::Ready(key));
        } else if let Err(at) = self.executor.ready.binary_search(&key) {
            self.executor.ready.insert(at, key);
        }
    }

    pub(crate) fn pick_ready(&mut self) -> Option<TaskKey> {
        let executor = &mut self.executor;
        if executor.ready.is_empty() {
            executor.pushes_in_a_row = 0;
            return None;
        }
        if executor.polls_here >= POLLS_AT_ONE_INSTANT_MAX {
            return None;
        }
        executor.polls_here += 1;
        let at = executor.rng.below(executor.ready.len() as u64) as usize;
        Some(executor.ready.remove(at))
    }

    fn push_length(&self) -> Duration {
        PUSH * (1 << self.executor.pushes_in_a_row.min(10))
    }

    /// Whether the next event may be next: always, unless spinning tasks get a push first.
    pub(crate) fn may_jump_to(&self, due: Instant) -> bool {
        self.executor.is_idle() || due <= self.now + self.push_length()
    }

    /// Moves time on a little for tasks that spin. False if nothing spins or the limit is reached.
    pub(crate) fn push_time_on(&mut self, limit: Instant) -> bool {
        let next = self.now + self.push_length();
        if self.executor.is_idle() || next > limit {
            return false;
        }
        self.advance_to(next);
        self.executor.pushes_in_a_row += 1;
        if self.executor.pushes_in_a_row == PUSHES_UNTIL_SPIN {
            let node = self.executor.ready.first().map(|key| key.node);
            self.find(node, SPIN, "tasks wake each other without waiting for anything".into());
        }
        true
    }

    /// Adds a task; its first turn comes as after a wake-up.
    pub(crate) fn add_task(&mut self, node: NodeIndex, future: BoxFuture<()>, woken: &Arc<Woken>) {
        let key = TaskKey { node, number: self.executor.spawned };
        self.executor.spawned += 1;
        self.record(Kind::Spawned, Some(node), None, [key.number, 0]);
        let waker = Arc::new(TaskWaker { key, queued: AtomicBool::new(false), woken: Arc::clone(woken) });
        waker.wake_by_ref();
        self.host_mut(node).tasks.tasks.insert(key.number, Task { future: Some(future), waker });
    }

    fn record_panic(&mut self, node: NodeIndex, payload: &(dyn Any + Send)) {
        self.record(Kind::Panicked, Some(node), None, [0, 0]);
        self.find(Some(node), PANIC, panic_message(payload));
    }

    fn draw_budget(&mut self) {
        let faults = self.options.scheduling;
        self.executor.budget = match faults.yields {
            true => 1 + self.executor.rng.below(8) as u32,
            false => BUDGET,
        };
    }
}

impl Shared {
    /// Polls one task outside of the lock.
    pub(crate) fn poll_task(&self, key: TaskKey) {
        let mut state = self.lock();
        let Some(task) = state.host_mut(key.node).tasks.tasks.get_mut(&key.number) else { return };
        let Some(mut future) = task.future.take() else { return };
        let waker = Arc::clone(&task.waker);
        state.draw_budget();
        state.record(Kind::Polled, Some(key.node), None, [key.number, 0]);
        drop(state);
        waker.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(waker);
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        if matches!(polled, Ok(Poll::Pending)) {
            let mut state = self.lock();
            if let Some(task) = state.host_mut(key.node).tasks.tasks.get_mut(&key.number) {
                task.future = Some(future);
            }
            return;
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        let mut state = self.lock();
        state.host_mut(key.node).tasks.tasks.remove(&key.number);
        state.record(Kind::Ended, Some(key.node), None, [key.number, 0]);
        for payload in [polled.err(), dropped.err()].into_iter().flatten() {
            state.record_panic(key.node, &*payload);
        }
    }

    /// Runs code of a node outside of the lock; a panic becomes a finding.
    pub(crate) fn guarded(&self, node: NodeIndex, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.lock().record_panic(node, &*payload);
        }
    }
}
