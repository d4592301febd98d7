//! The last events of a run as a picture: time goes down, every node has a column, messages are arrows.
//!
//! ```text
//!               n0      n1      n2
//!    12.000200  ├───────┼───────►     calls 120 B after 0.4 ms
//!    12.000317  │       ╳       │     killed
//!    12.000951  ├╌╌╌╳           │     calls 96 B has not arrived yet
//! ```
//!
//! What tells a reader nothing is left out: tasks that are polled, sends whose arrival is in the picture, and gossip
//! unless it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use gritmesh_runtime::TrafficClass;

use crate::NodeIndex;
use crate::trace::{Kind, Line, What, split_class_and_size};

/// Characters of a column, if there are few nodes and if there are many.
const WIDTHS: (usize, usize) = (8, 5);

/// Nodes that count as few: their columns and the text beside them fit on a usual screen.
const FEW: usize = 8;

/// Characters of the text beside a row. Findings may be longer; they are printed in full elsewhere.
const TEXT_MAX: usize = 100;

/// Lines of a trace, to be shown as a picture of the last events.
#[derive(Clone, Copy, Debug)]
pub struct Diagram<'a> {
    /// The lines, oldest first.
    pub lines: &'a [Line],
    /// How many rows to show, the last ones.
    pub rows_max: usize,
    /// Whether to show what nodes say to each other about members and shards.
    pub gossip: bool,
}

/// What a line looks like.
enum Shape {
    Text,
    Mark(NodeIndex, char),
    Arrow(NodeIndex, NodeIndex),
    Lost(NodeIndex, NodeIndex),
}

struct Row<'a> {
    line: &'a Line,
    shape: Shape,
    text: String,
}

/// How the lifelines look while a row is drawn.
#[derive(Default)]
struct Lifelines {
    down: BTreeSet<NodeIndex>,
    stalled: BTreeSet<NodeIndex>,
}

impl fmt::Display for Diagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.rows();
        let rows = &all[all.len().saturating_sub(self.rows_max)..];
        let columns = columns(rows);
        let width = if columns.len() <= FEW { WIDTHS.0 } else { WIDTHS.1 };
        let mut head = vec![' '; columns.len() * width];
        for (node, at) in &columns {
            let name = node.to_string();
            head[at * width..].iter_mut().zip(name.chars()).for_each(|(cell, character)| *cell = character);
        }
        writeln!(f, "{:14}{}", "", head.iter().collect::<String>().trim_end())?;
        let mut lifelines = Lifelines::at_first(self.lines);
        let mut rows = rows.iter().peekable();
        for line in self.lines {
            lifelines.follow(line);
            if let Some(row) = rows.next_if(|row| std::ptr::eq(row.line, line)) {
                let cells = row.draw(&columns, width, &lifelines);
                let micros = line.record.at.as_nanos() / 1000;
                writeln!(f, "{:>5}.{:06}  {cells}  {}", micros / 1_000_000, micros % 1_000_000, row.text)?;
            }
        }
        Ok(())
    }
}

impl<'a> Diagram<'a> {
    /// Everything worth showing.
    fn rows(&self) -> Vec<Row<'a>> {
        let arrivals = self.arrivals();
        let mut sends = BTreeMap::new();
        let mut rows = Vec::new();
        for line in self.lines {
            let record = &line.record;
            if !self.gossip && is_gossip(line) {
                continue;
            }
            let mut text = What(line).to_string();
            let (class, size) = split_class_and_size(record.numbers[0]);
            let body = || format!("{} {size} B", class.map_or("?", TrafficClass::as_str));
            let shape = match (record.kind, record.node, record.peer) {
                (Kind::Spawned | Kind::Polled | Kind::Ended | Kind::Woken, ..) => continue,
                (Kind::Sent, Some(from), Some(to)) => {
                    let message = (from, to, record.numbers);
                    if arrivals.contains(&message) {
                        sends.insert(message, record.at);
                        continue;
                    }
                    text = format!("{} has not arrived yet", body());
                    Shape::Lost(from, to)
                }
                (Kind::Arrived, Some(to), Some(from)) => {
                    text = body();
                    if let Some(sent) = sends.get(&(from, to, record.numbers)) {
                        let micros = (record.at - *sent).as_micros();
                        write!(text, " after {}.{} ms", micros / 1000, micros % 1000 / 100)
                            .expect("a string takes any text");
                    }
                    Shape::Arrow(from, to)
                }
                (Kind::Vanished, Some(from), Some(to)) => Shape::Lost(from, to),
                (Kind::Killed | Kind::Panicked, Some(node), _) => Shape::Mark(node, '╳'),
                (Kind::Noted, Some(node), _) => {
                    text = line.note.as_deref().unwrap_or_default().to_owned();
                    Shape::Mark(node, '●')
                }
                (_, Some(node), _) => Shape::Mark(node, '●'),
                (_, None, _) => Shape::Text,
            };
            rows.push(Row { line, shape, text: shortened(text) });
        }
        rows
    }

    /// Messages whose arrival is among the lines: sender, receiver, what.
    fn arrivals(&self) -> BTreeSet<(NodeIndex, NodeIndex, [u64; 2])> {
        let arrived = self.lines.iter().filter(|line| line.record.kind == Kind::Arrived);
        arrived.filter_map(|line| Some((line.record.peer?, line.record.node?, line.record.numbers))).collect()
    }
}

/// The nodes that occur, with the number of their column.
fn columns(rows: &[Row<'_>]) -> BTreeMap<NodeIndex, usize> {
    let nodes = rows.iter().flat_map(|row| [row.line.record.node, row.line.record.peer]);
    let nodes: BTreeSet<NodeIndex> = nodes.flatten().collect();
    nodes.into_iter().enumerate().map(|(at, node)| (node, at)).collect()
}

fn is_gossip(line: &Line) -> bool {
    let carries = matches!(
        line.record.kind,
        Kind::Sent | Kind::NotSent | Kind::Arrived | Kind::Vanished | Kind::Duplicated | Kind::Overtaken
    );
    carries && split_class_and_size(line.record.numbers[0]).0 == Some(TrafficClass::Gossip)
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Row<'_> {
    fn draw(&self, columns: &BTreeMap<NodeIndex, usize>, width: usize, lifelines: &Lifelines) -> String {
        let mut cells = vec![' '; columns.len() * width];
        for (node, at) in columns {
            cells[at * width] = lifelines.look(*node);
        }
        match self.shape {
            Shape::Text => {}
            Shape::Mark(node, mark) => cells[columns[&node] * width] = mark,
            Shape::Arrow(from, to) => {
                draw_line(&mut cells, columns[&from] * width, columns[&to] * width, '─')
            }
            Shape::Lost(from, to) => {
                let (from, to) = (columns[&from] * width, columns[&to] * width);
                // It ends on half of the way, with nothing that looks like an arrival.
                draw_line(&mut cells, from, from.midpoint(to), '╌');
                cells[from.midpoint(to)] = '╳';
            }
        }
        cells.into_iter().collect()
    }
}

/// Draws an arrow between two places, across the lifelines between them.
fn draw_line(cells: &mut [char], from: usize, to: usize, stroke: char) {
    for cell in &mut cells[from.min(to)..=from.max(to)] {
        *cell = if *cell == ' ' { stroke } else { '┼' };
    }
    (cells[from], cells[to]) = if from < to { ('├', '►') } else { ('┤', '◄') };
}

impl Lifelines {
    /// A node whose first line says that it starts was not there before.
    fn at_first(lines: &[Line]) -> Self {
        let mut seen = BTreeSet::new();
        let mut down = BTreeSet::new();
        for line in lines {
            if let (Kind::Started | Kind::Killed, Some(node)) = (line.record.kind, line.record.node)
                && seen.insert(node)
                && line.record.kind == Kind::Started
            {
                down.insert(node);
            }
        }
        Self { down, stalled: BTreeSet::new() }
    }

    fn follow(&mut self, line: &Line) {
        let Some(node) = line.record.node else { return };
        match line.record.kind {
            Kind::Started => drop(self.down.remove(&node)),
            Kind::Killed => {
                self.down.insert(node);
                self.stalled.remove(&node);
            }
            Kind::Stalled => drop(self.stalled.insert(node)),
            Kind::Resumed => drop(self.stalled.remove(&node)),
            _ => {}
        }
    }

    fn look(&self, node: NodeIndex) -> char {
        match (self.down.contains(&node), self.stalled.contains(&node)) {
            (true, _) => ' ',
            (false, true) => ':',
            (false, false) => '│',
        }
    }
}

#[cfg(test)]
mod tests;
