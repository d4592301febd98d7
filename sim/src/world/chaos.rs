//! What can be done to the nodes and the links between them.

use gritmesh_runtime::{Environment, LossReason};
use serde::{Deserialize, Serialize};

use super::state::{Held, State};
use super::{Event, NodeIndex, World, default_hello};
use crate::network::{Endpoint, NetworkOccurrence};
use crate::options::{DiskFaults, NetworkFaults, SchedulingFaults};
use crate::trace::{Kind, digest};

/// Links that carry nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partition {
    /// Nodes of different groups do not reach each other. A node in no group reaches everyone.
    Groups(Vec<Vec<NodeIndex>>),
    /// What the first nodes send does not reach the second ones; the other direction works.
    OneWay {
        /// Senders.
        from: Vec<NodeIndex>,
        /// Receivers.
        to: Vec<NodeIndex>,
    },
}

impl Partition {
    /// The links, as sender and receiver.
    pub fn links(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let mut links = Vec::new();
        let mut cross = |from: &[NodeIndex], to: &[NodeIndex]| {
            links.extend(from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b));
        };
        match self {
            Self::OneWay { from, to } => cross(from, to),
            Self::Groups(groups) => {
                for (at, group) in groups.iter().enumerate() {
                    for (_, other) in groups.iter().enumerate().filter(|(other, _)| *other != at) {
                        cross(group, other);
                    }
                }
            }
        }
        links
    }
}

impl World {
    /// Ends a process as a power failure does: all its tasks, timers and unfinished writes are gone at once, and
    /// peers find out by a reset. Nothing happens if none runs.
    pub fn kill(&mut self, node: NodeIndex) {
        self.end_process(node, LossReason::Reset);
    }

    /// Ends a process in good order: what it has queued for connected peers is written out as far as their windows
    /// have room, then they see their connections closed. Nothing happens if none runs.
    pub fn shut_down(&mut self, node: NodeIndex) {
        self.shared.lock().flush_dirty();
        self.end_process(node, LossReason::Closed);
    }

    /// Starts a process on the same disk, after killing the one that runs. It listens once
    /// [`attach`](Self::attach) was called again.
    pub fn restart(&mut self, node: NodeIndex) -> Environment {
        self.kill(node);
        self.shared.lock().start_process(node);
        self.environment(node)
    }

    /// Stops a process as SIGSTOP does: nothing happens in it, and what happens to it waits. Peers notice
    /// nothing but silence.
    pub fn stall(&mut self, node: NodeIndex) {
        let mut state = self.shared.lock();
        if state.current(node).is_none() || state.host(node).stalled {
            return;
        }
        state.record(Kind::Stalled, Some(node), None, [0, 0]);
        let (calls, others) = std::mem::take(&mut state.calls)
            .into_iter()
            .partition::<Vec<_>, _>(|call| call.process.node == node);
        state.calls = others.into();
        let ready = state.executor.remove_ready(node);
        let host = state.host_mut(node);
        host.stalled = true;
        host.held.extend(calls.into_iter().map(Held::Call));
        host.held.extend(ready.into_iter().map(Held::Ready));
    }

    /// Lets a stalled process go on: what happened to it meanwhile happens now, in order.
    pub fn resume(&mut self, node: NodeIndex) {
        let mut state = self.shared.lock();
        if !std::mem::take(&mut state.host_mut(node).stalled) {
            return;
        }
        state.record(Kind::Resumed, Some(node), None, [0, 0]);
        let now = state.now;
        for held in std::mem::take(&mut state.host_mut(node).held) {
            match held {
                Held::Call(call) => state.calls.push_back(call),
                Held::Ready(task) => state.make_ready(task),
                Held::Event(event) => drop(state.queue.push(now, event)),
            }
        }
        state.mark_all_dirty(node);
    }

    /// Blocks links, in addition to those that are blocked. What is under way on them waits.
    pub fn partition(&mut self, partition: &Partition) {
        let mut state = self.shared.lock();
        let now = state.now;
        for link in partition.links() {
            state.network.links.block(link, now);
            state.record(Kind::LinkBlocked, Some(link.0), Some(link.1), [0, 0]);
        }
        state.watch_connections();
    }

    /// Makes a link slower by a factor in one direction; 1 restores it.
    pub fn slow_link(&mut self, from: NodeIndex, to: NodeIndex, factor: u32) {
        let mut state = self.shared.lock();
        state.network.links.slow((from, to), factor);
        state.record(Kind::LinkSlowed, Some(from), Some(to), [u64::from(factor), 0]);
    }

    /// Makes all links whole: none is blocked, none is slow. Returns at once; connections recover by themselves.
    pub fn heal(&mut self) {
        let mut state = self.shared.lock();
        state.record(Kind::Healed, None, None, [0, 0]);
        state.network.links.restore_all();
        let unblocked = state.network.links.unblock_all();
        state.unblock_links(&unblocked);
    }

    /// Cuts two nodes off from each other, and from nobody else: in both directions, or only what the first one sends to
    /// the second.
    pub fn cut_pair(&mut self, one: NodeIndex, other: NodeIndex, one_way: bool) {
        let mut state = self.shared.lock();
        let now = state.now;
        for link in [(one, other), (other, one)].into_iter().take(if one_way { 1 } else { 2 }) {
            state.network.links.cut(link, now);
            state.record(Kind::LinkBlocked, Some(link.0), Some(link.1), [0, 0]);
        }
        state.watch_connections();
    }

    /// Lets two nodes that were cut off from each other meet again, unless a partition is between them.
    pub fn mend_pair(&mut self, one: NodeIndex, other: NodeIndex) {
        let mut state = self.shared.lock();
        state.record(Kind::Healed, Some(one), Some(other), [0, 0]);
        let links = &mut state.network.links;
        let unblocked =
            [(one, other), (other, one)].into_iter().filter_map(|link| links.mend(link)).collect();
        state.unblock_links(&unblocked);
    }

    /// Lets a node replace so many of a million of its frames of gossip by lies, from now on and whatever runs there.
    pub fn set_lies(&mut self, node: NodeIndex, per_million: u32) {
        self.shared.lock().host_mut(node).lies_per_million = per_million;
        self.note(Some(node), &format!("lies in {per_million} of a million frames of gossip"));
    }

    /// Lets a name stand for these nodes from now on, as the host part of an address. For none, it cannot be resolved.
    pub fn set_name(&mut self, name: &str, nodes: &[NodeIndex]) {
        let mut state = self.shared.lock();
        state.network.set_name(name, nodes.to_vec());
        drop(state);
        self.note(None, &format!("{name} stands for {nodes:?}"));
    }

    /// Moves the wall clock of a node; its monotonic clock goes on as if nothing had happened.
    pub fn jump_wall_clock(&mut self, node: NodeIndex, millis: i64) {
        let mut state = self.shared.lock();
        state.host_mut(node).clock.jump_wall(millis);
        state.record(Kind::WallClockMoved, Some(node), None, [millis as u64, 0]);
    }

    /// Changes how the disk of a node behaves from now on.
    pub fn set_disk_faults(&mut self, node: NodeIndex, faults: DiskFaults) {
        let mut state = self.shared.lock();
        state.host_mut(node).disk.faults = faults;
        let summary = digest(format!("{faults:?}").as_bytes());
        state.record(Kind::DiskChanged, Some(node), None, [summary, 0]);
    }

    /// How the disk of a node behaves.
    pub fn disk_faults(&self, node: NodeIndex) -> DiskFaults {
        self.shared.lock().host(node).disk.faults
    }

    /// Changes how all links behave from now on.
    pub fn set_network_faults(&mut self, faults: NetworkFaults) {
        self.shared.lock().options.network = faults;
        self.note(None, &format!("{faults:?}"));
    }

    /// Changes how tasks and timers are treated from now on.
    pub fn set_scheduling_faults(&mut self, faults: SchedulingFaults) {
        self.shared.lock().options.scheduling = faults;
        self.note(None, &format!("{faults:?}"));
    }

    /// Ends all faults, for the phase in which the nodes have to recover: links are whole, nothing is lost on
    /// them, disks work, stalled processes go on. Killed nodes stay down: to start a node is the driver's part.
    pub fn calm(&mut self) {
        self.heal();
        let network = self.shared.lock().options.network;
        let kept = NetworkFaults { retransmit: 0.0, vanish: 0.0, duplicate: 0.0, overtake: 0.0, ..network };
        self.set_network_faults(kept);
        self.set_scheduling_faults(SchedulingFaults::default());
        for node in (0..self.nodes()).map(|node| NodeIndex(node as u16)) {
            self.set_disk_faults(node, DiskFaults::default());
            self.shared.lock().host_mut(node).lies_per_million = 0;
            self.resume(node);
        }
    }

    pub(super) fn end_process(&mut self, node: NodeIndex, reason: LossReason) {
        let mut state = self.shared.lock();
        let Some(process) = state.current(node) else { return };
        state.record(Kind::Killed, Some(node), None, [u64::from(reason == LossReason::Closed), 0]);
        let host = state.host_mut(node);
        (host.running, host.stalled) = (false, false);
        let handler = host.handler.take();
        let futures = host.tasks.take_futures();
        let mut held = std::mem::take(&mut host.held);
        let ready = state.executor.remove_ready(node);
        let events = state.queue.remove_owned_by(process);
        state.hang_up_all(process, reason);
        let writes = state.crash_disk(node);
        let now = state.now;
        // Who was about to connect learns that nobody listens.
        let is_syn =
            |held: &mut Held| matches!(held, Held::Event(Event::Network(NetworkOccurrence::Syn { .. })));
        for held in held.extract_if(.., is_syn) {
            if let Held::Event(event) = held {
                state.queue.push(now, event);
            }
        }
        drop(state);
        drop(ready);
        // Dropping code of a node may call back and may panic, like any other code of it.
        futures.into_iter().for_each(|future| self.shared.guarded(node, || drop(future)));
        writes.into_iter().for_each(|done| self.shared.guarded(node, || drop(done)));
        self.shared.guarded(node, || drop((held, events)));
        self.shared.guarded(node, || drop(handler));
    }
}

impl State {
    pub(super) fn start_process(&mut self, node: NodeIndex) {
        let now = self.now;
        let host = &mut self.hosts[usize::from(node.0)];
        // The first process is life 1, so that life 0 never runs.
        host.life += 1;
        host.running = true;
        host.clock.start_process(now, &mut self.clock_rng);
        let (id, address) = (host.endpoint.node_id, host.endpoint.address);
        host.endpoint = Endpoint::new(host.endpoint.secret.clone(), default_hello(id, address));
        let life = u64::from(host.life);
        self.record(Kind::Started, Some(node), None, [life, 0]);
    }

    fn mark_all_dirty(&mut self, node: NodeIndex) {
        let Some(process) = self.current(node) else { return };
        let peers: Vec<_> = self.host(node).endpoint.peers.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.mark_dirty(process, peer));
    }
}
