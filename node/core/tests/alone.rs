//! One real node without peers: founding, activation, calls, passivation, shutdown.

#![expect(clippy::disallowed_methods, reason = "a test may wait for real time")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{Context, Registry, actor, handlers};
use gritmesh_core::{DynamicCall, Node, NodeOptions, admin, remembered};
use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::tokio::{SystemClock, TokioSpawn};
use gritmesh_runtime::{
    Batch, Change, Disk, DiskError, Environment, FailureCode, KeyValue, Network, NetworkEvent,
    NetworkHandler, NodeId, NodeInfo, Persisted, Reads, Seed, SendError, Snapshot, Table, Tag, TrafficClass,
    TypesDigest, WIRE_VERSION,
};
use parking_lot::Mutex;

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter {
    value: u64,
}

#[handlers(crate = gritmesh_actor)]
impl Counter {
    async fn add(&mut self, n: u64) -> u64 {
        self.value += n;
        self.value
    }

    async fn via(&mut self, other: String, ctx: &mut Context<'_>) -> Result<u64, Refused> {
        ctx.actor::<Self>(&other).add(1).await.map_err(|error| Refused(error.to_string()))
    }

    async fn fail(&mut self) -> u64 {
        panic!("on purpose");
    }
}

#[actor(crate = gritmesh_actor)]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Account {
    balance: u64,
}

#[handlers(crate = gritmesh_actor)]
impl Account {
    async fn pay_in(&mut self, amount: u64) -> u64 {
        self.balance += amount;
        self.balance
    }

    async fn pay(&mut self, to: String, amount: u64, ctx: &mut Context<'_>) -> Result<u64, Refused> {
        if amount > self.balance {
            return Err(Refused(format!("there are only {}", self.balance)));
        }
        self.balance -= amount;
        ctx.actor::<Self>(&to).pay_in(amount).send().await.map_err(|error| Refused(error.to_string()))?;
        Ok(self.balance)
    }

    async fn fail(&mut self) -> u64 {
        self.balance = 0;
        panic!("on purpose");
    }

    #[query]
    async fn balance(&self) -> u64 {
        self.balance
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Nobody is out there.
struct Nobody;

impl Network for Nobody {
    fn send(&self, _: NodeId, _: TrafficClass, _: Tag, _: &[u8]) -> Result<(), SendError> {
        Err(SendError::UnknownPeer)
    }

    fn withdraw(&self, _: NodeId, _: TrafficClass, _: &dyn Fn(Tag) -> bool) -> Vec<Tag> {
        Vec::new()
    }

    fn dial(&self, _: &str) {}
    fn learn(&self, _: &NodeInfo) {}
    fn forget(&self, _: NodeId) {}
    fn set_hello(&self, _: Hello) {}
}

type Rows = BTreeMap<(Table, Vec<u8>), Arc<[u8]>>;

/// Tables in memory.
#[derive(Clone, Default)]
struct MemoryDisk(Arc<Mutex<Rows>>);

impl Reads for MemoryDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.lock().get(&(table, key.to_vec())).map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        let rows = self.0.lock();
        let found = rows.range((table, range.start.to_vec())..(table, range.end.to_vec())).take(limit);
        Ok(found.map(|((_, key), value)| (key.clone(), value.to_vec())).collect())
    }
}

impl Disk for MemoryDisk {
    fn write(&self, batch: Arc<Batch>, done: Persisted) {
        {
            let mut rows = self.0.lock();
            for change in Arc::unwrap_or_clone(batch).changes {
                match change {
                    Change::Put { table, key, value } => drop(rows.insert((table, key), value)),
                    Change::Delete { table, key } => drop(rows.remove(&(table, key))),
                    Change::DeleteRange { table, from, to } => {
                        rows.retain(|(of, key), _| *of != table || *key < from || *key >= to);
                    }
                }
            }
        }
        done(Ok(()));
    }

    fn snapshot(&self) -> Result<Snapshot, DiskError> {
        Ok(Arc::new(Self(Arc::new(Mutex::new(self.0.lock().clone())))))
    }
}

/// A disk whose first batch, which makes the node belong to a cluster, is done when `first` is told.
struct SlowDisk {
    disk: MemoryDisk,
    first: Mutex<Option<std::sync::mpsc::SyncSender<Persisted>>>,
}

impl Reads for SlowDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.get(table, key)
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        self.disk.scan(table, range, limit)
    }
}

impl Disk for SlowDisk {
    fn write(&self, batch: Arc<Batch>, done: Persisted) {
        let done: Persisted = match self.first.lock().take() {
            Some(first) => Box::new(move |_| first.send(done).expect("the test waits for it")),
            None => done,
        };
        self.disk.write(batch, done);
    }

    fn snapshot(&self) -> Result<Snapshot, DiskError> {
        self.disk.snapshot()
    }
}

fn start() -> Arc<Node> {
    start_on(MemoryDisk::default())
}

fn start_on(disk: impl Disk + 'static) -> Arc<Node> {
    let remembered = remembered(&disk).expect("the records are sound");
    let clock = SystemClock::start();
    let environment = Environment {
        clock: Arc::new(clock),
        spawn: Arc::new(TokioSpawn::new(tokio::runtime::Handle::current(), clock)),
        network: Arc::new(Nobody),
        disk: Arc::new(disk),
        seed: Seed::from_number(1),
    };
    let mut registry = Registry::new();
    registry.register::<Counter>().expect("one type has one name");
    registry.register::<Account>().expect("one type has one name");
    let info = NodeInfo {
        node_id: NodeId([1; 32]),
        incarnation: remembered.incarnation,
        peer_address: ([127, 0, 0, 1], 1).into(),
        http_address: None,
        name: "alone".into(),
        zone: String::new(),
        weight: 1,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of(registry.names()),
    };
    let options = NodeOptions { engines: 2, ..NodeOptions::default() };
    Node::start(environment, info, remembered, registry, options).expect("the settings are in range")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founds_serves_and_contains_failures() {
    let node = start();
    assert_eq!(node.actor::<Counter>("a").add(2).await.unwrap(), 2);
    assert_eq!(node.actor::<Counter>("a").add(3).await.unwrap(), 5);
    assert!(node.readiness().ready, "{:?}", node.readiness());

    let error = node.actor::<Counter>("a").fail().await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Panicked);
    assert_eq!(node.actor::<Counter>("a").add(1).await.unwrap(), 1, "the actor starts anew");

    let error = node.actor::<Counter>("a").via("a".into()).await.unwrap_err();
    assert!(error.to_string().contains("counter/a -> counter/a"), "{error}");
    assert_eq!(node.actor::<Counter>("a").via("b".into()).await.unwrap(), 1);

    let call = |kind: &str, method: &str, arguments: &str| DynamicCall {
        address: gritmesh_runtime::ActorAddress::new(kind, "a").unwrap(),
        method: method.into(),
        arguments: gritmesh_actor::codec::arguments_from_json(arguments.as_bytes()).unwrap(),
        timeout: Some(Duration::from_secs(5)),
        key: None,
    };
    let code = |result: Result<_, gritmesh_runtime::Failure>| result.unwrap_err().code;
    assert_eq!(node.call_dynamic(call("counter", "add", "[4]")).await.unwrap(), [5]);
    assert_eq!(code(node.call_dynamic(call("nobody", "add", "[4]")).await), FailureCode::UnknownType);
    assert_eq!(code(node.call_dynamic(call("counter", "nothing", "")).await), FailureCode::UnknownMethod);
    assert_eq!(code(node.call_dynamic(call("counter", "add", "\"x\"")).await), FailureCode::BadArguments);
    let (actors, all) = node.actors(None, 10);
    assert_eq!((actors.len(), all), (2, 2));
    assert!(node.metrics_text().contains("gritmesh_actors 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_ready_says_what_it_waits_for_and_who_turned_it_away() {
    let node = start();
    assert_eq!(node.actor::<Counter>("a").add(1).await.unwrap(), 1);
    let refuse = |address: Option<&str>, refusal| {
        let event = NetworkEvent::Refused {
            address: address.map(str::to_owned),
            peer: Some(NodeId([2; 32])),
            by_us: address.is_none(),
            refusal,
        };
        node.handle(event);
    };
    let noted = || node.readiness().notes.join("\n");
    refuse(Some("seed:7946"), Refusal::WrongSecret);
    refuse(None, Refusal::WireVersion { ours: 2, theirs: 1 });
    assert!(!noted().contains("seed:7946"), "a node that is ready lacks nobody: {}", noted());

    node.drain_node(NodeId([1; 32]), true, Duration::from_secs(5)).await.unwrap();
    let waits_for = node.readiness().waits_for;
    assert_eq!(waits_for[0], "an order to take part again, or its end: the node is draining");
    assert!(
        noted().contains("no connection with seed:7946, 0 s ago: the cluster secrets differ"),
        "{}",
        noted()
    );
    assert!(!noted().contains("wire version"), "what strangers try is no reason: {}", noted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_lose_nothing() {
    let node = start();
    let callers = (0..64).map(|caller| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            for call in 0..500 {
                node.actor::<Counter>(&format!("{}", (caller + call) % 40)).add(1).await.unwrap();
            }
        })
    });
    futures::future::join_all(callers).await.into_iter().for_each(|caller| caller.unwrap());
    let mut total = 0;
    for id in 0..40 {
        total += node.actor::<Counter>(&id.to_string()).add(0).await.unwrap();
    }
    assert_eq!(total, 64 * 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_before_the_cluster_wait_for_it() {
    let (done, write) = std::sync::mpsc::sync_channel(1);
    let node = start_on(SlowDisk { disk: MemoryDisk::default(), first: Mutex::new(Some(done)) });
    let calls = (0..32).map(|id| {
        let actor = node.actor::<Counter>(&id.to_string());
        tokio::spawn(async move { actor.add(1).await })
    });
    let calls: Vec<_> = calls.collect();
    while node.calls_under_way() < 32 {
        tokio::task::yield_now().await;
    }
    write.recv().unwrap()(Ok(()));
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
}

/// Asks until the answer is the expected one.
async fn eventually(node: &Node, account: &str, balance: u64) {
    let asked = async {
        while node.actor::<Account>(account).balance().await.expect("it can be asked") != balance {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("messages are delivered");
}

fn account(method: &str, arguments: &str, key: Option<&str>) -> DynamicCall {
    DynamicCall {
        address: gritmesh_runtime::ActorAddress::new("account", "alice").expect("a valid address"),
        method: method.into(),
        arguments: gritmesh_actor::codec::arguments_from_json(arguments.as_bytes()).expect("valid JSON"),
        timeout: Some(Duration::from_secs(5)),
        key: key.map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_actors_are_there_after_a_restart() {
    let disk = MemoryDisk::default();
    let node = start_on(disk.clone());
    let alice = node.actor::<Account>("alice");
    assert_eq!(alice.pay_in(100).await.unwrap(), 100);
    assert_eq!(alice.pay("bob".into(), 30).await.unwrap(), 70);
    assert!(alice.pay("bob".into(), 300).await.is_err());
    assert_eq!(alice.fail().await.unwrap_err().code(), FailureCode::Panicked);
    assert_eq!(alice.balance().await.unwrap(), 70, "what a handler did that panicked did not happen");
    eventually(&node, "bob", 30).await;
    for _ in 0..3 {
        let answer = node.call_dynamic(account("pay_in", "[5]", Some("once"))).await.unwrap();
        assert_eq!(answer, [75]);
    }
    node.stop();
    drop(node);

    let node = start_on(disk);
    assert_eq!(node.actor::<Account>("alice").balance().await.unwrap(), 75);
    assert_eq!(node.call_dynamic(account("pay_in", "[5]", Some("once"))).await.unwrap(), [75]);
    assert_eq!(node.actor::<Account>("bob").balance().await.unwrap(), 30);
    node.stop();
}

#[tokio::test]
async fn a_long_history_is_proven_while_others_go_on() {
    let node = start();
    let alice = node.actor::<Account>("alice");
    for _ in 0..500 {
        alice.pay_in(1).await.unwrap();
    }
    // On one thread: whoever does not yield lets nobody else go on.
    let turns = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(std::future::poll_fn(move |cx| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        cx.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    }));
    node.call_dynamic(account(admin::VERIFY, "[null]", None)).await.unwrap();
    other.abort();
    let turns = turns.load(std::sync::atomic::Ordering::Relaxed);
    assert!(turns >= 3, "{turns}");
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_leaves_nobody_waiting_and_nothing_behind() {
    let node = start();
    assert_eq!(node.actor::<Account>("alice").pay_in(1).await.unwrap(), 1);
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let alice = node.actor::<Account>(&format!("a{}", number % 5));
            tokio::spawn(async move { alice.pay_in(1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    node.stop();
    let ended = futures::future::join_all(calls);
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("every call ends at once");
    for outcome in ended {
        if let Err(error) = outcome.unwrap() {
            assert!(matches!(error.code(), FailureCode::Unknown | FailureCode::NotDelivered), "{error}");
        }
    }
    let left = Arc::downgrade(&node);
    drop(node);
    let gone = async {
        while left.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("nothing holds the node any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_in_memory_can_be_asked_about_and_paused() {
    let node = start();
    assert_eq!(node.actor::<Account>("alice").pay_in(1).await.unwrap(), 1);
    let log = node.call_dynamic(account(admin::LOG, "[null, 10]", None)).await.unwrap();
    assert!(!log.is_empty());
    node.call_dynamic(account(admin::VERIFY, "[null]", None)).await.unwrap();
    node.call_dynamic(account(admin::PAUSE, "[\"to look at it\"]", None)).await.unwrap();
    let refused = node.actor::<Account>("alice").pay_in(1).await.unwrap_err();
    assert_eq!(refused.code(), FailureCode::Paused);
    node.call_dynamic(account(admin::RESUME, "[]", None)).await.unwrap();
    assert_eq!(node.actor::<Account>("alice").pay_in(1).await.unwrap(), 2);
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_payments_neither_make_nor_lose_money() {
    let node = start();
    for id in 0..8 {
        node.actor::<Account>(&id.to_string()).pay_in(1_000).await.unwrap();
    }
    let payers = (0..16_usize).map(|payer| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            for turn in 0..50 {
                let (from, to) = ((payer + turn) % 8, (payer * 3 + turn * 5) % 8);
                node.actor::<Account>(&from.to_string()).pay(to.to_string(), 1).await.unwrap();
            }
        })
    });
    futures::future::join_all(payers).await.into_iter().for_each(|payer| payer.unwrap());
    let settled = async {
        loop {
            let mut total = 0;
            for id in 0..8 {
                total += node.actor::<Account>(&id.to_string()).balance().await.unwrap();
            }
            assert!(total <= 8_000);
            if total == 8_000 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.expect("every payment arrives");
    node.stop();
}
