//! When faults begin and end.

use std::time::Duration;

use gritmesh_runtime::{Rng, Seed};

use super::{Classes, Intervention, PlannedIntervention};
use crate::world::{NodeIndex, Partition};

/// Spans of one kind in a run, on average. More would leave no time between them to recover.
const SPANS_PER_RUN: u64 = 6;

/// Before this time no bits flip: most clusters have all their replicas by then.
const FLIPS_AFTER: Duration = Duration::from_secs(5);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long after bits have flipped the node is killed and started again, at most.
const REBOOT_AFTER: Duration = Duration::from_secs(3);

/// A stretch of the safety phase in microseconds.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

/// Draws every class from a generator of its own.
pub(super) fn draw(
    seed: &Seed,
    classes: Classes,
    nodes: u16,
    duration: Duration,
) -> Vec<PlannedIntervention> {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut schedule = Vec::new();
    if nodes == 0 || micros == 0 {
        return schedule;
    }
    let kinds: [(bool, &str, Drawer); 12] = [
        (classes.partitions || classes.one_way_partitions, "partitions", draw_partitions),
        (classes.crashes, "crashes", draw_crashes),
        (classes.stalls, "stalls", draw_stalls),
        (classes.clock_jumps, "clock jumps", draw_clock_jumps),
        (classes.slow_links, "slow links", draw_slow_links),
        (classes.full_disks, "full disks", draw_full_disks),
        (classes.leaves, "leaves", draw_leaves),
        (classes.flipped_bits, "flipped bits", draw_flipped_bits),
        (classes.cut_pairs, "cut pairs", draw_cut_pairs),
        (classes.great_clock_jumps, "great clock jumps", draw_great_clock_jumps),
        (classes.lies, "lies", draw_lies),
        (classes.names, "names", draw_names),
    ];
    for (is_on, label, drawer) in kinds {
        if is_on {
            let rng = seed.child("schedule").child(label).rng();
            drawer(&mut Draw { rng, classes, nodes, micros, schedule: &mut schedule });
        }
    }
    schedule.sort_by_key(|planned: &PlannedIntervention| planned.at_micros);
    schedule
}

type Drawer = fn(&mut Draw<'_>);

struct Draw<'a> {
    rng: Rng,
    classes: Classes,
    nodes: u16,
    micros: u64,
    schedule: &'a mut Vec<PlannedIntervention>,
}

impl Draw<'_> {
    /// Spans that do not overlap, of at most `longest` each.
    fn spans(&mut self, longest: Duration) -> Vec<Span> {
        let longest = longest.as_micros() as u64;
        let gap = (self.micros * 2 / SPANS_PER_RUN).max(1);
        let mut spans = Vec::new();
        let mut start = self.rng.below(gap);
        while start < self.micros {
            // Short ones are as frequent as long ones: the length is drawn on a scale of doublings.
            let doublings = self.rng.below(8);
            let length = self.rng.below(longest >> doublings) + 1;
            let end = start.saturating_add(length).min(self.micros);
            spans.push(Span { start, end });
            start = end + 1 + self.rng.below(gap);
        }
        spans
    }

    fn node(&mut self) -> NodeIndex {
        NodeIndex(self.rng.below(u64::from(self.nodes)) as u16)
    }

    fn plan(&mut self, at_micros: u64, intervention: Intervention) {
        self.schedule.push(PlannedIntervention { at_micros, intervention });
    }

    /// All nodes, in two parts of which neither is empty.
    fn halves(&mut self) -> (Vec<NodeIndex>, Vec<NodeIndex>) {
        let mut all: Vec<NodeIndex> = (0..self.nodes).map(NodeIndex).collect();
        self.rng.shuffle(&mut all);
        let cut = 1 + self.rng.below(u64::from(self.nodes) - 1) as usize;
        let rest = all.split_off(cut);
        (all, rest)
    }
}

fn draw_partitions(draw: &mut Draw<'_>) {
    if draw.nodes < 2 {
        return;
    }
    for span in draw.spans(Duration::from_secs(25)) {
        let one_way = match (draw.classes.partitions, draw.classes.one_way_partitions) {
            (true, true) => draw.rng.chance(0.5),
            (_, one_way) => one_way,
        };
        let (one, other) = draw.halves();
        let partition = match one_way {
            true => Partition::OneWay { from: one, to: other },
            false => Partition::Groups(vec![one, other]),
        };
        draw.plan(span.start, Intervention::Partition(partition));
        draw.plan(span.end, Intervention::Heal);
    }
}

/// Partial partitions: two nodes do not reach each other, all others reach both.
fn draw_cut_pairs(draw: &mut Draw<'_>) {
    if draw.nodes < 3 {
        return;
    }
    for span in draw.spans(Duration::from_secs(25)) {
        let one = draw.node();
        let next = 1 + draw.rng.below(u64::from(draw.nodes) - 1) as u16;
        let other = NodeIndex((one.0 + next) % draw.nodes);
        let one_way = draw.rng.chance(0.5);
        draw.plan(span.start, Intervention::CutPair { one, other, one_way });
        draw.plan(span.end, Intervention::MendPair { one, other });
    }
}

fn draw_crashes(draw: &mut Draw<'_>) {
    // Each lane has at most one node down, and lanes share no node.
    let lanes = 1 + draw.rng.below(u64::from(draw.nodes)) as u16;
    for lane in 0..lanes {
        let mine: Vec<NodeIndex> = (lane..draw.nodes).step_by(usize::from(lanes)).map(NodeIndex).collect();
        for span in draw.spans(Duration::from_secs(40)) {
            let node = mine[draw.rng.below(mine.len() as u64) as usize];
            draw.plan(span.start, Intervention::Crash(node));
            draw.plan(span.end, Intervention::Restart(node));
        }
    }
}

fn draw_leaves(draw: &mut Draw<'_>) {
    for span in draw.spans(Duration::from_secs(20)) {
        let node = draw.node();
        draw.plan(span.start, Intervention::Leave(node));
        draw.plan(span.end, Intervention::Return(node));
    }
}

fn draw_stalls(draw: &mut Draw<'_>) {
    for span in draw.spans(Duration::from_secs(8)) {
        let node = draw.node();
        draw.plan(span.start, Intervention::Stall(node));
        draw.plan(span.end, Intervention::Resume(node));
    }
}

fn draw_clock_jumps(draw: &mut Draw<'_>) {
    for span in draw.spans(Duration::from_secs(1)) {
        let doublings = draw.rng.below(16);
        let size = draw.rng.below(3_600_000 >> doublings) as i64 + 1;
        let millis = if draw.rng.chance(0.5) { size } else { -size };
        let node = draw.node();
        draw.plan(span.start, Intervention::JumpWallClock { node, millis });
    }
}

/// By hours, days or years, beyond the time that anything is kept, and before 1970. Some are mended a little later, some
/// stay, and some hit all nodes at once.
fn draw_great_clock_jumps(draw: &mut Draw<'_>) {
    for span in draw.spans(Duration::from_secs(15)) {
        let longest = [DAY_MS, 30 * DAY_MS, 100 * 365 * DAY_MS][draw.rng.below(3) as usize];
        let size = (longest / 10 + draw.rng.below(longest)) as i64;
        let millis = if draw.rng.chance(0.6) { size } else { -size };
        let all = draw.rng.chance(0.2);
        let one = draw.node();
        let mended = draw.rng.chance(0.7);
        let nodes = (0..draw.nodes).map(NodeIndex).filter(|node| all || *node == one);
        for node in nodes.collect::<Vec<_>>() {
            draw.plan(span.start, Intervention::JumpWallClock { node, millis });
            if mended {
                draw.plan(span.end, Intervention::JumpWallClock { node, millis: -millis });
            }
        }
    }
}

fn draw_slow_links(draw: &mut Draw<'_>) {
    for span in draw.spans(Duration::from_secs(20)) {
        let (from, to) = (draw.node(), draw.node());
        let factor = 2 + draw.rng.below(1000) as u32;
        if from != to {
            draw.plan(span.start, Intervention::SlowLink { from, to, factor });
            draw.plan(span.end, Intervention::SlowLink { from, to, factor: 1 });
        }
    }
}

fn draw_full_disks(draw: &mut Draw<'_>) {
    for span in draw.spans(Duration::from_secs(10)) {
        let node = draw.node();
        draw.plan(span.start, Intervention::FullDisk { node, full: true });
        draw.plan(span.end, Intervention::FullDisk { node, full: false });
    }
}

/// One disk in a run, so that of each thing that was written a replica stays whole.
fn draw_flipped_bits(draw: &mut Draw<'_>) {
    let node = draw.node();
    let first = FLIPS_AFTER.as_micros() as u64;
    for span in draw.spans(Duration::from_secs(10)) {
        let span = Span { start: span.start.max(first), end: span.end };
        if span.start >= span.end {
            continue;
        }
        let per_million = 1_000 << draw.rng.below(9);
        draw.plan(span.start, Intervention::FlipBits { node, per_million });
        draw.plan(span.end, Intervention::FlipBits { node, per_million: 0 });
        // What it has written it reads when it starts.
        let reboot = span.start + draw.rng.below(span.end - span.start + REBOOT_AFTER.as_micros() as u64);
        if draw.rng.chance(0.7) && reboot <= draw.micros {
            draw.plan(reboot, Intervention::Reboot(node));
        }
    }
}

/// One liar in a run: two could vouch for each other.
fn draw_lies(draw: &mut Draw<'_>) {
    let node = draw.node();
    for span in draw.spans(Duration::from_secs(10)) {
        let per_million = 10_000 << draw.rng.below(6);
        draw.plan(span.start, Intervention::Lie { node, per_million });
        draw.plan(span.end, Intervention::Lie { node, per_million: 0 });
    }
}

/// A name that can be resolved late, and shows one node after another. It never shows less: a name that shows other nodes
/// than those that have founded behind it cannot tell of their cluster.
fn draw_names(draw: &mut Draw<'_>) {
    let mut all: Vec<NodeIndex> = (0..draw.nodes).map(NodeIndex).collect();
    draw.rng.shuffle(&mut all);
    let mut at = draw.rng.below(draw.micros / 4 + 1);
    let mut shown = 0;
    while shown < all.len() && at < draw.micros {
        shown += 1 + draw.rng.below((all.len() - shown) as u64) as usize;
        let mut nodes = all[..shown].to_vec();
        draw.rng.shuffle(&mut nodes);
        draw.plan(at, Intervention::Name(nodes));
        at += draw.rng.below(draw.micros / 4 + 1);
    }
    draw.plan(draw.micros, Intervention::Name(all));
}
