//! Calls between two processes on loopback, 100 bytes there and back, beside a bare libp2p stream.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use gritmesh::Node;

use crate::figures::Figures;
use crate::floor::Floor;
use crate::load;
use crate::local::{Counter, CounterRef};
use crate::role::Role;

const PAYLOAD_BYTES: usize = 100;
/// Callers, and calls for each measurement with so many.
const LOADS: [(usize, usize); 3] = [(1, 20_000), (64, 300_000), (1024, 300_000)];

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        load::runtime()?.block_on(async {
            floor(&mut figures).await?;
            calls(&mut figures).await
        })?;
    }
    let ratio = figures.median("remote_call_1_p50") / figures.median("floor_stream_1_p50");
    figures.add("remote_call_1_p50_to_floor", "times", ratio);
    Ok(figures)
}

async fn floor(figures: &mut Figures) -> Result<()> {
    let role = Role::start("floor", &[])?;
    let floor = Floor::connect(&role.line, PAYLOAD_BYTES).await?;
    for (callers, calls) in LOADS {
        let floor = floor.clone();
        let loaded = load::run(callers, calls, move |_, _| {
            let floor = floor.clone();
            async move { floor.ask().await }
        })
        .await?;
        report(figures, "floor_stream", callers, loaded);
    }
    Ok(())
}

async fn calls(figures: &mut Figures) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let node = Node::builder()
        .data(directory.path())
        .listen("127.0.0.1:0")
        .http("127.0.0.1:0")
        .register::<Counter>()
        .start()
        .await?;
    let _role = Role::start("node", &[&node.peer_address().to_string()])?;
    let remote = Arc::new(remote_actors(&node).await?);
    for (callers, calls) in LOADS {
        let remote = Arc::clone(&remote);
        let loaded = load::run(callers, calls, move |caller, _| {
            let remote = Arc::clone(&remote);
            async move {
                let actor = &remote[caller % remote.len()];
                Ok(actor.echo("7".repeat(PAYLOAD_BYTES)).await.map(drop)?)
            }
        })
        .await?;
        report(figures, "remote_call", callers, loaded);
    }
    node.shutdown().await;
    Ok(())
}

/// Waits until the other node has its share, and picks actors that live there.
async fn remote_actors(node: &Node) -> Result<Vec<CounterRef>> {
    let me = node.status().node_id;
    loop {
        let mut remote = Vec::new();
        for id in 0..64 {
            let id = format!("echo-{id}");
            let place = node.locate(&format!("counter/{id}").parse()?);
            if place.is_some_and(|place| place.node_id != me) {
                remote.push(node.actor::<Counter>(&id));
            }
        }
        if remote.len() >= 16 {
            for actor in &remote {
                actor.add(1).await?;
            }
            return Ok(remote);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn report(figures: &mut Figures, name: &str, callers: usize, loaded: load::Loaded) {
    figures.add(format!("{name}_{callers}"), "calls/s", loaded.per_second);
    figures.add(format!("{name}_{callers}_p50"), "us", loaded.p50_us);
    figures.add(format!("{name}_{callers}_p99"), "us", loaded.p99_us);
}

/// The child process: the other node.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    load::runtime()?.block_on(async {
        let directory = tempfile::tempdir()?;
        let _node = Node::builder()
            .data(directory.path())
            .listen("127.0.0.1:0")
            .http("127.0.0.1:0")
            .seeds(arguments.iter().cloned())
            .register::<Counter>()
            .start()
            .await?;
        println!("ready");
        std::future::pending::<Result<()>>().await
    })
}
