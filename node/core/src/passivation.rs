//! Idle actors leave memory: after a while, and earlier when memory runs short.
//!
//! There is no timer per actor. A sweep passes over the directory, a part at a time, and reads one number of
//! each actor, so that a million idle actors cost a millisecond a second.

use std::sync::Arc;

use gritmesh_actor::{ActivationPhase, AnyActivation, Directory};

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
    /// Takes the next second's share, and returns the actors that should leave memory.
    pub(crate) fn step(
        &mut self,
        directory: &Directory,
        now_s: u32,
        memory: Memory,
    ) -> Vec<Arc<dyn AnyActivation>> {
        let share = directory.partitions().div_ceil(PASS_S);
        let mut leaving = Vec::new();
        for _ in 0..share {
            let part = directory.visit(self.next);
            self.next = (self.next + 1) % directory.partitions();
            leaving.extend(part.into_iter().filter(|activation| is_due(activation, now_s)));
        }
        if self.is_short(memory) {
            leaving.extend(longest_idle(directory, now_s));
        }
        leaving
    }

    fn is_short(&mut self, memory: Memory) -> bool {
        let Some(limit) = memory.limit else { return false };
        let percent = if self.shedding { PRESSURE_LOW } else { PRESSURE_HIGH };
        self.shedding = memory.used > limit / 100 * percent;
        self.shedding
    }
}

fn is_due(activation: &Arc<dyn AnyActivation>, now_s: u32) -> bool {
    let status = activation.status();
    let idle_after_s = activation.info().options.idle_after.as_secs();
    status.phase == ActivationPhase::Idle
        && u64::from(now_s.saturating_sub(status.last_used_s)) >= idle_after_s
}

/// A tenth of the idle actors, those whose last message is longest ago.
fn longest_idle(directory: &Directory, now_s: u32) -> Vec<Arc<dyn AnyActivation>> {
    let mut idle = Vec::new();
    for partition in 0..directory.partitions() {
        for activation in directory.visit(partition) {
            let status = activation.status();
            if status.phase == ActivationPhase::Idle {
                idle.push((now_s.saturating_sub(status.last_used_s), activation));
            }
        }
    }
    idle.sort_by(|(a, _), (b, _)| b.cmp(a));
    idle.truncate(idle.len().div_ceil(SHED_PER_SECOND));
    idle.into_iter().map(|(_, activation)| activation).collect()
}
