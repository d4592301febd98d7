//! `up`: one node, until a signal.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, interval};

use super::arguments::UpArguments;
use super::log;
use super::output::{Failed, Output};
use super::process::{Signals, block_on};
use crate::{Node, NodeBuilder};

/// How often the log says what a node is still waiting for.
const WAITING_SAID_PERIOD: Duration = Duration::from_secs(10);

pub(super) fn run(
    arguments: UpArguments,
    output: &Output,
    register: &dyn Fn(NodeBuilder) -> NodeBuilder,
) -> Result<(), Failed> {
    let settings = arguments.layers().load()?;
    if arguments.dump_config {
        output.line(settings.to_toml().trim_end());
        return Ok(());
    }
    log::start(&settings.log, settings.log_format)?;
    let builder = register(NodeBuilder::new().settings(settings));
    block_on(serve(builder, output))
}

async fn serve(builder: NodeBuilder, output: &Output) -> Result<(), Failed> {
    let mut signals = Signals::listen()?;
    let node = builder.start().await?;
    announce(&node, output);
    tokio::select! {
        biased;
        () = signals.next() => output.note("stopping: handing over shards and saying goodbye; signal again to stop at once"),
        reason = node.fatal() => return Err(Failed::Broken(reason)),
        () = announce_ready(&node, output) => {}
    }
    signals.stop(std::slice::from_ref(&node)).await;
    Ok(())
}

fn announce(node: &Node, output: &Output) {
    let info = node.info();
    let cluster = node.status().cluster_id;
    let http = node.http_address().map(|address| format!("http://{address}"));
    if output.is_json() {
        return output.line(
            &json!({
                "name": info.name,
                "node_id": info.node_id.to_string(),
                "peer_address": node.peer_address().to_string(),
                "http_url": http,
                "cluster_id": cluster,
                "ready": false,
            })
            .to_string(),
        );
    }
    output.line(&format!(
        "node     {}\nid       {}\npeers    {}\nhttp     {}\ncluster  {}",
        info.name,
        info.node_id,
        node.peer_address(),
        http.as_deref().unwrap_or("off"),
        cluster.as_deref().unwrap_or("none yet: looking for the others, or founding one"),
    ));
}

/// Says when the node is ready, and what it waits for if that takes long. Has no end.
async fn announce_ready(node: &Node, output: &Output) {
    let started = Instant::now();
    let mut say = interval(WAITING_SAID_PERIOD);
    say.tick().await;
    loop {
        tokio::select! {
            biased;
            () = node.ready() => break,
            _ = say.tick() => tracing::warn!(waits_for = node.readiness().waits_for.join("; "), "not ready yet"),
        }
    }
    let status = node.status();
    let active = node.view().active().count();
    let cluster = status.cluster_id.unwrap_or_default();
    if output.is_json() {
        output.line(&json!({ "ready": true, "cluster_id": cluster, "nodes": active }).to_string());
    } else {
        let took_s = started.elapsed().as_secs_f64();
        output.line(&format!("ready    after {took_s:.1} s, in cluster {cluster}, {active} node(s)"));
    }
    std::future::pending().await
}
