//! Idle actors leave memory: after a while, and earlier when memory runs short.
//!
//! There is no timer per actor. A sweep passes over the directory, a part at a time, and reads one number of
//! each actor, so that a million idle actors cost a millisecond a second.

use gritmesh_actor::{ActivationPhase, Directory};

/// Seconds for one pass over the whole directory, and so the precision of idle times.
const PASS_S: usize = 4;

/// Above this part of the memory limit, actors leave early, and below that no more do (percent).
const PRESSURE_HIGH: u64 = 80;
const PRESSURE_LOW: u64 = 75;

/// Part of the actors that leave per second while memory is short. Leaving runs their code, so it must not take
/// the whole node.
const SHED_PER_SECOND: usize = 10;

/// The state of the sweep.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    next: usize,
    shedding: bool,
}

/// Memory as the sweep sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) used: u64,
    pub(crate) limit: Option<u64>,
}

impl Sweep {
    /// Takes the next second's share. Returns how many calls its actors have taken directly since the last pass.
    pub(crate) fn step(&mut self, directory: &Directory, now_s: u32, memory: Memory) -> u64 {
        let mut calls = 0;
        for _ in 0..directory.partitions().div_ceil(PASS_S) {
            for activation in directory.visit(self.next) {
                calls += activation.untold_calls();
                let idle_after_s = activation.info().options.idle_after.as_secs();
                let longest_s = u32::try_from(idle_after_s).unwrap_or(u32::MAX);
                if let Some(since_s) = now_s.checked_sub(longest_s) {
                    activation.close_if_unused(since_s);
                }
            }
            self.next = (self.next + 1) % directory.partitions();
        }
        if self.is_short(memory) {
            shed(directory);
        }
        calls
    }

    fn is_short(&mut self, memory: Memory) -> bool {
        let Some(limit) = memory.limit else { return false };
        let percent = if self.shedding { PRESSURE_LOW } else { PRESSURE_HIGH };
        self.shedding = memory.used > limit / 100 * percent;
        self.shedding
    }
}

/// A tenth of the idle actors leaves, those whose last message is longest ago.
fn shed(directory: &Directory) {
    let mut idle = Vec::new();
    for partition in 0..directory.partitions() {
        for activation in directory.visit(partition) {
            let status = activation.status();
            if status.phase == ActivationPhase::Idle {
                idle.push((status.last_used_s, activation));
            }
        }
    }
    idle.sort_by_key(|(last_used_s, _)| *last_used_s);
    idle.truncate(idle.len().div_ceil(SHED_PER_SECOND));
    for (last_used_s, activation) in idle {
        activation.close_if_unused(last_used_s);
    }
}
