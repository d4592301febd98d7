//! Counts of what happens, for metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gritmesh_runtime::TrafficClass;
use gritmesh_runtime::admission::Refusal;
use parking_lot::Mutex;

/// A reading of all counters. Everything but `connections` only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Traffic by class, in the order of [`TrafficClass::ALL`].
    pub traffic: [Traffic; 4],
    /// Connections that this node refused, by the code of the refusal.
    pub refused: BTreeMap<&'static str, u64>,
    /// Connections on which this node was refused, by the code of the refusal.
    pub refused_by_peer: BTreeMap<&'static str, u64>,
    /// Admitted peers that broke the protocol.
    pub malformed: u64,
    /// Envelopes turned down because a queue was full.
    pub queue_full: u64,
    /// Peers connected now.
    pub connections: u64,
    /// Peers admitted, ever.
    pub admitted: u64,
    /// Connections that could not be made.
    pub dials_failed: u64,
    /// Dials dropped because too many were under way.
    pub dials_dropped: u64,
    /// Inbound connections that ended before admission: strangers, noise, time-outs, too many at once.
    pub inbound_rejected: u64,
}

impl Counters {
    /// The traffic of one class.
    pub const fn of(&self, class: TrafficClass) -> &Traffic {
        &self.traffic[class as usize]
    }
}

/// Envelopes of one class that crossed the wire, and their bytes with frame headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Envelopes handed to streams.
    pub envelopes_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Envelopes received.
    pub envelopes_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    traffic: [AtomicTraffic; 4],
    refused: Mutex<BTreeMap<&'static str, u64>>,
    refused_by_peer: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) malformed: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) admitted: AtomicU64,
    pub(crate) dials_failed: AtomicU64,
    pub(crate) dials_dropped: AtomicU64,
    pub(crate) inbound_rejected: AtomicU64,
}

#[derive(Debug, Default)]
struct AtomicTraffic {
    envelopes_sent: AtomicU64,
    bytes_sent: AtomicU64,
    envelopes_received: AtomicU64,
    bytes_received: AtomicU64,
}

impl Meter {
    pub(crate) fn sent(&self, class: TrafficClass, envelopes: usize, bytes: usize) {
        let traffic = &self.traffic[class as usize];
        traffic.envelopes_sent.fetch_add(envelopes as u64, Relaxed);
        traffic.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn received(&self, class: TrafficClass, envelopes: usize, bytes: usize) {
        let traffic = &self.traffic[class as usize];
        traffic.envelopes_received.fetch_add(envelopes as u64, Relaxed);
        traffic.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn refused(&self, by_us: bool, refusal: &Refusal) {
        let by_code = if by_us { &self.refused } else { &self.refused_by_peer };
        *by_code.lock().entry(refusal.as_str()).or_default() += 1;
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            traffic: self.traffic.each_ref().map(|traffic| Traffic {
                envelopes_sent: traffic.envelopes_sent.load(Relaxed),
                bytes_sent: traffic.bytes_sent.load(Relaxed),
                envelopes_received: traffic.envelopes_received.load(Relaxed),
                bytes_received: traffic.bytes_received.load(Relaxed),
            }),
            refused: self.refused.lock().clone(),
            refused_by_peer: self.refused_by_peer.lock().clone(),
            malformed: self.malformed.load(Relaxed),
            queue_full: self.queue_full.load(Relaxed),
            connections: self.connections.load(Relaxed),
            admitted: self.admitted.load(Relaxed),
            dials_failed: self.dials_failed.load(Relaxed),
            dials_dropped: self.dials_dropped.load(Relaxed),
            inbound_rejected: self.inbound_rejected.load(Relaxed),
        }
    }
}

/// Lets one log line through per period, so that strangers cannot fill the log. The counters tell the rest.
#[derive(Debug, Default)]
pub(crate) struct LogGate {
    opened: Mutex<Option<Instant>>,
}

impl LogGate {
    const PERIOD: Duration = Duration::from_secs(1);

    pub(crate) fn is_open(&self) -> bool {
        let now = Instant::now();
        let mut opened = self.opened.lock();
        let open = opened.is_none_or(|last| now.duration_since(last) >= Self::PERIOD);
        if open {
            *opened = Some(now);
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_lets_one_line_through_per_period() {
        let gate = LogGate::default();
        assert!(gate.is_open());
        assert!(!gate.is_open());
        *gate.opened.lock() = Instant::now().checked_sub(LogGate::PERIOD);
        assert!(gate.is_open());
    }

    #[test]
    fn refusals_are_counted_by_side_and_code() {
        let meter = Meter::default();
        meter.refused(true, &Refusal::WrongSecret);
        meter.refused(true, &Refusal::WrongSecret);
        meter.refused(false, &Refusal::DuplicateIdentity);
        let counters = meter.read();
        assert_eq!(counters.refused, [("wrong_secret", 2)].into());
        assert_eq!(counters.refused_by_peer, [("duplicate_identity", 1)].into());
    }
}
