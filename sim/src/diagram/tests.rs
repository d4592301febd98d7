use gritmesh_runtime::Instant;

use super::*;
use crate::trace::{Record, class_and_size};

fn line(micros: u64, kind: Kind, node: u16, peer: Option<u16>, numbers: [u64; 2]) -> Line {
    let at = Instant::from_nanos(micros * 1000);
    let record = Record { at, kind, node: Some(NodeIndex(node)), peer: peer.map(NodeIndex), numbers };
    Line { record, note: (kind == Kind::Noted).then(|| "hello".into()) }
}

fn calls(bytes: usize, digest: u64) -> [u64; 2] {
    [class_and_size(TrafficClass::Calls, bytes), digest]
}

fn story() -> Vec<Line> {
    let gossip = [class_and_size(TrafficClass::Gossip, 9), 1];
    vec![
        line(0, Kind::Started, 2, None, [1, 0]),
        line(100, Kind::Sent, 0, Some(2), calls(120, 7)),
        line(150, Kind::Sent, 0, Some(1), gossip),
        line(200, Kind::Polled, 0, None, [1, 0]),
        line(500, Kind::Arrived, 2, Some(0), calls(120, 7)),
        line(600, Kind::Stalled, 1, None, [0, 0]),
        line(700, Kind::Arrived, 0, Some(2), calls(50, 8)),
        line(800, Kind::Killed, 0, None, [0, 0]),
        line(900, Kind::Sent, 2, Some(0), calls(60, 9)),
        line(1_000_950, Kind::Noted, 2, None, [0, 0]),
    ]
}

#[test]
fn time_goes_down_and_messages_are_arrows() {
    let drawn = Diagram { lines: &story(), rows_max: 40, gossip: false }.to_string();
    let expected = "
              n0      n1      n2
    0.000000  │       │       ●         started life 1
    0.000500  ├───────┼───────►         calls 120 B after 0.4 ms
    0.000600  │       ●       │         stalled
    0.000700  ◄───────┼───────┤         calls 50 B
    0.000800  ╳       :       │         killed
    0.000900          ╳╌╌╌╌╌╌╌┤         calls 60 B has not arrived yet
    1.000950          :       ●         hello
";
    assert_eq!(format!("\n{drawn}"), expected);
}

#[test]
fn the_last_rows_are_shown_and_gossip_on_request() {
    let last = Diagram { lines: &story(), rows_max: 1, gossip: false }.to_string();
    assert_eq!(last, "              n2\n    1.000950  ●         hello\n");
    let gossip = Diagram { lines: &story(), rows_max: 40, gossip: true }.to_string();
    assert!(gossip.contains("gossip 9 B has not arrived yet"), "{gossip}");
    assert_eq!(Diagram { lines: &[], rows_max: 40, gossip: true }.to_string().trim(), "");
}

#[test]
fn many_nodes_and_long_texts_keep_their_bounds() {
    let mut lines: Vec<Line> = (0..40).map(|node| line(1, Kind::Noted, node, None, [0, 0])).collect();
    lines[0].note = Some("ü".repeat(500).into());
    let drawn = Diagram { lines: &lines, rows_max: 40, gossip: false }.to_string();
    let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 14 + 40 * WIDTHS.1 + 2 + TEXT_MAX + 1, "{widest}");
}
