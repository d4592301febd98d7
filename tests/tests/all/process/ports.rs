//! Ports to listen on that must be known before anybody listens: all nodes have the same list of seeds.

use std::net::TcpListener;

/// Below the range from which the system hands out ephemeral ports, so that no connection takes one between two
/// starts of the same node.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// Picks ports that nobody listens on.
pub(crate) struct Ports {
    next: u32,
}

impl Ports {
    /// Each test process begins elsewhere, so that two do not try for the same.
    pub(crate) fn new() -> Self {
        Self { next: std::process::id().wrapping_mul(97) % COUNT }
    }

    pub(crate) fn pick(&mut self) -> u16 {
        loop {
            self.next = (self.next + 1) % COUNT;
            let port = u16::try_from(FIRST + self.next).expect("the range lies below 65536");
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }

    /// A port of this machine with its host.
    pub(crate) fn address(&mut self) -> String {
        format!("127.0.0.1:{}", self.pick())
    }
}
