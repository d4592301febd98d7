//! The state of a shard on its way to a new replica, beside a bare libp2p stream, and beside such a stream whose
//! bytes go to the disk of a node and nowhere else. All of them share the same cores.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use gritmesh_runtime::{Change, Disk, DiskError, Table};
use gritmesh_store_rocksdb::{Options, RocksDisk};

use crate::figures::Figures;
use crate::floor;
use crate::load;
use crate::member::{Plan, Pulled};
use crate::process::{Process, cpu_seconds};
use crate::role::Role;

/// Bytes of each actor's state, and how many actors there are: 200 MB as few large packs, and 50 MB as many small
/// ones.
const STATES: [(usize, usize); 2] = [(64 * 1024, 3_072), (1024, 49_152)];
const FLOOD_BYTES: usize = 400_000_000;
/// What goes to the disk at once, and how many of it may wait, as in a node.
const LOAD_BYTES: usize = 8 << 20;
const LOADS_WAITING: usize = 2;
/// A process that hardly ran for so long is done.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        let role = Role::start("floor", &[])?;
        let flood = |sink: &mut dyn FnMut(&[u8])| {
            load::runtime()?.block_on(floor::bandwidth(&role.line, FLOOD_BYTES, sink))
        };
        let cpu = || Ok::<_, anyhow::Error>(cpu_seconds(role.id())? + cpu_seconds(std::process::id())?);
        let before = cpu()?;
        let bandwidth = flood(&mut |_| {})?;
        figures.add("floor_stream_bandwidth", "MB/s", bandwidth / 1e6);
        figures.add("floor_stream_cpu", "ns/B", (cpu()? - before) * 1e9 / FLOOD_BYTES as f64);
        let before = cpu()?;
        let mut disk_floor = DiskFloor::new()?;
        let started = Instant::now();
        flood(&mut |block| disk_floor.take(block))?;
        disk_floor.finish()?;
        let to_disk = FLOOD_BYTES as f64 / started.elapsed().as_secs_f64();
        figures.add("floor_stream_to_disk", "MB/s", to_disk / 1e6);
        figures.add("floor_stream_to_disk_cpu", "ns/B", (cpu()? - before) * 1e9 / FLOOD_BYTES as f64);
        drop(role);
        for (bytes, count) in STATES {
            let (pulled, cpu) = transfer(bytes, count, false)?;
            let (name, rate) = (format!("transfer_packs_of_{bytes}"), pulled.bytes / pulled.seconds);
            figures.add(&name, "MB/s", rate / 1e6);
            figures.add(format!("{name}_to_floor"), "times", rate / bandwidth);
            figures.add(format!("{name}_to_floor_with_disk"), "times", rate / to_disk);
            figures.add(format!("{name}_cpu"), "ns/B", cpu * 1e9 / pulled.bytes);
        }
        let (bytes, count) = STATES[0];
        let (pulled, _) = transfer(bytes, count, true)?;
        figures.add("calls_during_transfer_p50", "us", pulled.busy[0]);
        figures.add("calls_during_transfer_p99", "us", pulled.busy[1]);
        figures.add("calls_after_transfer_p50", "us", pulled.quiet[0]);
        figures.add("calls_after_transfer_p99", "us", pulled.quiet[1]);
    }
    Ok(figures)
}

/// A second node pulls the only shard of the first, and perhaps calls an actor there meanwhile. Also tells the
/// processor time of both.
fn transfer(bytes: usize, count: usize, calls: bool) -> Result<(Pulled, f64)> {
    let directory = tempfile::tempdir()?;
    let plan =
        |name: &str, seeds: &[String]| Plan { shards: 1, ..Plan::new(&directory.path().join(name), seeds) };
    let mut leader = Process::start(plan("leader", &[]))?;
    leader.ready()?;
    leader.fill(0, count, bytes)?;
    quiet(leader.id())?;
    let before = cpu_seconds(leader.id())?;
    let mut replica = Process::start(plan("replica", &[leader.address()]))?;
    let pulled = replica.transferred(calls)?;
    let cpu = cpu_seconds(leader.id())? - before + cpu_seconds(replica.id())?;
    Ok((pulled, cpu))
}

/// Waits until a process has no more to do: what was filled in is still being sorted for a while.
fn quiet(process: u32) -> Result<()> {
    loop {
        let before = cpu_seconds(process)?;
        std::thread::sleep(QUIET);
        if cpu_seconds(process)? - before < QUIET.as_secs_f64() / 20.0 {
            return Ok(());
        }
    }
}

/// How a load ended.
type Loaded = Result<(), DiskError>;

/// Writes what comes over a stream as a node writes the objects of a state.
struct DiskFloor {
    disk: Arc<RocksDisk>,
    directory: tempfile::TempDir,
    rows: Vec<Change>,
    bytes: usize,
    next: u64,
    under_way: usize,
    told: (SyncSender<Loaded>, Receiver<Loaded>),
}

impl DiskFloor {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let disk = Arc::new(RocksDisk::open(directory.path(), Options::default())?);
        let told = sync_channel(LOADS_WAITING);
        Ok(Self { disk, directory, rows: Vec::new(), bytes: 0, next: 0, under_way: 0, told })
    }

    fn take(&mut self, block: &[u8]) {
        self.next += 1;
        self.bytes += block.len();
        self.rows.push(Change::put(Table::Object, self.next.to_be_bytes(), block));
        if self.bytes >= LOAD_BYTES {
            self.load();
        }
    }

    fn load(&mut self) {
        if self.under_way == LOADS_WAITING {
            self.wait();
        }
        self.bytes = 0;
        self.under_way += 1;
        let told = self.told.0.clone();
        self.disk
            .load(std::mem::take(&mut self.rows).into(), Box::new(move |result| drop(told.send(result))));
    }

    fn wait(&mut self) {
        self.under_way -= 1;
        self.told.1.recv().expect("a sender is kept here").expect("a fresh disk takes this much");
    }

    fn finish(mut self) -> Result<()> {
        self.load();
        while self.under_way > 0 {
            self.wait();
        }
        self.disk.close();
        Ok(self.directory.close()?)
    }
}
