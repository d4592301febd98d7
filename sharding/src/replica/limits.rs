//! The limits of a replica, each with its reason.

use std::time::Duration;

use gritmesh_runtime::limits;

limits! {
    /// Limits of a replica.
    pub struct ReplicaLimits in "replica" {
        /// Append messages on their way to one follower: enough to fill a link of 10 ms at 1 GB/s with full messages.
        inflight: usize = 64, small ["2", "8"];
        /// Bytes of entries in one message: big ones save messages, small ones let heartbeats through.
        message_bytes: usize = 256 * 1024, small ["2000"];
        /// Bytes that were proposed and are not committed. Beyond it proposals are refused as full.
        uncommitted_bytes: usize = 16 * 1024 * 1024, small ["100000"];
        /// Bytes of commands in one [`Progress`](super::Progress), so that applying never takes the whole loop.
        committed_bytes: usize = 1024 * 1024, small ["1", "500"];
        /// Applied entries that are kept in memory and on disk for followers that lack them: more than what is written
        /// in the pause of a garbage collection, or a reconnect; and more than what is written while a state is pulled, or
        /// a follower never gets to the end of the log.
        kept_entries: usize = 4096, small ["50", "200"];
        /// The same in bytes. 64 shards hold at most 256 MiB, and only while followers lag.
        kept_bytes: usize = 4 * 1024 * 1024, small ["400000"];
        /// How many times more log is kept while a follower pulls state, so that it finds the rest when it is done.
        kept_while_pulling: usize = 8, small ["1"];
        /// A log is cut in steps of at least this many entries, so that cutting costs one record in as many.
        cut_entries: u64 = 64, small ["1", "5"];
        /// A learner that lacks at most this many entries may become a voter: one full window on its way.
        caught_up_entries: u64 = 256, small ["30"];
        /// Messages that wait for the disk. Beyond that the newest is dropped, which raft survives like a loss on the
        /// network; a disk that is that slow has other worries.
        parked: usize = 1024, small ["2", "10"];
        /// Peers beyond the configuration whose node is remembered, to be answered: those that a replica hears of before
        /// it has applied that they are members. Two full sets of replicas.
        learned: usize = 16, small ["1"];
        /// Heartbeat rounds whose time of sending is remembered: at ten a second more than any lease lasts.
        rounds: usize = 64, small ["12"];
        /// Election timeouts without a leader after which a replica asks the others whether it was removed.
        ask_after_elections: u32 = 8, small ["1"];
        /// Election timeouts after which the leader offers state again to a follower that has not got it: the offer may
        /// have been lost, and it costs next to nothing.
        offer_again_elections: u32 = 2, small ["1"];
        /// Without a proposal for this long, an idle shard stops its heartbeats. Never, if it is
        /// [`Duration::MAX`].
        hibernate_after: Duration = Duration::from_secs(5), small ["200ms", "1s"];
    }
}
