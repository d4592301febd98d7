//! The peers of the benchmarks: actor libraries and etcd, under the load that `gritmesh-bench` puts on Gritmesh.
//!
//! **Problem.** A figure means something only beside another one of the same run on the same machine.
//!
//! **Design.** One measurement per process, so that nothing of an earlier one is left. Each prints lines of
//! `name=value unit`, which `gritmesh-bench` reads. The load, the allocator and the profile are those of
//! `gritmesh-bench`.
//!
//! **Deliberately absent.** Starting servers: `gritmesh-bench` starts etcd and passes its addresses.

mod etcd;
#[path = "../../src/figures.rs"]
#[expect(dead_code, reason = "a peer prints figures, and compares none")]
mod figures;
mod kameo_peer;
#[path = "../../src/load.rs"]
#[expect(dead_code, reason = "a peer has no use for every percentile")]
mod load;
mod ractor_peer;

use anyhow::{Result, bail};

/// Callers of one actor.
const CALLERS: usize = 64;
/// Calls of a local measurement.
const CALLS: usize = 2_000_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = load::runtime()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["kameo"] => runtime.block_on(kameo_peer::measure()),
        ["ractor"] => runtime.block_on(ractor_peer::measure()),
        ["etcd", endpoints] => runtime.block_on(etcd::measure(endpoints)),
        _ => bail!("usage: gritmesh-bench-peers kameo | ractor | etcd HOST:PORT,..."),
    }
}
