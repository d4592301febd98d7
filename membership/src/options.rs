//! What an operator or a test may set, and what a node is at birth.

use std::time::Duration;

use gritmesh_runtime::{ClusterId, NAME_BYTES_MAX, NodeInfo};

use crate::identity::LABEL_BYTES_MAX;

/// Seeds of one node. They are dialled forever, so there should be a handful.
pub const SEEDS_MAX: usize = 64;

/// Actor types of one node. A list of full length still fits one message.
pub const TYPES_MAX: usize = 1024;

/// Times and sizes of the protocol. The defaults suit a data centre: see the module documentation of the crate
/// for what was measured with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often this node probes another one. Every member is probed once per round, in random order.
    pub probe_period: Duration,
    /// How long a probed member has to answer before others are asked to probe it. At most half the period.
    pub probe_timeout: Duration,
    /// How many others are asked.
    pub indirect_probes: usize,
    /// How long a suspected member has to refute before it is down; grows with the logarithm of the number of
    /// members.
    pub suspicion: Duration,
    /// In small clusters (up to [`Self::small_members`]): a silent member is down this long after anyone heard
    /// of it for the last time, not earlier.
    pub detection: Duration,
    /// A suspected member has at least this long to refute, counted from when it was last heard of.
    pub suspicion_min: Duration,
    /// Up to how many members everyone is told at once what this node sees; above it, a sample is.
    pub small_members: usize,
    /// How often news is passed on.
    pub gossip_period: Duration,
    /// To how many members it is passed on each time.
    pub gossip_fanout: usize,
    /// How often this node calls out to members that are down, so that a healed partition is noticed.
    pub announce_to_down_period: Duration,
    /// How often this node compares its member list with that of a random other one, on average.
    pub compare_period: Duration,
    /// How long a node that may found a cluster waits to hear of one, and how long a name must show the same.
    pub found_after: Duration,
    /// How many addresses a name that is the first seed has to show before a cluster is founded; 0 if that is not known.
    pub expect: usize,
    /// What the operator calls the cluster; empty if it has no name. Nodes with another one refuse each other.
    pub cluster_name: String,
    /// The first and the longest pause between two dials of one seed; it doubles from one to the other.
    pub dial_retry: (Duration, Duration),
    /// How long after a connection was reset a failed dial counts as proof that the process is gone.
    pub hint_window: Duration,
    /// The pause before the second dial that confirms a reset.
    pub hint_retry: Duration,
    /// If this node notices a deadline later than this, it was stopped and trusts its own timers no longer.
    pub stall_after: Duration,
    /// How long after a stall what was queued meanwhile may be read before timers go on.
    pub stall_grace: Duration,
    /// How long a member that is down or left is remembered.
    pub remove_down_after: Duration,
    /// How long another process with this node's identity may linger before this node gives up.
    pub duplicate_patience: Duration,
    /// How long the messages of a leave have to get out.
    pub leave_linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(200),
            probe_timeout: Duration::from_millis(80),
            indirect_probes: 3,
            suspicion: Duration::from_millis(1500),
            detection: Duration::from_millis(1850),
            suspicion_min: Duration::from_millis(500),
            small_members: 16,
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            announce_to_down_period: Duration::from_secs(1),
            compare_period: Duration::from_secs(30),
            found_after: Duration::from_secs(3),
            expect: 0,
            cluster_name: String::new(),
            dial_retry: (Duration::from_millis(250), Duration::from_secs(5)),
            hint_window: Duration::from_secs(1),
            hint_retry: Duration::from_millis(150),
            stall_after: Duration::from_millis(200),
            stall_grace: Duration::from_millis(100),
            remove_down_after: Duration::from_secs(24 * 60 * 60),
            duplicate_patience: Duration::from_secs(3),
            leave_linger: Duration::from_millis(100),
        }
    }
}

impl Options {
    /// Checks that the options fit together.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn validate(&self) -> Result<(), StartError> {
        let wrong = |option, rule| Err(StartError::Option { option, rule });
        for (option, duration) in [
            ("probe_timeout", self.probe_timeout),
            ("suspicion", self.suspicion),
            ("suspicion_min", self.suspicion_min),
            ("gossip_period", self.gossip_period),
            ("announce_to_down_period", self.announce_to_down_period),
            ("compare_period", self.compare_period),
            ("dial_retry", self.dial_retry.0),
            ("hint_retry", self.hint_retry),
            ("stall_after", self.stall_after),
        ] {
            if duration < Duration::from_millis(1) {
                return wrong(option, "be at least a millisecond");
            }
        }
        if self.probe_timeout * 2 > self.probe_period {
            return wrong("probe_timeout", "be at most half of probe_period");
        }
        if self.indirect_probes == 0 || self.gossip_fanout == 0 {
            return wrong("indirect_probes and gossip_fanout", "be at least 1");
        }
        if self.dial_retry.0 > self.dial_retry.1 {
            return wrong("dial_retry", "start with the shorter pause");
        }
        Ok(())
    }
}

/// What a node is when its membership starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// What the node says of itself.
    pub info: NodeInfo,
    /// The actor types it hosts, in any order.
    pub types: Vec<String>,
    /// The cluster it belongs to, as found on its disk.
    pub cluster: Option<ClusterId>,
    /// Addresses of peers to call, as given by the operator.
    pub seeds: Vec<String>,
    /// Texts under which this node's own address may stand among the seeds.
    pub own_addresses: Vec<String>,
}

impl Start {
    /// Checks what came from the operator.
    ///
    /// # Errors
    /// The first thing that is out of bounds.
    pub fn validate(&self) -> Result<(), StartError> {
        for (label, text) in [("name", &self.info.name), ("zone", &self.info.zone)] {
            if text.len() > LABEL_BYTES_MAX {
                return Err(StartError::Label { label, bytes: text.len() });
            }
        }
        if self.seeds.len() > SEEDS_MAX {
            return Err(StartError::Seeds { count: self.seeds.len() });
        }
        if self.types.len() > TYPES_MAX {
            return Err(StartError::Types { count: self.types.len() });
        }
        match self.types.iter().find(|name| name.len() > NAME_BYTES_MAX) {
            Some(name) => Err(StartError::Label { label: "actor type", bytes: name.len() }),
            None => Ok(()),
        }
    }
}

/// Why a node's membership cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// An option is out of bounds.
    #[error("{option} must {rule}")]
    Option {
        /// Which.
        option: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// A name is too long.
    #[error("the {label} has {bytes} bytes, which is too long")]
    Label {
        /// Which name.
        label: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// There are too many seeds.
    #[error("{count} seeds; at most {SEEDS_MAX} are allowed")]
    Seeds {
        /// How many.
        count: usize,
    },
    /// There are too many actor types.
    #[error("{count} actor types; at most {TYPES_MAX} are allowed")]
    Types {
        /// How many.
        count: usize,
    },
}
