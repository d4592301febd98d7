//! Bringing replicas up to date whose log is too far behind.
//!
//! **Problem.** A state is as big as it likes. While it comes over, both nodes have other shards to serve, and wire,
//! cores and disk should all be busy with it at the same time.
//!
//! **Design.** The leader takes a snapshot of its disk and tells the follower, through the log, up to which entry
//! that snapshot goes (`giving`). The follower pulls it as a stream of parts, a few of which are on their way at any
//! time, and takes the whole in with one batch (`pulling`). An engine only keeps the books: reading and hashing are
//! done beside it, on what it gives away and gets back, and objects go to the disk past its batches.
//!
//! ```text
//!   leader                                     follower
//!   GiveChunk ─► Given ─► GiveChunk …   parts ► Chunk ─► Check ─► Checked ─► Load ─► Persisted ─┐
//!      ▲──────────────────────────── More ◄────────────────────────────────────── there is room ┘
//! ```
//!
//! **Deliberately absent.** Guarantees of single parts: what is lost is missed after a while, and asked for anew from
//! the last place that was checked.

mod giving;
mod loading;
mod pulling;

use gritmesh_runtime::Instant;

use super::Engine;
use super::event::Effect;
use super::groups::Group;

pub(super) use giving::{Giving, View};
pub(super) use loading::Loads;
pub(crate) use pulling::Checked;
pub(super) use pulling::Incoming;

impl Group {
    pub(super) fn transfer_deadline(&self) -> Option<Instant> {
        let views = self.views.values().map(|view| view.until);
        views.chain(self.incoming.as_ref().map(Incoming::deadline)).min()
    }
}

impl Engine {
    pub(super) fn expire_transfers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for group in self.groups.values_mut() {
            group.views.retain(|_, view| view.until > now);
            let views = &group.views;
            group.givings.retain(|_, giving| views.values().any(|view| view.index == giving.index));
        }
        self.expire_pulls(now, out);
    }
}
