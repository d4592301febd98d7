//! A node of the benchmarks.
//!
//! It is put together from the same parts as `gritmesh::Node`, with the default settings; but here its disk is in
//! reach, which counts what it writes, and there is no HTTP.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::channel::oneshot;
use gritmesh::{actor, handlers};
use gritmesh_actor::Registry;
use gritmesh_core::{Node, NodeOptions, ShardStatus};
use gritmesh_runtime::admission::{Hello, Secrets};
use gritmesh_runtime::tokio::{SystemClock, TokioSpawn};
use gritmesh_runtime::{
    Batch, Disk, Environment, NetworkEvent, NetworkHandler, NodeInfo, Seed, TypesDigest, WIRE_VERSION,
};
use gritmesh_store_rocksdb::{Options, RocksDisk, Written};
use gritmesh_transport::{self as transport, Identity, Peers};
use serde::{Deserialize, Serialize};

use crate::figures::percentile_us;
use crate::load;

/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look.
const POLL: Duration = Duration::from_millis(20);
/// Shards that nothing happened to for so long have arrived.
const QUIET: Duration = Duration::from_secs(1);

/// Callers that fill a node. Each makes as many calls as the others, so a count is rounded down to a multiple.
pub(crate) const FILL_CALLERS: usize = 256;

/// A durable actor with a text.
#[actor]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Record {
    text: String,
    writes: u64,
}

#[handlers]
impl Record {
    /// Replaces the text and answers how often that was done.
    async fn put(&mut self, text: String) -> u64 {
        self.text = text;
        self.writes += 1;
        self.writes
    }
}

/// A text of so many bytes that no compression makes much smaller, another one for each number.
pub(crate) fn text(bytes: usize, number: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..bytes).map(|_| letter()).collect()
}

/// What a member is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Whom to join; nobody to found a cluster.
    pub(crate) seeds: Vec<String>,
    pub(crate) shards: u32,
    /// Its share of the shards; 0 takes none.
    pub(crate) weight: u16,
}

impl Plan {
    /// A member with all usual settings, on any port.
    pub(crate) fn new(data: &Path, seeds: &[String]) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let shards = NodeOptions::default().shards;
        Self { data: data.to_owned(), listen, seeds: seeds.to_vec(), shards, weight: 1 }
    }
}

/// A state that was pulled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulled {
    pub(crate) bytes: f64,
    pub(crate) seconds: f64,
    /// The median and the 99th percentile of calls meanwhile, and after it, in microseconds.
    pub(crate) busy: [f64; 2],
    pub(crate) quiet: [f64; 2],
}

/// A running node.
pub(crate) struct Member {
    pub(crate) core: Arc<Node>,
    pub(crate) address: SocketAddr,
    disk: Arc<RocksDisk>,
    /// Cuts all connections when it is dropped.
    _peers: Arc<Peers>,
}

/// Tells the node what its network reports.
struct Reporter(Weak<Node>);

impl NetworkHandler for Reporter {
    fn handle(&self, event: NetworkEvent<'_>) {
        if let Some(node) = self.0.upgrade() {
            node.handle(event);
        }
    }
}

impl Member {
    pub(crate) async fn start(plan: Plan) -> Result<Self> {
        let data = plan.data.clone();
        let opened = tokio::task::spawn_blocking(move || RocksDisk::open(&data, Options::default()));
        let disk = Arc::new(opened.await??);
        let identity = Identity::load_or_create(&plan.data)?;
        let start = gritmesh_core::remembered(&*disk)?;
        let (written, wait) = oneshot::channel();
        let done = Box::new(move |result| drop(written.send(result)));
        disk.write(Batch::synced(vec![gritmesh_core::incarnation(start.incarnation)]).into(), done);
        wait.await??;

        let mut registry = Registry::new();
        registry.register::<Record>()?;
        let mut info = NodeInfo {
            node_id: identity.node_id(),
            incarnation: start.incarnation,
            peer_address: plan.listen,
            http_address: None,
            name: identity.node_id().short(),
            zone: String::new(),
            weight: plan.weight,
            wire_version: WIRE_VERSION,
            types: TypesDigest::of(registry.names()),
        };
        let types = registry.names().map(str::to_owned).collect();
        let hello = Hello { cluster: start.cluster, types, ..Hello::new(info.clone()) };
        let options = transport::Options::new(plan.listen, Secrets::none(), hello);
        let (peers, address) = transport::bind(&identity, options).await?;
        info.peer_address = address;

        let clock = SystemClock::start();
        let environment = Environment {
            clock: Arc::new(clock),
            spawn: Arc::new(TokioSpawn::new(tokio::runtime::Handle::current(), clock)),
            network: Arc::clone(&peers) as _,
            disk: Arc::clone(&disk) as _,
            seed: Seed::new(entropy()?),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let options = NodeOptions {
            seeds: plan.seeds,
            own_addresses: vec![address.to_string()],
            engines: gritmesh_core::engines_for(cores),
            shards: plan.shards,
            ..NodeOptions::default()
        };
        let core = Node::start(environment, info, start, registry, options)?;
        peers.run(Arc::new(Reporter(Arc::downgrade(&core))));
        Ok(Self { core, address, disk, _peers: peers })
    }

    pub(crate) fn record(&self, id: &str) -> RecordRef {
        self.core.actor::<Record>(id)
    }

    pub(crate) fn written(&self) -> Written {
        self.disk.written_bytes()
    }

    pub(crate) async fn ready(&self) -> Result<()> {
        let started = Instant::now();
        while !self.core.readiness().ready {
            ensure!(started.elapsed() < PATIENCE, "not ready: {:?}", self.core.readiness().waits_for);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Waits until every shard has so many voters and a leader, and all of them have been where they are for a
    /// while.
    pub(crate) async fn settled(&self, voters: usize) -> Result<()> {
        let started = Instant::now();
        let (mut seen, mut since) = (Vec::new(), started);
        let whole = |shard: &ShardStatus| shard.replicas.len() == voters && shard.leader.is_some();
        loop {
            let shards = self.core.shard_statuses();
            if shards != seen {
                (seen, since) = (shards, Instant::now());
            }
            if !seen.is_empty() && seen.iter().all(whole) && since.elapsed() > QUIET {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "the shards never settled: {:?}", seen.first());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether an actor is led by this node; `None` if nobody is known to.
    pub(crate) fn leads(&self, id: &str) -> Option<bool> {
        Some(self.leader_of(id)? == self.core.info().node_id.to_string())
    }

    /// The key of the node that leads an actor.
    pub(crate) fn leader_of(&self, id: &str) -> Option<String> {
        let address = format!("record/{id}").parse().expect("the benchmarks' ids are valid");
        self.core.locate(&address).map(|place| place.node_id)
    }

    /// Puts a text of so many bytes into each of the actors with these numbers. Answers with steps per second.
    pub(crate) async fn fill(&self, from: usize, count: usize, bytes: usize) -> Result<f64> {
        // A shard has only so many bytes to replicate at a time; more callers would be refused.
        const BYTES_UNDER_WAY: usize = 4 << 20;
        let callers = (BYTES_UNDER_WAY / bytes).clamp(1, FILL_CALLERS);
        let core = Arc::clone(&self.core);
        let filled = load::run(callers, count, move |_, number| {
            let core = Arc::clone(&core);
            async move {
                let record = core.actor::<Record>(&format!("r{}", from + number));
                Ok(record.put(text(bytes, number)).await.map(drop)?)
            }
        });
        Ok(filled.await?.per_second)
    }

    /// Waits until this node votes in all shards, and tells how many bytes of state it has pulled for that, and
    /// in how many seconds. Meanwhile it may call an actor, one call after the other.
    pub(crate) async fn transferred(&self, calling: bool) -> Result<Pulled> {
        let started = Instant::now();
        let calls = calling.then(|| self.call_on());
        let (mut first, mut last, mut bytes) = (None, started, 0.0);
        loop {
            let now = Instant::now();
            let counted = self.pulled_bytes()?;
            if counted > bytes {
                first.get_or_insert((now, counted));
                (last, bytes) = (now, counted);
            }
            let shards = self.core.shard_statuses();
            let votes = |shard: &ShardStatus| shard.replicas.contains(&self.core.info().name);
            if !shards.is_empty() && shards.iter().all(votes) && last.elapsed() > QUIET {
                break;
            }
            ensure!(started.elapsed() < 4 * PATIENCE, "no state came over: {shards:?}");
            tokio::time::sleep(POLL).await;
        }
        let (begun, before) = first.context("the new replica pulled nothing")?;
        let (bytes, seconds) = (bytes - before, (last - begun).as_secs_f64());
        let (mut busy, mut quiet) = ([f64::NAN; 2], [f64::NAN; 2]);
        if let Some((stop, calls)) = calls {
            tokio::time::sleep(QUIET).await;
            drop(stop);
            let calls = calls.await?;
            let those = |during: Range<Instant>| {
                let of = calls.iter().filter(|(at, _)| during.contains(at));
                let mut of: Vec<u64> = of.map(|(_, took)| *took).collect();
                [50, 99].map(|percent| percentile_us(&mut of, percent))
            };
            (busy, quiet) = (those(begun..last), those(last + QUIET..Instant::now()));
        }
        Ok(Pulled { bytes, seconds, busy, quiet })
    }

    /// Calls an actor again and again until the sender is dropped. Answers when each call that succeeded began, and
    /// how many nanoseconds it took.
    fn call_on(&self) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Vec<(Instant, u64)>>) {
        let core = Arc::clone(&self.core);
        let (stop, mut stopped) = oneshot::channel::<()>();
        let calls = tokio::spawn(async move {
            let mut calls = Vec::new();
            while let Ok(None) = stopped.try_recv() {
                let begun = Instant::now();
                match core.actor::<Record>("pulse").put(text(100, 0)).await {
                    Ok(_) => calls.push((begun, begun.elapsed().as_nanos() as u64)),
                    // It has not joined yet.
                    Err(_) => tokio::time::sleep(POLL).await,
                }
            }
            calls
        });
        (stop, calls)
    }

    fn pulled_bytes(&self) -> Result<f64> {
        let text = self.core.metrics_text();
        let line = text.lines().find_map(|line| line.strip_prefix("gritmesh_transferred_bytes_total "));
        Ok(line.context("the node counts what it pulls")?.trim().parse()?)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.core.stop();
        self.disk.close();
    }
}

/// As for `gritmesh::Node`: what is derived from it must not come again in the next start.
fn entropy() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
