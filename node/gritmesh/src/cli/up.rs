//! `up`: one node, until a signal.

use std::pin::pin;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, interval};

use super::arguments::UpArguments;
use super::log::{self, Log};
use super::output::{Failed, Output, one_line};
use super::process::{self, Asked, Signals, block_on};
use crate::config::Settings;
use crate::{Node, NodeBuilder};

/// How often the log says what a node is still waiting for.
const WAITING_SAID_PERIOD: Duration = Duration::from_secs(10);

/// The keys that a node takes while it runs.
const RELOADED: [&str; 3] = ["log", "token", "secret"];

pub(super) fn run(
    arguments: &UpArguments,
    output: &Output,
    register: &dyn Fn(NodeBuilder) -> NodeBuilder,
) -> Result<(), Failed> {
    let layers = arguments.layers();
    let ignored = layers.ignored().join(", ");
    let settings = layers.load()?;
    if arguments.dump_config {
        output.line(settings.to_toml().trim_end());
        return Ok(());
    }
    let log = log::start(&settings.log, settings.log_format);
    if !ignored.is_empty() {
        tracing::info!(variables = ignored, "an orchestrator says where a service is; these are no settings");
    }
    process::settle();
    let builder = register(NodeBuilder::new().settings(settings.clone()));
    block_on(serve(builder, output, Reloading { arguments, settings, log }))
}

async fn serve(builder: NodeBuilder, output: &Output, mut reloading: Reloading<'_>) -> Result<(), Failed> {
    let mut signals = Signals::listen()?;
    let Some(node) = started(builder, &mut signals, &mut reloading).await? else { return Ok(()) };
    announce(&node, output);
    let mut ready = pin!(announce_ready(&node, output));
    loop {
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Reload => reloading.reload(&node).await,
                Asked::Stop => break,
            },
            reason = node.fatal() => return Err(Failed::Broken(reason)),
            () = &mut ready => {}
        }
    }
    output.note("stopping: sending clients elsewhere, handing over shards, saying goodbye; signal again to stop at once");
    signals.stop(std::slice::from_ref(&node)).await;
    Ok(())
}

/// The node, unless a signal stops it first. A start may take long: a name that is not known yet, a disk to recover.
async fn started(
    builder: NodeBuilder,
    signals: &mut Signals,
    reloading: &mut Reloading<'_>,
) -> Result<Option<Node>, Failed> {
    let mut starting = pin!(builder.start());
    let mut reloads = false;
    let node = loop {
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Reload => reloads = true,
                Asked::Stop => return Ok(None),
            },
            node = &mut starting => break node?,
        }
    };
    if reloads {
        reloading.reload(&node).await;
    }
    Ok(Some(node))
}

/// What is needed to read the settings again.
struct Reloading<'a> {
    arguments: &'a UpArguments,
    settings: Settings,
    log: Log,
}

impl Reloading<'_> {
    /// Reads the settings again, and changes what can be changed in a node that runs. If anything is wrong, nothing
    /// changes.
    async fn reload(&mut self, node: &Node) {
        let refuse = |reason: String| {
            tracing::error!(reason, "the settings cannot be read again, and stay as they were");
        };
        let settings = match self.arguments.layers().load() {
            Ok(settings) => settings,
            Err(error) => return refuse(one_line(&error)),
        };
        let secrets = match node.reload(&settings).await {
            Ok(secrets) => secrets,
            Err(error) => return refuse(one_line(&error)),
        };
        self.log.replace(&settings.log);
        tracing::info!(
            log = settings.log.as_str(),
            secrets,
            "read the log level, the token and the secrets again"
        );
        let mut keys = self.settings.differing(&settings);
        keys.retain(|key| !RELOADED.contains(&key.as_str()));
        if !keys.is_empty() {
            tracing::warn!(keys = keys.join(", "), "settings have changed that only a restart applies");
        }
    }
}

fn announce(node: &Node, output: &Output) {
    let info = node.info();
    let cluster = node.status().cluster_id;
    let http = node.http_address().map(|address| format!("http://{address}"));
    if output.is_json() {
        return output.json_line(&json!({
            "name": info.name,
            "node_id": info.node_id.to_string(),
            "peer_address": node.peer_address().to_string(),
            "http_url": http,
            "cluster_id": cluster,
            "ready": false,
        }));
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
        output.json_line(&json!({ "ready": true, "cluster_id": cluster, "nodes": active }));
    } else {
        let took_s = started.elapsed().as_secs_f64();
        output.line(&format!("ready    after {took_s:.1} s, in cluster {cluster}, {active} node(s)"));
    }
    std::future::pending().await
}
