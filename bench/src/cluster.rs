//! Real node processes: how fast they find each other, notice a death, and serve again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::figures::Figures;
use crate::process::cpu_seconds;

const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// Real processes at once.
const MANY: usize = 25;
/// Shards still move for some seconds after all nodes are ready.
const SETTLING: Duration = Duration::from_secs(15);
/// For how long the processor time of idle nodes is counted.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) fn measure(runs: usize, binary: Option<PathBuf>) -> Result<Figures> {
    let binary = stock_binary(binary)?;
    let mut figures = Figures::default();
    for _ in 0..runs {
        let three = Cluster::start(&binary, 3)?;
        figures.add("three_nodes_ready", "ms", three.ready_ms);
        drop(three);
        detection(&mut figures, &binary, Death::Kill)?;
        detection(&mut figures, &binary, Death::Silence)?;
        stall(&mut figures, &binary)?;
        many(&mut figures, &binary)?;
    }
    Ok(figures)
}

/// The `gritmesh` binary: the one named, or the one beside this program.
pub(crate) fn stock_binary(named: Option<PathBuf>) -> Result<PathBuf> {
    let binary = match named {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("gritmesh"),
    };
    ensure!(binary.exists(), "{} is missing: build package gritmesh-daemon first", binary.display());
    Ok(binary)
}

/// Many nodes on one machine: how long until all are ready and see each other, and what they cost while nobody calls.
fn many(figures: &mut Figures, binary: &PathBuf) -> Result<()> {
    let cluster = Cluster::start(binary, MANY)?;
    figures.add(format!("nodes_{MANY}_ready"), "ms", cluster.ready_ms);
    let cpu_s = || cluster.nodes.iter().map(|node| cpu_seconds(node.id())).sum::<Result<f64>>();
    std::thread::sleep(SETTLING);
    let before_s = cpu_s()?;
    std::thread::sleep(IDLE);
    let share = (cpu_s()? - before_s) / IDLE.as_secs_f64();
    figures.add(format!("nodes_{MANY}_idle_cpu_each"), "ms/s", share * 1000.0 / MANY as f64);
    Ok(())
}

#[derive(Clone, Copy)]
enum Death {
    Kill,
    Silence,
}

/// Takes one of five nodes away and measures when the other four know, and when its actors answer again.
fn detection(figures: &mut Figures, binary: &PathBuf, death: Death) -> Result<()> {
    let cluster = Cluster::start(binary, 5)?;
    let victim = cluster.host_of("counter/alice")?;
    cluster.call("counter/alice", (victim + 1) % 5)?;
    let started = Instant::now();
    let (name, signal) = match death {
        Death::Kill => ("kill", "-KILL"),
        Death::Silence => ("silence", "-STOP"),
    };
    cluster.signal(victim, signal)?;
    let survivors: Vec<usize> = (0..5).filter(|node| *node != victim).collect();
    let (mut known, mut answered) = (None, None);
    while known.is_none() || answered.is_none() {
        ensure!(started.elapsed() < PATIENCE, "the others never noticed the {name}");
        if known.is_none() && survivors.iter().all(|node| cluster.sees_down(*node, victim)) {
            known = Some(started.elapsed());
        }
        if answered.is_none() && cluster.call("counter/alice", survivors[0]).is_ok() {
            answered = Some(started.elapsed());
        }
        std::thread::sleep(POLL);
    }
    let ms = |duration: Option<Duration>| duration.unwrap_or_default().as_secs_f64() * 1000.0;
    figures.add(format!("{name}_known_to_all_of_5"), "ms", ms(known));
    figures.add(format!("{name}_actor_answers_again"), "ms", ms(answered));
    cluster.signal(victim, "-CONT")
}

/// Stops one node for two seconds: nobody else may be declared dead, by anybody.
fn stall(figures: &mut Figures, binary: &PathBuf) -> Result<()> {
    let cluster = Cluster::start(binary, 5)?;
    cluster.signal(4, "-STOP")?;
    std::thread::sleep(Duration::from_secs(2));
    cluster.signal(4, "-CONT")?;
    let started = Instant::now();
    let mut false_deaths = 0.0;
    let mut back = None;
    while started.elapsed() < Duration::from_secs(4) {
        for node in 0..5 {
            for other in (0..4).filter(|other| *other != node) {
                if cluster.sees_down(node, other) {
                    false_deaths += 1.0;
                }
            }
        }
        if back.is_none() && (0..5).all(|node| (0..5).all(|other| !cluster.sees_down(node, other))) {
            back = Some(started.elapsed());
        }
        std::thread::sleep(POLL);
    }
    figures.add("stall_2s_false_deaths", "deaths", false_deaths);
    figures.add(
        "stall_2s_all_alive_again",
        "ms",
        back.context("the stalled node never came back")?.as_secs_f64() * 1000.0,
    );
    Ok(())
}

/// Node processes on loopback, ended when dropped.
pub(crate) struct Cluster {
    nodes: Vec<Child>,
    http: Vec<u16>,
    agent: ureq::Agent,
    ready_ms: f64,
    _directory: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn start(binary: &PathBuf, size: usize) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let ports = free_ports(size * 2)?;
        let (peers, http) = ports.split_at(size);
        let seeds: Vec<String> = peers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(3)))
            .http_status_as_error(true)
            .build()
            .new_agent();
        let started = Instant::now();
        let nodes: Result<Vec<Child>> = (0..size)
            .map(|node| {
                let child = Command::new(binary)
                    .args(["up", "--name", &format!("n{node}"), "--listen", &seeds[node]])
                    .args(["--http", &format!("127.0.0.1:{}", http[node]), "--seeds", &seeds.join(",")])
                    .arg("--data")
                    .arg(directory.path().join(node.to_string()))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                Ok(child)
            })
            .collect();
        let mut cluster =
            Self { nodes: nodes?, http: http.to_vec(), agent, ready_ms: 0.0, _directory: directory };
        while !(0..size).all(|node| cluster.is_ready(node, size)) {
            ensure!(started.elapsed() < PATIENCE, "the nodes never became ready");
            std::thread::sleep(POLL);
        }
        cluster.ready_ms = started.elapsed().as_secs_f64() * 1000.0;
        Ok(cluster)
    }

    pub(crate) fn http_port(&self, node: usize) -> u16 {
        self.http[node]
    }

    fn get(&self, node: usize, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.http[node]);
        Ok(self.agent.get(&url).call()?.body_mut().read_json()?)
    }

    /// Ready, and the whole cluster is in its view.
    fn is_ready(&self, node: usize, size: usize) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.http[node]);
        self.agent.get(&url).call().is_ok() && self.states(node).is_ok_and(|states| states.len() == size)
    }

    fn states(&self, node: usize) -> Result<Vec<(String, String)>> {
        let status = self.get(node, "/v1/cluster")?;
        let members = status["members"].as_array().context("members is a list")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(members.iter().map(|member| (text(&member["name"]), text(&member["state"]))).collect())
    }

    fn sees_down(&self, node: usize, other: usize) -> bool {
        let name = format!("n{other}");
        self.states(node).is_ok_and(|states| states.iter().any(|(n, state)| *n == name && state == "down"))
    }

    fn host_of(&self, actor: &str) -> Result<usize> {
        let place = self.get(0, &format!("/v1/where/{actor}"))?;
        let name = place["name"].as_str().context("a place has a name")?;
        Ok(name.trim_start_matches('n').parse()?)
    }

    fn call(&self, actor: &str, through: usize) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/v1/call/{actor}/add?timeout=250ms", self.http[through]);
        self.agent.post(&url).header("Content-Type", "application/json").send("[1]")?;
        Ok(())
    }

    fn signal(&self, node: usize, signal: &str) -> Result<()> {
        let pid = self.nodes[node].id().to_string();
        ensure!(Command::new("kill").args([signal, &pid]).status()?.success(), "kill {signal} {pid} failed");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

/// Ports that nobody listens on at this moment.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Result<Vec<_>, _> =
        (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect();
    let ports: Result<Vec<_>, _> =
        listeners?.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    ports
}
