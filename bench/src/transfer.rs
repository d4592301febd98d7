//! The state of a shard on its way to a new replica, beside a bare libp2p stream.

use anyhow::Result;

use crate::figures::Figures;
use crate::floor;
use crate::load;
use crate::member::Plan;
use crate::process::Process;
use crate::role::Role;

/// Bytes of each actor's state, and how many actors there are: 200 MB as few large packs, and 50 MB as many small
/// ones.
const STATES: [(usize, usize); 2] = [(64 * 1024, 3_072), (1024, 49_152)];
const FLOOD_BYTES: usize = 400_000_000;

pub(crate) fn measure(runs: usize) -> Result<()> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        let role = Role::start("floor", &[])?;
        let bandwidth = load::runtime()?.block_on(floor::bandwidth(&role.line, FLOOD_BYTES))?;
        figures.add("floor_stream_bandwidth", "MB/s", bandwidth / 1e6);
        drop(role);
        for (bytes, count) in STATES {
            let pulled = transfer(bytes, count)?;
            figures.add(format!("transfer_packs_of_{bytes}"), "MB/s", pulled / 1e6);
            figures.add(format!("transfer_packs_of_{bytes}_to_floor"), "times", pulled / bandwidth);
        }
    }
    figures.print();
    Ok(())
}

/// Bytes per second at which a second node pulls the only shard of the first.
fn transfer(bytes: usize, count: usize) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let plan =
        |name: &str, seeds: &[String]| Plan { shards: 1, ..Plan::new(&directory.path().join(name), seeds) };
    let mut leader = Process::start(plan("leader", &[]))?;
    leader.ready()?;
    leader.fill(0, count, bytes)?;
    let mut replica = Process::start(plan("replica", &[leader.address()]))?;
    let (bytes, seconds) = replica.transferred()?;
    Ok(bytes / seconds)
}
