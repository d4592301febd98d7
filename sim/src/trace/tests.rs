use super::*;

fn keeping(lines_kept: usize, sink: Option<Box<dyn Write + Send>>) -> Trace {
    Trace::new(TraceOptions { lines_kept, sink, ..TraceOptions::default() })
}

fn record(at: u64) -> Record {
    Record { at: Instant::from_nanos(at), kind: Kind::Woken, node: None, peer: None, numbers: [0, 0] }
}

#[test]
fn the_ring_is_bounded_and_the_hash_is_not() {
    let (mut long, mut short) = (keeping(3, None), keeping(0, None));
    for at in 0..10_000 {
        long.record(record(at));
        short.record(record(at));
    }
    assert_eq!(long.hash(), short.hash());
    assert_eq!((long.recent().len(), short.recent().len(), long.counted()), (3, 0, 10_000));
    short.record(record(0));
    assert_ne!(long.hash(), short.hash());
}

#[test]
fn what_comes_after_the_moment_of_interest_is_hashed_but_not_kept() {
    let options = TraceOptions { lines_kept: 2, keep_until: Instant::from_nanos(5), sink: None };
    let (mut short, mut long) = (Trace::new(options), keeping(2, None));
    for at in 0..10 {
        short.record(record(at));
        long.record(record(at));
    }
    let kept =
        |trace: &Trace| trace.recent().iter().map(|line| line.record.at.as_nanos()).collect::<Vec<_>>();
    assert_eq!((kept(&short), kept(&long)), (vec![4, 5], vec![8, 9]));
    assert_eq!(short.hash(), long.hash());
}

#[test]
fn a_sink_gets_every_line_with_its_time() {
    #[derive(Clone, Default)]
    struct Sink(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    let mut trace = keeping(0, Some(Box::new(sink.clone())));
    trace.record(record(1_000_000_001));
    trace.note(Instant::ZERO, Some(NodeIndex(2)), "hello");
    trace.finish().unwrap();
    let text = String::from_utf8(sink.0.lock().clone()).unwrap();
    assert_eq!(text, "   1.000000001 -    woken\n   0.000000000 n2   note hello\n");
}

#[test]
fn a_sink_that_fails_is_reported_at_the_end() {
    let mut full = [0u8; 4];
    struct Full(io::Cursor<[u8; 4]>);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    full[0] = 1;
    let mut trace = keeping(0, Some(Box::new(Full(io::Cursor::new(full)))));
    trace.record(record(1));
    trace.record(record(2));
    assert!(trace.finish().is_err());
}

#[test]
fn digests_tell_content_and_length_apart() {
    let texts: [&[u8]; 5] = [b"", b"\0", b"abcdefgh", b"abcdefgh\0", b"abcdefgi"];
    let digests: std::collections::BTreeSet<u64> = texts.iter().map(|text| digest(text)).collect();
    assert_eq!(digests.len(), texts.len());
}
