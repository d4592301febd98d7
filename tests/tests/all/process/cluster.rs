//! Nodes on this machine's loopback, each a process of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ports, Process, Web, gritmesh, until, until_equal};

/// How long nodes of tests wait for clients to go away before they stop. Tests keep connections open, and mind nothing.
const LAME_DUCK: &str = "100ms";

/// A command that starts one node, by another program if one is given.
fn up(by: &[String], data: &Path, listen: &str, http: &str) -> Command {
    let mut command = match by {
        [] => Command::new(gritmesh()),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(gritmesh());
            command
        }
    };
    command.arg("up").arg("--data").arg(data).args(["--listen", listen, "--http", http]);
    command
}

/// One node, running or not. It keeps its ports and its data over its starts.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) data: PathBuf,
    pub(crate) peers: String,
    pub(crate) web: Web,
    /// `timeouts.lame_duck`; the default one if it is `None`.
    pub(crate) lame_duck: Option<&'static str>,
    flags: Vec<String>,
    by: Vec<String>,
    folder: PathBuf,
    starts: u32,
    process: Option<Process>,
}

impl Node {
    pub(crate) fn new(folder: &Path, name: &str, ports: &mut Ports, flags: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            data: folder.join(name),
            peers: ports.address(),
            web: Web::new(&ports.address()),
            lame_duck: Some(LAME_DUCK),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            by: Vec::new(),
            folder: folder.to_owned(),
            starts: 0,
            process: None,
        }
    }

    /// Lets another program start it, which must turn into it.
    pub(crate) fn started_by(&mut self, program: &[&str]) {
        self.by = program.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts a process for it, which writes its own files of output.
    pub(crate) fn start(&mut self) {
        self.starts += 1;
        let mut command = up(&self.by, &self.data, &self.peers, self.web.address());
        command.args(["--name", &self.name]).args(&self.flags);
        command.envs(self.lame_duck.map(|lame_duck| ("GRITMESH_TIMEOUTS__LAME_DUCK", lame_duck)));
        let output = format!("{}-{}", self.name, self.starts);
        self.process = Some(Process::start(&mut command, &self.folder, &output));
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the node was started")
    }

    pub(crate) fn kill(&mut self) {
        self.process().kill();
    }

    #[track_caller]
    pub(crate) fn until_ready(&mut self) {
        until(&format!("{} is ready", self.name), || {
            assert!(self.process().is_running(), "{} has ended", self.name);
            self.web.is_ready().then_some(())
        });
    }

    /// What it says of the cluster.
    pub(crate) fn status(&self) -> Value {
        self.web.get("/v1/cluster").expect("the node answers").value()
    }

    /// The states of all members that it knows of, by name.
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        self.member_texts("state")
    }

    /// One field of all members that it knows of, by name.
    pub(crate) fn member_texts(&self, field: &str) -> BTreeMap<String, String> {
        let status = self.status();
        let members = status["members"].as_array().expect("a status lists the members");
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        members.iter().map(|member| (text(&member["name"]), text(&member[field]))).collect()
    }
}

/// Nodes that have one another as seeds.
pub(crate) struct Cluster {
    // Before the folder: processes end before their data is removed.
    pub(crate) nodes: Vec<Node>,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Nodes `node-1`, `node-2` and so on, none of them started.
    pub(crate) fn new(count: usize, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ports = Ports::new();
        let mut nodes: Vec<Node> = (1..=count)
            .map(|number| Node::new(folder.path(), &format!("node-{number}"), &mut ports, flags))
            .collect();
        let seeds: Vec<&str> = nodes.iter().map(|node| node.peers.as_str()).collect();
        let seeds = ["--seeds".to_owned(), seeds.join(",")];
        nodes.iter_mut().for_each(|node| node.flags.extend(seeds.clone()));
        Self { nodes, folder }
    }

    /// Nodes that are started and ready and know one another.
    pub(crate) fn start(count: usize) -> Self {
        let mut cluster = Self::new(count, &[]);
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.until_whole();
        cluster
    }

    /// Waits until every node is ready and sees all of them alive.
    #[track_caller]
    pub(crate) fn until_whole(&mut self) {
        self.nodes.iter_mut().for_each(Node::until_ready);
        let alive = self.nodes.iter().map(|node| (node.name.clone(), "alive".to_owned())).collect();
        for node in &self.nodes {
            until_equal(&alive, || node.states());
        }
    }

    /// The index of the node that hosts an actor, as another one tells.
    pub(crate) fn host_of(&self, actor: &str) -> usize {
        let answer = self.nodes[0].web.get(&format!("/v1/where/{actor}")).expect("the node answers").value();
        let name = answer["name"].as_str().unwrap_or_else(|| panic!("{answer}"));
        self.nodes.iter().position(|node| node.name == name).expect("the host is one of the nodes")
    }

    /// Codes after which a call with a key is made again: a shard looks for its leader, or a node has died.
    pub(crate) const PASSING: [&str; 6] =
        ["not_delivered", "no_leader", "no_quorum", "overloaded", "unknown_outcome", "no answer"];

    /// Adds one to a counter through a node, once however often that has to be asked for.
    #[track_caller]
    pub(crate) fn add_one(&self, through: usize, actor: &str) -> Value {
        let key = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string();
        until("the call succeeds", || match self.nodes[through].web.keyed(actor, "add", &json!([1]), &key) {
            Ok(total) => Some(total),
            Err(code) => {
                assert!(Self::PASSING.contains(&code.as_str()), "{code}");
                None
            }
        })
    }
}
