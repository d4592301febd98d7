//! Connections that end tell more than probes that fail.
//!
//! When a process is killed, the kernel resets all of its connections within a millisecond. A reset alone may
//! be a fault of the network, so the member is dialled at once: if nobody listens where it listened, twice, it
//! is gone. If a new connection comes about, nothing happened, or it restarted and says so itself.

use foca::Incarnation;
use gritmesh_runtime::{Instant, LossReason, NodeId};

use super::{Alarm, Membership};
use crate::event::Effect;
use crate::identity::Identity;
use crate::swim::is_active;

/// Failed dials that prove a death. The first may meet a process that is just starting again.
const FAILURES_PROVE: u32 = 2;

/// A member whose connection ended unexpectedly.
#[derive(Debug)]
pub(super) struct Hint {
    identity: Identity,
    incarnation: Incarnation,
    address: String,
    failures: u32,
    // Dials for other reasons may fail meanwhile; two at once prove no more than one.
    counts_from: Instant,
    since: Instant,
}

impl Membership {
    pub(super) fn on_lost(&mut self, now: Instant, peer: NodeId, reason: LossReason, out: &mut Vec<Effect>) {
        self.peers.remove(&peer);
        self.swim.shared().lock().witness.contacts.remove(&peer);
        self.believe_claim(peer);
        if !matches!(reason, LossReason::Reset | LossReason::Closed) {
            return;
        }
        let Some(member) = self.known(peer).filter(|member| is_active(member.state())) else { return };
        if member.id().is_leaving() {
            return;
        }
        let address = member.id().info().peer_address.to_string();
        out.push(Effect::Dial { address: address.clone() });
        let hint = Hint {
            identity: member.id().clone(),
            incarnation: member.incarnation(),
            address,
            failures: 0,
            counts_from: now,
            since: now,
        };
        self.hints.insert(peer, hint);
        self.alarms.insert(now + self.options.hint_window, Alarm::HintExpired(peer));
    }

    pub(super) fn on_dial_failed(&mut self, now: Instant, address: &str) {
        self.seeds.mark_failed(address);
        // If most others seem to have gone at once, it is this node that was cut off.
        let credible = self.hints.len() <= (self.swim.active_others() / 2).max(1);
        let Some((peer, hint)) = self.hints.iter_mut().find(|(_, hint)| hint.address == address) else {
            return;
        };
        if now < hint.counts_from {
            return;
        }
        let peer = *peer;
        hint.counts_from = now + self.options.hint_retry;
        hint.failures += 1;
        if hint.failures < FAILURES_PROVE {
            self.alarms.insert(now + self.options.hint_retry, Alarm::Redial(peer));
        } else if credible && let Some(hint) = self.hints.remove(&peer) {
            let (identity, incarnation) = (hint.identity, hint.incarnation);
            self.alarms.insert(now, Alarm::Hearsay { identity, incarnation });
        }
    }

    pub(super) fn redial(&self, peer: NodeId, out: &mut Vec<Effect>) {
        if let Some(hint) = self.hints.get(&peer) {
            out.push(Effect::Dial { address: hint.address.clone() });
        }
    }

    /// Without proof the member is left to the probes.
    pub(super) fn expire_hint(&mut self, now: Instant, peer: NodeId) {
        let window = self.options.hint_window;
        self.hints.retain(|node, hint| *node != peer || now - hint.since < window);
    }
}
