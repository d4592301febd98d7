//! Strangers on the peer port: noise, half-open connections, too many of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use gritmesh_runtime::{Network, Tag, TrafficClass};

use crate::real::Endpoint;

/// Waits until the other side closes.
fn until_closed(mut stream: TcpStream) {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the node keeps a stranger");
                return;
            }
        }
    }
}

/// Waits for a count: a socket is closed before that is counted.
fn until_rejected(endpoint: &Endpoint, count: u64) {
    let start = std::time::Instant::now();
    while endpoint.peers.counters().inbound_rejected < count {
        assert!(start.elapsed().as_secs() < 30, "{:?}", endpoint.peers.counters());
        std::thread::yield_now();
    }
}

fn still_works(a: &Endpoint, b: &Endpoint) {
    for (from, to) in [(a, b), (b, a)] {
        from.peers.send(to.info.node_id, TrafficClass::Calls, Tag(1), b"ping").unwrap();
        assert_eq!(to.receive(TrafficClass::Calls, 1), [b"ping"]);
    }
}

#[test]
fn noise_on_the_port_is_counted_and_disturbs_nobody() {
    let (a, b) = (Endpoint::start(), Endpoint::start());
    a.connect(&b);
    let address = a.info.peer_address;
    let mut state = 1_u64;
    for length in [0, 1, 19, 20, 21, 100, 5000] {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(length)
        .collect();
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(&noise);
        let _ = stream.shutdown(Shutdown::Write);
        until_closed(stream);
    }
    // The start of a real handshake, then nothing, then noise.
    let hello = b"\x13/multistream/1.0.0\n\x07/noise\n";
    for tail in [&b""[..], b"\x00", b"\xff\xff", &[0x55; 200]] {
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(&[hello, tail].concat());
        let _ = stream.shutdown(Shutdown::Write);
        until_closed(stream);
    }
    still_works(&a, &b);
    until_rejected(&a, 10);
}

#[test]
fn connections_that_stay_silent_are_closed_and_limited() {
    let a = Endpoint::start_with(|options| options.connect_timeout = std::time::Duration::from_millis(500));
    let address = a.info.peer_address;
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    silent.into_iter().for_each(until_closed);
    until_rejected(&a, 300);
    let b = Endpoint::start();
    b.connect(&a);
    still_works(&a, &b);
}

/// They stay for longer than this test may take.
#[test]
fn strangers_that_say_nothing_keep_nobody_out() {
    let a = Endpoint::start_with(|options| options.connect_timeout = std::time::Duration::from_secs(120));
    let connect = || TcpStream::connect(a.info.peer_address).unwrap();
    let mut silent: Vec<TcpStream> = (0..300).map(|_| connect()).collect();
    let b = Endpoint::start();
    b.connect(&a);
    still_works(&a, &b);
    // Those that came first have given way.
    silent.drain(..100).for_each(until_closed);
    until_rejected(&a, 100);
}
