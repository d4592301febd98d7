//! All that the world knows, behind one lock that is never held while code of a node runs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::{Instant, NetworkHandler, Persisted, Rng, Seed};
use parking_lot::{Mutex, MutexGuard};

use super::clock::HostClock;
use super::disk::HostDisk;
use super::executor::{ExecutorState, HostTasks, TaskKey, Woken};
use super::finding::Finding;
use super::queue::{Event, Queue};
use crate::network::{Endpoint, NetworkState, Report};
use crate::trace::{Kind, Record, Trace};
use crate::{NodeIndex, WorldOptions};

/// Findings kept. One is enough to fail a run; the rest help to understand it.
const FINDINGS_MAX: usize = 1000;

/// One life of one node: what a killed process was given does nothing any more, even if the node runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) node: NodeIndex,
    pub(crate) life: u32,
}

/// The world as its processes share it.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Apart from the state, so that a waker may be used at any time.
    pub(crate) woken: Arc<Woken>,
}

impl Shared {
    pub(crate) fn new(seed: Seed, options: WorldOptions) -> Self {
        Self { state: Mutex::new(State::new(seed, options)), woken: Arc::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What a process holds of the world: its clock, network, disk and executor in one.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) process: Process,
}

impl Handle {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

/// A call into a node, to be made without the lock.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) process: Process,
    pub(crate) report: Report,
}

/// What happened to a stalled process and waits for it to go on.
#[derive(Debug)]
pub(crate) enum Held {
    Call(Call),
    Ready(TaskKey),
    Event(Event),
}

/// One simulated computer and the process on it.
pub(crate) struct Host {
    pub(crate) life: u32,
    pub(crate) running: bool,
    pub(crate) stalled: bool,
    pub(crate) held: Vec<Held>,
    pub(crate) clock: HostClock,
    pub(crate) tasks: HostTasks,
    pub(crate) disk: HostDisk,
    pub(crate) endpoint: Endpoint,
    pub(crate) handler: Option<Arc<dyn NetworkHandler>>,
    pub(crate) seed: Seed,
    /// How many of a million frames of gossip it replaces by lies.
    pub(crate) lies_per_million: u32,
}

pub(crate) struct State {
    pub(crate) now: Instant,
    pub(crate) queue: Queue,
    pub(crate) hosts: Vec<Host>,
    /// Calls that are due now, in order. Never of a stalled process.
    pub(crate) calls: VecDeque<Call>,
    pub(crate) executor: ExecutorState,
    pub(crate) network: NetworkState,
    pub(crate) disk_rng: Rng,
    pub(crate) clock_rng: Rng,
    pub(crate) lies_rng: Rng,
    pub(crate) trace: Trace,
    pub(crate) findings: Vec<Finding>,
    pub(crate) findings_left_out: u64,
    pub(crate) options: WorldOptions,
}

/// What the world does next, outside of the lock.
pub(crate) enum Action {
    Call {
        handler: Arc<dyn NetworkHandler>,
        call: Call,
    },
    Poll(TaskKey),
    Wake {
        node: NodeIndex,
        waker: std::task::Waker,
    },
    Persisted {
        node: NodeIndex,
        done: Persisted,
        result: Result<(), gritmesh_runtime::DiskError>,
    },
    /// Something that nobody waits for any more, to be dropped outside of the lock.
    Discard {
        _event: Option<Event>,
        _call: Option<Call>,
    },
    /// Something that concerned the world only.
    Internal,
}

impl State {
    fn new(seed: Seed, mut options: WorldOptions) -> Self {
        let trace = Trace::new(std::mem::take(&mut options.trace));
        Self {
            now: Instant::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            calls: VecDeque::new(),
            executor: ExecutorState::new(seed.child("executor").rng()),
            network: NetworkState::new(&seed.child("network")),
            disk_rng: seed.child("disk").rng(),
            clock_rng: seed.child("clock").rng(),
            lies_rng: seed.child("lies").rng(),
            trace,
            findings: Vec::new(),
            findings_left_out: 0,
            options,
        }
    }

    pub(crate) fn host(&self, node: NodeIndex) -> &Host {
        &self.hosts[usize::from(node.0)]
    }

    pub(crate) fn host_mut(&mut self, node: NodeIndex) -> &mut Host {
        &mut self.hosts[usize::from(node.0)]
    }

    /// Whether the process is the one that runs on its host now.
    pub(crate) fn is_current(&self, process: Process) -> bool {
        let host = self.host(process.node);
        host.running && host.life == process.life
    }

    /// The process that runs on a host, if one does.
    pub(crate) fn current(&self, node: NodeIndex) -> Option<Process> {
        let host = self.host(node);
        host.running.then_some(Process { node, life: host.life })
    }

    pub(crate) fn record(
        &mut self,
        kind: Kind,
        node: Option<NodeIndex>,
        peer: Option<NodeIndex>,
        numbers: [u64; 2],
    ) {
        self.trace.record(Record { at: self.now, kind, node, peer, numbers });
    }

    pub(crate) fn find(&mut self, node: Option<NodeIndex>, code: &'static str, detail: String) {
        self.find_at(self.now, node, code, detail);
    }

    pub(crate) fn find_at(
        &mut self,
        at: Instant,
        node: Option<NodeIndex>,
        code: &'static str,
        detail: String,
    ) {
        self.trace.note(self.now, node, &format!("finding {code}: {detail}"));
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { at, node, code, detail });
        } else {
            self.findings_left_out += 1;
        }
    }

    /// Chooses what happens next: calls that are due, then woken tasks, then the next event at or before `limit`.
    pub(crate) fn next_action(&mut self, limit: Instant) -> Option<Action> {
        if let Some(call) = self.calls.pop_front() {
            return Some(self.prepare_call(call));
        }
        if let Some(task) = self.pick_ready() {
            return Some(Action::Poll(task));
        }
        self.flush_dirty();
        match self.queue.next_due() {
            Some(due) if due <= limit && self.may_jump_to(due) => {
                self.advance_to(due);
                let event = self.queue.pop_due(self.now)?;
                Some(self.take_event(event))
            }
            _ => self.push_time_on(limit).then_some(Action::Internal),
        }
    }

    pub(crate) fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.executor.polls_here = 0;
    }

    fn prepare_call(&mut self, call: Call) -> Action {
        let host = self.host(call.process.node);
        match &host.handler {
            Some(handler) if self.is_current(call.process) => {
                let handler = Arc::clone(handler);
                self.record_call(&call);
                Action::Call { handler, call }
            }
            _ => Action::Discard { _event: None, _call: Some(call) },
        }
    }

    fn take_event(&mut self, event: Event) -> Action {
        if let Some(owner) = event.owner() {
            if !self.is_current(owner) {
                return Action::Discard { _event: Some(event), _call: None };
            }
            if self.host(owner.node).stalled {
                self.host_mut(owner.node).held.push(Held::Event(event));
                return Action::Internal;
            }
        }
        match event {
            Event::Wake { process, waker } => {
                self.record(Kind::Woken, Some(process.node), None, [0, 0]);
                Action::Wake { node: process.node, waker }
            }
            Event::TaskReady { process, task } => {
                self.make_ready(TaskKey { node: process.node, number: task });
                Action::Internal
            }
            Event::DiskDone { process } => self.finish_write(process.node),
            Event::Network(occurrence) => {
                self.on_network(occurrence);
                Action::Internal
            }
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("now", &self.now)
            .field("nodes", &self.hosts.len())
            .finish_non_exhaustive()
    }
}
