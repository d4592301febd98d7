//! All limits of a node together, and those of its engines.

use std::time::Duration;

use gritmesh_runtime::{Limits, NamedLimit, limits};
use gritmesh_shard::ShardLimits;
use gritmesh_sharding::ReplicaLimits;

/// Limits of a node's machines. No operator is asked for them; the simulator makes some of them small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeLimits {
    /// Of drivers.
    pub driver: DriverLimits,
    /// Of engines.
    pub engine: EngineLimits,
    /// Of replicas.
    pub replica: ReplicaLimits,
    /// Of states that travel between replicas.
    pub pulls: PullLimits,
    /// Of what a shard's log means.
    pub shard: ShardLimits,
}

impl Limits for NodeLimits {
    fn each(&mut self, see: &mut dyn FnMut(NamedLimit<'_>)) {
        self.driver.each(see);
        self.engine.each(see);
        self.replica.each(see);
        self.pulls.each(see);
        self.shard.each(see);
    }
}

limits! {
    /// Limits of a driver.
    pub struct DriverLimits in "driver" {
        /// Events in one batch. Bounds how long effects wait for their batch.
        batch_events: usize = 1024, small ["1", "2", "5"];
        /// Handlers to start that may pile up before the driver stops to start them.
        deferred: usize = 128, small ["1"];
    }
}

limits! {
    /// Limits of an engine.
    pub struct EngineLimits in "engine" {
        /// Commands of one shard that may wait to be committed. Each holds the objects of a step, and a shard that has so
        /// many is slower than its callers; one more is refused, and the actor falls back to its last step.
        waiting: usize = 8192, small ["30"];
        /// Bytes of commands that travel in one entry of the log, if one alone is not larger. Larger entries save
        /// nothing more and delay the others.
        entry_bytes: usize = 256 * 1024, small ["1", "2000"];
        /// Keys above which what the logs make of the tables is written all the same, lest they fill the memory: some
        /// megabytes.
        lazy_keys: usize = 16 * 1024, small ["0", "2", "20"];
        /// How long a full disk is left alone.
        full_pause: Duration = Duration::from_millis(500), small ["20ms"];
        /// How long a disk is left alone that has too much to do.
        overloaded_pause: Duration = Duration::from_millis(20), small ["1ms"];
        /// How long it counts that a peer's disk is full. Replicas at work hear of each other several times a second.
        full_heard_for: Duration = Duration::from_secs(5), small ["500ms"];
        /// How often a damaged replica says so unasked.
        damage_told_every: Duration = Duration::from_secs(2), small ["50ms"];
        /// How long a hand-over may take before the shard is served here again. Who was to take over may do so after all,
        /// which costs calls under way: so longer than that takes on any network.
        hand_over: Duration = Duration::from_secs(3), small ["1500ms"];
        /// First pause before a call that found no way is tried again, doubled with each try.
        retry_min: Duration = Duration::from_millis(20), small ["1ms"];
        /// Longest such pause.
        retry_max: Duration = Duration::from_millis(500), small ["20ms"];
        /// How much a new leader reads in one turn of what its shard has pending. A row is about one, and some five
        /// microseconds with all that is kept of it.
        turn: usize = 512, small ["9", "40"];
        /// How long after one turn the next may begin. A turn takes half of that, so that a long backlog leaves room for
        /// calls.
        turn_every: Duration = Duration::from_millis(5), small ["20ms"];
        /// Pairs, and reminders, of one portion of such a turn.
        portion: usize = 256, small ["1", "2"];
        /// Shards that are looked at each second for answers that are old. With `rows_per_look`, an engine is held for
        /// some two milliseconds of each second, and forgets two thousand answers at most: more than it can be given for
        /// long with as many shards as it has. If it is given more, they are kept longer.
        looks_per_second: usize = 8, small ["1"];
        /// Rows of each.
        rows_per_look: usize = 256, small ["1", "3"];
    }
}

limits! {
    /// Limits of states that travel between replicas.
    pub struct PullLimits in "pulls" {
        /// Parts of a stream that are on their way or wait to be checked: one is read, one travels, one is checked, and
        /// one more because they are not equally long. About 1 MiB.
        parts: u32 = 4, small ["2"];
        /// How long a leader keeps a snapshot that nobody pulls from, and a follower what it has pulled of a state that
        /// is there no more. Snapshots keep the disk from reclaiming room.
        kept: Duration = Duration::from_secs(60), small ["5s"];
        /// Snapshots of one shard that are kept at once: one for each replica that can be added at a time. With as many
        /// for followers that still pull, another one is told to ask again.
        views: usize = 4, small ["1"];
        /// How long a follower waits for a part before it asks again, at first; each time twice as long, since what
        /// comes later than that would come in vain.
        again: Duration = Duration::from_secs(2), small ["200ms"];
        /// How many times it asks before it gives up, and the leader has to offer its state anew.
        asks: u32 = 5, small ["1"];
        /// Bytes of objects that are loaded at once: enough that the syncs of a file hardly count.
        load_bytes: usize = 8 << 20, small ["1000"];
        /// Bytes of objects that an engine holds until they are on the disk. Beyond it no more parts are asked for: a
        /// part of each state is being loaded while the next one comes.
        held_bytes: usize = 4 * (8 << 20), small ["20000"];
        /// How long a disk is left alone that is full, or has too much to do.
        load_again: Duration = Duration::from_millis(500), small ["10ms"];
    }
}
