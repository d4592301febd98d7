//! What a world is made of: how fast and how bad its parts are.
//!
//! Everything here is plain data that can be printed and read back, so that a run can show what it was made of.
//! Probabilities are per occasion, from 0 to 1.

use std::fmt;
use std::io::Write;

use gritmesh_runtime::Instant;
use serde::{Deserialize, Serialize};

/// Lines of the trace kept without asking: enough to see what led to a failure.
const LINES_KEPT: usize = 4096;

/// How tasks and timers are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchedulingFaults {
    /// Tasks are asked to yield often.
    pub yields: bool,
    /// Probability that a woken task gets its turn late.
    pub late: f64,
    /// How late, at most, in microseconds.
    pub late_micros_max: u32,
    /// How late timers are, at most, in microseconds.
    pub timers_late_micros_max: u32,
}

/// How links treat what is sent.
///
/// The last three break the promise of [`gritmesh_runtime::Network`] that envelopes of one class arrive in
/// order and without gaps while the connection stands. Protocols above have to survive even that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkFaults {
    /// Least latency of a link one way, in microseconds. Each link has its own between this and the next.
    pub latency_micros_min: u32,
    /// Greatest latency of a link one way, in microseconds.
    pub latency_micros_max: u32,
    /// Scale of the variation of latency from envelope to envelope, in microseconds; rarely it is 32 times that.
    pub jitter_micros: u32,
    /// Probability that a write is lost on the way and retransmitted, with all that follows waiting for it.
    pub retransmit: f64,
    /// Probability that an envelope vanishes.
    pub vanish: f64,
    /// Probability that an envelope arrives twice.
    pub duplicate: f64,
    /// Probability that an envelope is overtaken by later ones.
    pub overtake: f64,
}

impl NetworkFaults {
    /// Whether envelopes may vanish, double or overtake each other.
    pub const fn breaks_order(&self) -> bool {
        self.vanish > 0.0 || self.duplicate > 0.0 || self.overtake > 0.0
    }
}

impl Default for NetworkFaults {
    fn default() -> Self {
        Self {
            latency_micros_min: 200,
            latency_micros_max: 500,
            jitter_micros: 50,
            retransmit: 0.0,
            vanish: 0.0,
            duplicate: 0.0,
            overtake: 0.0,
        }
    }
}

/// How a disk treats what is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskFaults {
    /// Least time of a synced batch, in microseconds. One that is not synced takes an eighth.
    pub latency_micros_min: u32,
    /// Greatest time of an ordinary synced batch, in microseconds.
    pub latency_micros_max: u32,
    /// Probability that a sync is a slow one.
    pub slow: f64,
    /// What a slow sync takes in addition, at most, in microseconds.
    pub slow_micros_max: u32,
    /// Probability that a batch fails. Half of those that fail are on the disk all the same.
    pub write_error: f64,
    /// Probability that a read fails.
    pub read_error: f64,
    /// Whether there is no room left: all batches but those that only remove fail.
    pub full: bool,
    /// Probability that a bit flips in the value of an object, a log entry or a field of a replica when it is written.
    #[serde(default)]
    pub flipped_bits: f64,
}

impl Default for DiskFaults {
    fn default() -> Self {
        Self {
            latency_micros_min: 200,
            latency_micros_max: 1000,
            slow: 0.0,
            slow_micros_max: 0,
            write_error: 0.0,
            read_error: 0.0,
            full: false,
            flipped_bits: 0.0,
        }
    }
}

/// What is kept of the trace beside its hash.
pub struct TraceOptions {
    /// Lines kept in memory, the last ones.
    pub lines_kept: usize,
    /// Lines after this instant are not kept, so that those that led to it stay.
    pub keep_until: Instant,
    /// Where to write all lines as text. Costs more than the simulation itself.
    pub sink: Option<Box<dyn Write + Send>>,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { lines_kept: LINES_KEPT, keep_until: Instant::MAX, sink: None }
    }
}

impl fmt::Debug for TraceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceOptions").field("lines_kept", &self.lines_kept).finish_non_exhaustive()
    }
}

/// All options of a world. The default is a healthy local network.
#[derive(Debug, Default)]
pub struct WorldOptions {
    /// Tasks and timers.
    pub scheduling: SchedulingFaults,
    /// Links.
    pub network: NetworkFaults,
    /// Disks of nodes that are added.
    pub disk: DiskFaults,
    /// How far clocks run too fast or too slow, at most, in millionths.
    pub drift_ppm_max: u32,
    /// The trace.
    pub trace: TraceOptions,
}
