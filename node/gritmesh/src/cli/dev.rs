//! `dev`: a cluster in one process, with data that is gone afterwards.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use super::arguments::DevArguments;
use super::log;
use super::output::{Failed, Output};
use super::process::{self, Signals, block_on};
use crate::config::{Settings, Timeouts};
use crate::{Node, NodeBuilder, files};

/// Where other commands look for a node if they are not told.
const HTTP_USUAL: u16 = 8080;

pub(super) fn run(
    arguments: DevArguments,
    output: &Output,
    program: &str,
    register: &dyn Fn(NodeBuilder) -> NodeBuilder,
) -> Result<(), Failed> {
    log::start(&arguments.log, arguments.log_format);
    process::settle();
    let open_files = (files::limit() / u64::from(arguments.nodes)).max(files::OPEN_FILES_MIN);
    // Removed when it goes out of scope, however this ends but by a second signal.
    let data = tempfile::Builder::new().prefix("gritmesh-dev-").tempdir();
    let data = data.map_err(|error: io::Error| {
        Failed::Unusable(format!("cannot make a temporary directory: {error}"))
    })?;
    block_on(async {
        let mut signals = Signals::listen()?;
        let mut nodes: Vec<Node> = Vec::new();
        for index in 0..arguments.nodes {
            let name = format!("node-{}", index + 1);
            let settings = Settings {
                data: data.path().join(&name),
                listen: "127.0.0.1:0".into(),
                http: format!("127.0.0.1:{}", http_port(arguments.http_base, index)?),
                seeds: nodes.first().map(|first| first.peer_address().to_string()).into_iter().collect(),
                name,
                // They all stop together, so there is nobody to hand over to, and nowhere else to send a request.
                timeouts: Timeouts {
                    drain: Duration::ZERO,
                    lame_duck: Duration::ZERO,
                    ..Timeouts::default()
                },
                ..Settings::default()
            };
            let builder = NodeBuilder::new().settings(settings).open_files(open_files);
            nodes.push(register(builder).start().await?);
        }
        let all_ready = async {
            futures::future::join_all(nodes.iter().map(Node::ready)).await;
            announce(&nodes, output, program);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            // There are no settings to read again: the terminal has gone.
            _ = signals.next() => output.note("stopping all nodes"),
            () = all_ready => {}
        }
        signals.stop(&nodes).await;
        Ok(())
    })
}

fn http_port(base: Option<u16>, index: u16) -> Result<u16, Failed> {
    match base {
        Some(0) => Ok(0),
        Some(base) => base.checked_add(index).ok_or_else(|| {
            Failed::Unusable(format!("--http-base {base} leaves no ports for all nodes: choose a lower one"))
        }),
        None if index == 0 && TcpListener::bind(("127.0.0.1", HTTP_USUAL)).is_ok() => Ok(HTTP_USUAL),
        None => Ok(0),
    }
}

fn announce(nodes: &[Node], output: &Output, program: &str) {
    let http =
        |node: &Node| node.http_address().map_or_else(String::new, |address| format!("http://{address}"));
    if output.is_json() {
        let list = nodes.iter().map(|node| {
            json!({
                "name": node.info().name,
                "node_id": node.info().node_id.to_string(),
                "peer_address": node.peer_address().to_string(),
                "http_url": http(node),
            })
        });
        return output.json_line(&json!({ "ready": true, "nodes": list.collect::<Vec<_>>() }));
    }
    let rows =
        nodes.iter().map(|node| [node.info().name.clone(), http(node), node.peer_address().to_string()]);
    output.table(["name", "http", "peers"], rows.collect());
    let types =
        nodes.first().and_then(|node| node.status().members.into_iter().find(|member| member.this_node));
    let types = types.and_then(|member| member.types).unwrap_or_default();
    let at =
        nodes.first().and_then(Node::http_address).map(|address| address.to_string()).unwrap_or_default();
    let node = if at.ends_with(&format!(":{HTTP_USUAL}")) { String::new() } else { format!(" --node {at}") };
    output.line(&format!("\nActor types: {}. Try, in another terminal:\n", types.join(", ")));
    if types.iter().any(|name| name == "counter") {
        output.line(&format!("  {program} call counter/alice add 5{node}"));
        output.line(&format!(
            "  curl http://{at}/v1/call/counter/alice/add -H 'content-type: application/json' -d 5"
        ));
    } else if let Some(name) = types.first() {
        output.line(&format!("  {program} call {name}/ID METHOD ARGUMENT...{node}"));
    }
    output.line(&format!("  {program} cluster status{node}"));
    output.line("\nPress ctrl-C to stop all nodes and remove their data.");
}
