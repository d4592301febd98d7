//! One real node without peers: founding, activation, calls, passivation, shutdown.

#![expect(clippy::disallowed_methods, reason = "a test may wait for real time")]

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{Context, Registry, actor, handlers};
use gritmesh_core::{DynamicCall, Node, NodeOptions};
use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::tokio::{SystemClock, TokioSpawn};
use gritmesh_runtime::{
    Disk, DiskError, Environment, FailureCode, Incarnation, Network, NodeId, NodeInfo, Persisted, Record,
    Seed, SendError, Tag, TrafficClass, TypesDigest, WIRE_VERSION,
};

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

#[derive(Debug, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Nobody is out there.
struct Nobody;

impl Network for Nobody {
    fn send(&self, _: NodeId, _: TrafficClass, _: Tag, _: &[u8]) -> Result<(), SendError> {
        Err(SendError::UnknownPeer)
    }

    fn dial(&self, _: &str) {}
    fn learn(&self, _: &NodeInfo) {}
    fn forget(&self, _: NodeId) {}
    fn set_hello(&self, _: Hello) {}
}

/// A disk that remembers nothing. The node belongs to a cluster once `done` is told.
struct Forgetful {
    done: Option<std::sync::mpsc::SyncSender<Persisted>>,
}

impl Disk for Forgetful {
    fn read(&self, _: &str) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(None)
    }

    fn write(&self, _: Vec<Record>, done: Persisted) {
        match &self.done {
            None => done(Ok(())),
            Some(later) => drop(later.send(done)),
        }
    }
}

fn start() -> Arc<Node> {
    start_on(Forgetful { done: None })
}

fn start_on(disk: Forgetful) -> Arc<Node> {
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
    let info = NodeInfo {
        node_id: NodeId([1; 32]),
        incarnation: Incarnation(1),
        peer_address: ([127, 0, 0, 1], 1).into(),
        http_address: None,
        name: "alone".into(),
        zone: String::new(),
        weight: 1,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of(registry.names()),
    };
    Node::start(environment, info, None, registry, NodeOptions { engines: 2, ..NodeOptions::default() })
        .expect("the settings are in range")
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
    let node = start_on(Forgetful { done: Some(done) });
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
