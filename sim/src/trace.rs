//! What happened, compactly: a running hash over everything, the last lines, and the whole text on request.
//!
//! **Problem.** Two runs of one seed must be compared exactly and cheaply, and when they differ, or when a run
//! fails, a reader wants to know what happened around that point. Formatting every event as text would cost more
//! than simulating it.
//!
//! **Design.** An event is a [`Record`] of fixed size. Its bytes go through a buffer into BLAKE3, and the record
//! itself into a ring. Text is made only when somebody asks for it, or when a sink was given that wants all of
//! it.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};

use gritmesh_runtime::{Instant, LossReason, Table, TrafficClass};

use crate::{NodeIndex, TraceOptions};

/// Bytes gathered before they are hashed: enough for BLAKE3 to use all lanes of the CPU.
const BUFFER_BYTES: usize = 16 * 1024;

/// What a record is about. What its two numbers mean is written beside each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the comments beside them tell what the numbers mean")]
pub enum Kind {
    Spawned,        // number of the task
    Polled,         // number of the task
    Ended,          // number of the task
    Panicked,       // -
    Woken,          // -
    Sent,           // class and size, digest
    NotSent,        // class and size
    Arrived,        // class and size, digest
    Vanished,       // class and size
    Duplicated,     // class and size
    Overtaken,      // class and size
    Retransmitted,  // -
    Connected,      // -
    Lost,           // reason, number of envelopes surely not sent
    DialFailed,     // -
    Refused,        // whether this node refused
    Written,        // number of changes, digest
    WriteDone,      // how it ended: well, failed, disk full, refused
    BitFlipped,     // table, digest of the key
    WritesAtCrash,  // how many survived, how many did not
    Started,        // which life
    Killed,         // whether in good order
    Stalled,        // -
    Resumed,        // -
    LinkBlocked,    // -
    LinkSlowed,     // factor
    Healed,         // -
    WallClockMoved, // milliseconds
    DiskChanged,    // digest of the new faults
    Noted,          // digest of the text
    Resolved,       // number of addresses
}

/// One event of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Virtual time of the world.
    pub at: Instant,
    /// What happened.
    pub kind: Kind,
    /// Where; `None` for the world itself.
    pub node: Option<NodeIndex>,
    /// The other side, if there is one.
    pub peer: Option<NodeIndex>,
    /// Two numbers whose meaning depends on the kind.
    pub numbers: [u64; 2],
}

impl Record {
    fn bytes(&self) -> [u8; 29] {
        let number = |node: Option<NodeIndex>| node.map_or(u16::MAX, |n| n.0).to_le_bytes();
        let mut bytes = [0; 29];
        bytes[..8].copy_from_slice(&self.at.as_nanos().to_le_bytes());
        bytes[8] = self.kind as u8;
        bytes[9..11].copy_from_slice(&number(self.node));
        bytes[11..13].copy_from_slice(&number(self.peer));
        bytes[13..21].copy_from_slice(&self.numbers[0].to_le_bytes());
        bytes[21..].copy_from_slice(&self.numbers[1].to_le_bytes());
        bytes
    }
}

/// A class and a size in one number of a [`Record`].
pub(crate) const fn class_and_size(class: TrafficClass, bytes: usize) -> u64 {
    (class as u64) << 56 | bytes as u64
}

/// What [`class_and_size`] put together.
pub(crate) fn split_class_and_size(number: u64) -> (Option<TrafficClass>, u64) {
    (TrafficClass::ALL.get((number >> 56) as usize).copied(), number & ((1 << 56) - 1))
}

/// A quick digest of content, enough to tell two runs apart; the hash over the whole trace is the strong one.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut words = bytes.chunks_exact(8);
    let mut hash = bytes.len() as u64;
    let mut mix = |word: u64| hash = (hash.rotate_left(29) ^ word).wrapping_mul(FACTOR);
    for word in &mut words {
        mix(u64::from_le_bytes(word.try_into().expect("the chunk has eight bytes")));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(u64::from_le_bytes(last));
    hash ^ (hash >> 32)
}

/// One line of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The event.
    pub record: Record,
    /// Its text, if it is a note.
    pub note: Option<Box<str>>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.record.at.as_nanos();
        write!(f, "{:>4}.{:09} ", at / 1_000_000_000, at % 1_000_000_000)?;
        match self.record.node {
            Some(node) => write!(f, "{node:<4} {}", What(self)),
            None => write!(f, "-    {}", What(self)),
        }
    }
}

/// A line without its time and place.
pub(crate) struct What<'a>(pub(crate) &'a Line);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { kind, peer, numbers: [first, second], .. } = self.0.record;
        f.write_str(kind.as_str())?;
        if let Some(peer) = peer {
            write!(f, " {peer}")?;
        }
        let (class, size) = split_class_and_size(first);
        let class = || class.map_or("?", TrafficClass::as_str);
        match kind {
            Kind::Sent | Kind::Arrived => write!(f, " {} {size} B {second:016x}", class()),
            Kind::NotSent | Kind::Vanished | Kind::Duplicated | Kind::Overtaken => {
                write!(f, " {} {size} B", class())
            }
            Kind::Written => write!(f, " {first} changes {second:016x}"),
            Kind::BitFlipped => write!(f, " {} {second:016x}", table_name(first)),
            Kind::Lost => write!(f, " ({}), {second} not sent", loss_reason(first)),
            Kind::WritesAtCrash => write!(f, " {first} kept, {second} lost"),
            Kind::WallClockMoved => write!(f, " by {} ms", first as i64),
            Kind::LinkSlowed => write!(f, " {first} times"),
            Kind::DiskChanged => write!(f, " {first:016x}"),
            Kind::Noted => write!(f, " {}", self.0.note.as_deref().unwrap_or_default()),
            Kind::Spawned | Kind::Polled | Kind::Ended => write!(f, " task {first}"),
            Kind::Started => write!(f, " life {first}"),
            Kind::Resolved => write!(f, " {first} addresses"),
            Kind::Refused => f.write_str(if first == 1 { " by us" } else { " by the other side" }),
            Kind::WriteDone => f.write_str(write_end(first)),
            Kind::Killed => f.write_str(if first == 1 { " in good order" } else { "" }),
            Kind::Panicked
            | Kind::Woken
            | Kind::Retransmitted
            | Kind::Connected
            | Kind::DialFailed
            | Kind::Stalled
            | Kind::Resumed
            | Kind::LinkBlocked
            | Kind::Healed => Ok(()),
        }
    }
}

fn table_name(number: u64) -> &'static str {
    Table::ALL.iter().find(|table| **table as u64 == number).map_or("?", |table| table.as_str())
}

const fn write_end(number: u64) -> &'static str {
    match number {
        0 => "",
        1 => " failed",
        2 => " failed: full",
        _ => " failed: too many",
    }
}

fn loss_reason(number: u64) -> &'static str {
    const REASONS: [(LossReason, &str); 4] = [
        (LossReason::Reset, "reset"),
        (LossReason::Closed, "closed"),
        (LossReason::Unreachable, "unreachable"),
        (LossReason::Local, "local"),
    ];
    REASONS.iter().find(|(reason, _)| *reason as u64 == number).map_or("?", |(_, text)| text)
}

impl Kind {
    /// The kind as it stands in a text trace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spawned => "spawned",
            Self::Polled => "polled",
            Self::Ended => "ended",
            Self::Panicked => "panicked",
            Self::Woken => "woken",
            Self::Sent => "sent to",
            Self::NotSent => "did not queue for",
            Self::Arrived => "received from",
            Self::Vanished => "network dropped, to",
            Self::Duplicated => "network duplicated, to",
            Self::Overtaken => "network reordered, to",
            Self::Retransmitted => "network retransmits, to",
            Self::Connected => "connected",
            Self::Lost => "lost",
            Self::DialFailed => "dial failed",
            Self::Refused => "refused",
            Self::Written => "writes",
            Self::WriteDone => "write done",
            Self::BitFlipped => "bit flipped in",
            Self::WritesAtCrash => "writes at the crash:",
            Self::Started => "started",
            Self::Killed => "killed",
            Self::Stalled => "stalled",
            Self::Resumed => "resumed",
            Self::LinkBlocked => "cut off from",
            Self::LinkSlowed => "slowed to",
            Self::Healed => "healed",
            Self::WallClockMoved => "wall clock moved",
            Self::DiskChanged => "disk faults",
            Self::Noted => "note",
            Self::Resolved => "resolved a name,",
        }
    }
}

/// Everything that happened so far.
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    recent: VecDeque<Line>,
    recent_max: usize,
    keep_until: Instant,
    sink: Option<Box<dyn Write + Send>>,
    sink_error: Option<io::Error>,
    counted: u64,
}

impl Trace {
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES + 64),
            recent: VecDeque::with_capacity(options.lines_kept),
            recent_max: options.lines_kept,
            keep_until: options.keep_until,
            sink: options.sink,
            sink_error: None,
            counted: 0,
        }
    }

    pub(crate) fn record(&mut self, record: Record) {
        self.push(Line { record, note: None });
    }

    pub(crate) fn note(&mut self, at: Instant, node: Option<NodeIndex>, text: &str) {
        let numbers = [digest(text.as_bytes()), 0];
        let record = Record { at, kind: Kind::Noted, node, peer: None, numbers };
        self.push(Line { record, note: Some(text.into()) });
    }

    fn push(&mut self, line: Line) {
        self.counted += 1;
        self.buffer.extend_from_slice(&line.record.bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        if let Some(sink) = &mut self.sink
            && let Err(error) = writeln!(sink, "{line}")
        {
            // A full disk of the developer is no property of the run: stop writing and tell at the end.
            (self.sink, self.sink_error) = (None, Some(error));
        }
        if self.recent_max > 0 && line.record.at <= self.keep_until {
            if self.recent.len() == self.recent_max {
                self.recent.pop_front();
            }
            self.recent.push_back(line);
        }
    }

    pub(crate) fn hash(&self) -> blake3::Hash {
        self.hasher.clone().update(&self.buffer).finalize()
    }

    pub(crate) const fn counted(&self) -> u64 {
        self.counted
    }

    pub(crate) fn recent(&self) -> Vec<Line> {
        self.recent.iter().cloned().collect()
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Some(error) = self.sink_error.take() {
            return Err(error);
        }
        self.sink.take().map_or(Ok(()), |mut sink| sink.flush())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("counted", &self.counted).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
