//! Starting a node as its operator's machine would: read the disk, make the incarnation durable, listen. A start that
//! fails is tried again, as a supervisor of processes would.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use gritmesh_core::{Node, NodeOptions, Remembered, incarnation, remembered};
use gritmesh_runtime::{Batch, DiskError, Environment, Instant, NodeInfo, TypesDigest, WIRE_VERSION};

use super::Sim;
use crate::world::NodeIndex;

/// How long the supervisor waits before it starts a process again that could not start.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A node that is being started.
pub(super) enum Boot {
    /// The incarnation is being written.
    Writing {
        environment: Environment,
        remembered: Box<Remembered>,
        written: oneshot::Receiver<Result<(), DiskError>>,
    },
    /// The last try failed.
    Waiting { until: Instant },
}

impl Sim {
    pub(super) fn boot(&mut self, node: NodeIndex) {
        if !self.world.is_running(node) {
            drop(self.world.restart(node));
        }
        let environment = self.world.environment(node);
        let boot = match remembered(&*environment.disk) {
            Ok(remembered) => {
                let (sender, written) = oneshot::channel();
                let record = incarnation(remembered.incarnation);
                let done = Box::new(move |result| drop(sender.send(result)));
                environment.disk.write(Batch::synced(vec![record]).into(), done);
                Boot::Writing { environment, remembered: Box::new(remembered), written }
            }
            Err(_) => self.fail(node),
        };
        self.members[usize::from(node.0)].boot = Some(boot);
    }

    fn fail(&mut self, node: NodeIndex) -> Boot {
        self.world.kill(node);
        Boot::Waiting { until: self.now() + RETRY_AFTER }
    }

    /// Goes on with nodes that are being started, and ends those that found that they must stop.
    pub(super) fn look_after_boots(&mut self) {
        for number in 0..self.len() {
            let stops = self.members[usize::from(number)].node.take_if(|node| node.must_stop());
            if let Some(node) = stops {
                node.stop();
                self.members[usize::from(number)].leaving = None;
                let boot = self.fail(NodeIndex(number));
                self.members[usize::from(number)].boot = Some(boot);
            }
        }
        for number in 0..self.len() {
            let node = NodeIndex(number);
            match self.members[usize::from(number)].boot.take() {
                None => {}
                Some(Boot::Waiting { until }) if until > self.now() => {
                    self.members[usize::from(number)].boot = Some(Boot::Waiting { until });
                }
                Some(Boot::Waiting { .. }) => self.boot(node),
                Some(Boot::Writing { environment, remembered, mut written }) => {
                    let boot = match (&mut written).now_or_never() {
                        None => Some(Boot::Writing { environment, remembered, written }),
                        Some(Ok(Ok(()))) => {
                            self.listen(node, environment, *remembered);
                            None
                        }
                        Some(_) => Some(self.fail(node)),
                    };
                    self.members[usize::from(number)].boot = boot;
                }
            }
        }
    }

    fn listen(&mut self, node: NodeIndex, environment: Environment, remembered: Remembered) {
        let registry = (self.registry)(node, self.world.notes(node));
        let address = self.world.address(node);
        let info = NodeInfo {
            node_id: self.world.node_id(node),
            incarnation: remembered.incarnation,
            peer_address: address,
            http_address: None,
            name: node.to_string(),
            zone: String::new(),
            weight: 1,
            wire_version: WIRE_VERSION,
            types: TypesDigest::of(registry.names()),
        };
        let listed = (0..self.len().min(self.seeds)).map(|number| self.world.address(NodeIndex(number)));
        let seeds = match &self.name {
            Some(name) => vec![format!("{name}:{}", address.port())],
            None => listed.map(|address| address.to_string()).collect(),
        };
        let watcher = self.watcher.as_ref().map(|watcher| watcher(node, self.world.notes(node)));
        let own_addresses = vec![address.to_string()];
        let options = NodeOptions { seeds, own_addresses, watcher, ..self.options.clone() };
        let started = Node::start(environment, info, remembered, registry, options);
        let started = started.expect("the settings of a simulated node are in range");
        self.world.attach(node, Arc::clone(&started) as _);
        self.members[usize::from(node.0)].node = Some(started);
    }
}
