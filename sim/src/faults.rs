//! What goes wrong in a run, and when: a plan that follows from the seed and can be printed before anything runs.
//!
//! **Problem.** If every run has a little of every fault, some bugs never show: a retransmission hides a lost
//! reply, a crash hides a leak. And a failure that cannot say what was done to it is hard to read.
//!
//! **Design.** *Swarm testing*: each [`Classes`] of faults is on or off for the whole run, by the seed. What is on
//! becomes options of the world and a schedule of [`Intervention`]s, which together are plain data. The schedule
//! covers the *safety* phase, in which nothing wrong may happen; every span in it ends by its end. The driver then
//! calls [`World::calm`](crate::World::calm) for the *liveness* phase, in which the nodes have to recover.
//!
//! *Bits flip* on one disk only in a whole run, that of a node which is drawn once, and not before each shard has three
//! voters: what has flipped may lie unread for ever, so a second disk, however much later, could lose the other copy of
//! what is damaged here. The node is killed and started again now and then, since most of what it has written it reads
//! only when it starts. With one bad disk of three, all that was acknowledged is whole on another one, and what the
//! bad one has lost must come back. Whatever else is on, goes on beside it.
//!
//! **Deliberately absent.** What is wrong and what is recovered: that is known to the checkers. Bits that flip on two
//! disks: nobody could promise anything.

mod draw;
mod schedule;

use std::fmt;
use std::time::Duration;

use gritmesh_runtime::{Environment, Seed};
use serde::{Deserialize, Serialize};

use crate::options::{DiskFaults, NetworkFaults, SchedulingFaults, TraceOptions, WorldOptions};
use crate::world::{NodeIndex, Partition, World};

/// The name that is the only seed of all nodes, where names are on.
pub(crate) const SEED_NAME: &str = "gm";

/// Something done to the world from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Intervention {
    /// Blocks links.
    Partition(Partition),
    /// Makes all links whole.
    Heal,
    /// Cuts two nodes off from each other, and from nobody else.
    CutPair {
        /// One of them.
        one: NodeIndex,
        /// The other one.
        other: NodeIndex,
        /// Whether only what the first one sends does not arrive.
        one_way: bool,
    },
    /// Lets them meet again.
    MendPair {
        /// One of them.
        one: NodeIndex,
        /// The other one.
        other: NodeIndex,
    },
    /// Kills a process.
    Crash(NodeIndex),
    /// Starts it again.
    Restart(NodeIndex),
    /// Kills a process, if one runs, and starts it again at once.
    Reboot(NodeIndex),
    /// Tells a process to end in good order: to hand over what it serves, and to say good-bye.
    Leave(NodeIndex),
    /// Starts it again if it ended, and cuts it short if it has not yet.
    Return(NodeIndex),
    /// Stops a process as SIGSTOP does.
    Stall(NodeIndex),
    /// Lets it go on.
    Resume(NodeIndex),
    /// Moves a wall clock.
    JumpWallClock {
        /// Whose.
        node: NodeIndex,
        /// By how much, in milliseconds; negative is back.
        millis: i64,
    },
    /// Makes a link slower in one direction; factor 1 restores it.
    SlowLink {
        /// Sender.
        from: NodeIndex,
        /// Receiver.
        to: NodeIndex,
        /// By which factor.
        factor: u32,
    },
    /// Lets a disk be full, or not any more.
    FullDisk {
        /// Whose.
        node: NodeIndex,
        /// Whether it is full now.
        full: bool,
    },
    /// Lets bits flip in what is written to a disk, or not any more. What has flipped stays. A run leaves it out as
    /// long as a shard has less than three voters.
    FlipBits {
        /// Whose.
        node: NodeIndex,
        /// In how many of a million values.
        per_million: u32,
    },
    /// Lets the name that is the only seed of all nodes stand for these from now on.
    Name(Vec<NodeIndex>),
    /// Lets a node lie about members and shards, or not any more.
    Lie {
        /// Who.
        node: NodeIndex,
        /// In how many of a million frames of gossip.
        per_million: u32,
    },
}

/// An intervention and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedIntervention {
    /// Microseconds since the start of the safety phase.
    pub at_micros: u64,
    /// What is done.
    pub intervention: Intervention,
}

impl PlannedIntervention {
    /// Time since the start of the safety phase.
    pub const fn at(&self) -> Duration {
        Duration::from_micros(self.at_micros)
    }
}

/// Which kinds of faults a run has at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the options and interventions that they switch on")]
pub struct Classes {
    pub yields: bool,
    pub late_tasks: bool,
    pub late_timers: bool,
    pub drift: bool,
    pub wide_area: bool,
    pub jitter: bool,
    pub retransmit: bool,
    pub vanish: bool,
    pub duplicate: bool,
    pub overtake: bool,
    pub partitions: bool,
    pub one_way_partitions: bool,
    pub crashes: bool,
    pub stalls: bool,
    pub clock_jumps: bool,
    pub slow_links: bool,
    pub slow_disks: bool,
    pub disk_errors: bool,
    pub full_disks: bool,
    pub leaves: bool,
    #[serde(default)]
    pub flipped_bits: bool,
    #[serde(default)]
    pub cut_pairs: bool,
    #[serde(default)]
    pub great_clock_jumps: bool,
    #[serde(default)]
    pub lies: bool,
    #[serde(default)]
    pub names: bool,
}

impl Classes {
    /// No faults at all.
    pub const NONE: Self = Self::each(false);
    /// All of them.
    pub const ALL: Self = Self::each(true);

    const fn each(on: bool) -> Self {
        Self {
            yields: on,
            late_tasks: on,
            late_timers: on,
            drift: on,
            wide_area: on,
            jitter: on,
            retransmit: on,
            vanish: on,
            duplicate: on,
            overtake: on,
            partitions: on,
            one_way_partitions: on,
            crashes: on,
            stalls: on,
            clock_jumps: on,
            slow_links: on,
            slow_disks: on,
            disk_errors: on,
            full_disks: on,
            leaves: on,
            flipped_bits: on,
            cut_pairs: on,
            great_clock_jumps: on,
            lies: on,
            names: on,
        }
    }

    /// Some of them.
    pub fn from_seed(seed: &Seed) -> Self {
        let mut rng = seed.child("classes").rng();
        let mut often = || rng.chance(0.5);
        let mut classes = Self {
            yields: often(),
            late_tasks: often(),
            late_timers: often(),
            drift: often(),
            wide_area: often(),
            jitter: often(),
            retransmit: often(),
            partitions: often(),
            one_way_partitions: often(),
            crashes: often(),
            stalls: often(),
            clock_jumps: often(),
            slow_links: often(),
            slow_disks: often(),
            ..Self::NONE
        };
        // What breaks a promise of the network, or stops a node, is rarer, lest it hide the rest.
        let mut rarely = || rng.chance(0.2);
        classes.vanish = rarely();
        classes.duplicate = rarely();
        classes.overtake = rarely();
        classes.disk_errors = rarely();
        classes.full_disks = rarely();
        // Drawn last, so that older seeds keep their other classes.
        classes.leaves = rng.chance(0.3);
        classes.flipped_bits = rng.chance(0.2);
        // From generators of their own, for the same reason.
        classes.cut_pairs = seed.child("cut pairs").rng().chance(0.4);
        classes.great_clock_jumps = seed.child("great clock jumps").rng().chance(0.2);
        classes.lies = seed.child("lies").rng().chance(0.15);
        classes.names = seed.child("names").rng().chance(0.1);
        // Who founds behind a name relies on answers of the last two seconds.
        classes.slow_links &= !classes.names;
        classes
    }
}

/// All that is done to the nodes in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Length of the safety phase, in microseconds.
    pub duration_micros: u64,
    /// What is on.
    pub classes: Classes,
    /// How tasks and timers are treated.
    pub scheduling: SchedulingFaults,
    /// How links behave.
    pub network: NetworkFaults,
    /// How disks behave.
    pub disk: DiskFaults,
    /// How far clocks go wrong, at most, in millionths.
    pub drift_ppm_max: u32,
    /// What is done when, in order.
    pub schedule: Vec<PlannedIntervention>,
}

impl Plan {
    /// The plan of a seed for `nodes` nodes and a safety phase of `duration`.
    pub fn from_seed(seed: &Seed, nodes: u16, duration: Duration) -> Self {
        Self::of_classes(seed, Classes::from_seed(seed), nodes, duration)
    }

    /// A plan with given classes of faults. A class draws the same whatever else is on.
    pub fn of_classes(seed: &Seed, classes: Classes, nodes: u16, duration: Duration) -> Self {
        let rng = |label: &str| seed.child(label).rng();
        Self {
            duration_micros: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            classes,
            scheduling: draw::scheduling(classes, &mut rng("scheduling")),
            network: draw::network(classes, &mut rng("network")),
            disk: draw::disk(classes, &mut rng("disk")),
            drift_ppm_max: if classes.drift { 1 + rng("drift").below(500) as u32 } else { 0 },
            schedule: schedule::draw(seed, classes, nodes, duration),
        }
    }

    /// Options for the world that the plan is for.
    pub fn options(&self, trace: TraceOptions) -> WorldOptions {
        WorldOptions {
            scheduling: self.scheduling,
            network: self.network,
            disk: self.disk,
            drift_ppm_max: self.drift_ppm_max,
            trace,
        }
    }
}

impl World {
    /// Does what a plan says. A restart gives the environment of the new process; the caller then builds a node
    /// on it and [`attach`](Self::attach)es it.
    pub fn apply(&mut self, intervention: &Intervention) -> Option<(NodeIndex, Environment)> {
        match intervention {
            Intervention::Partition(partition) => self.partition(partition),
            Intervention::Heal => self.heal(),
            Intervention::CutPair { one, other, one_way } => self.cut_pair(*one, *other, *one_way),
            Intervention::MendPair { one, other } => self.mend_pair(*one, *other),
            Intervention::Crash(node) => self.kill(*node),
            Intervention::Restart(node) => return Some((*node, self.restart(*node))),
            Intervention::Reboot(node) if self.is_running(*node) => {
                return Some((*node, self.restart(*node)));
            }
            Intervention::Reboot(_) => {}
            Intervention::Leave(node) => self.shut_down(*node),
            Intervention::Return(node) if self.is_running(*node) => {}
            Intervention::Return(node) => return Some((*node, self.restart(*node))),
            Intervention::Stall(node) => self.stall(*node),
            Intervention::Resume(node) => self.resume(*node),
            Intervention::JumpWallClock { node, millis } => self.jump_wall_clock(*node, *millis),
            Intervention::SlowLink { from, to, factor } => self.slow_link(*from, *to, *factor),
            Intervention::FullDisk { node, full } => {
                let faults = DiskFaults { full: *full, ..self.disk_faults(*node) };
                self.set_disk_faults(*node, faults);
            }
            Intervention::FlipBits { node, per_million } => {
                let flipped_bits = f64::from(*per_million) / 1e6;
                self.set_disk_faults(*node, DiskFaults { flipped_bits, ..self.disk_faults(*node) });
            }
            Intervention::Name(nodes) => self.set_name(SEED_NAME, nodes),
            Intervention::Lie { node, per_million } => self.set_lies(*node, *per_million),
        }
        None
    }
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[NodeIndex]| nodes.iter().map(NodeIndex::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Partition(Partition::Groups(groups)) => {
                let groups: Vec<String> = groups.iter().map(|group| list(group)).collect();
                write!(f, "partition {}", groups.join(" | "))
            }
            Self::Partition(Partition::OneWay { from, to }) => {
                write!(f, "partition one way {} -> {}", list(from), list(to))
            }
            Self::Heal => f.write_str("heal all links"),
            Self::CutPair { one, other, one_way: true } => write!(f, "cut the link {one} -> {other}"),
            Self::CutPair { one, other, one_way: false } => {
                write!(f, "cut {one} and {other} off from each other")
            }
            Self::MendPair { one, other } => write!(f, "let {one} and {other} meet again"),
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Restart(node) => write!(f, "restart {node}"),
            Self::Reboot(node) => write!(f, "reboot {node}"),
            Self::Leave(node) => write!(f, "{node} leaves"),
            Self::Return(node) => write!(f, "{node} returns"),
            Self::Stall(node) => write!(f, "stall {node}"),
            Self::Resume(node) => write!(f, "resume {node}"),
            Self::JumpWallClock { node, millis } => write!(f, "wall clock of {node} jumps {millis} ms"),
            Self::SlowLink { from, to, factor: 1 } => write!(f, "link {from} -> {to} is fast again"),
            Self::SlowLink { from, to, factor } => write!(f, "link {from} -> {to} is {factor} times slower"),
            Self::FullDisk { node, full: true } => write!(f, "disk of {node} is full"),
            Self::FullDisk { node, full: false } => write!(f, "disk of {node} has room again"),
            Self::Name(nodes) => write!(f, "{SEED_NAME} stands for {}", list(nodes)),
            Self::Lie { node, per_million: 0 } => write!(f, "{node} lies no more"),
            Self::Lie { node, per_million } => write!(f, "{node} lies in {per_million} of a million frames"),
            Self::FlipBits { node, per_million: 0 } => write!(f, "disk of {node} flips no more bits"),
            Self::FlipBits { node, per_million } => {
                write!(f, "disk of {node} flips bits in {per_million} of a million values")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "duration   {:?}", Duration::from_micros(self.duration_micros))?;
        writeln!(f, "scheduling {:?}", self.scheduling)?;
        writeln!(f, "network    {:?}", self.network)?;
        writeln!(f, "disk       {:?}", self.disk)?;
        writeln!(f, "drift      up to {} ppm", self.drift_ppm_max)?;
        for planned in &self.schedule {
            let at = planned.at_micros;
            writeln!(f, "{:>5}.{:06} {}", at / 1_000_000, at % 1_000_000, planned.intervention)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
