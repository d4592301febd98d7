//! The peers, each in processes of its own, under the load that Gritmesh gets.
//!
//! The actor libraries and the client of etcd are built apart (`bench/peers`), so that nothing else depends on them.
//! etcd is the distribution's package.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cluster::free_ports;
use crate::figures::Figures;

const MEMBERS: usize = 3;
const POLL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the peers are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Peers {
    /// The program of `bench/peers`; by default the one beside this program.
    #[arg(long = "peers", value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

impl Peers {
    pub(crate) fn measure(&self, runs: usize) -> Result<Figures> {
        let mut figures = Figures::default();
        for _ in 0..runs {
            self.actors(&mut figures)?;
            self.etcd(&mut figures)?;
        }
        Ok(figures)
    }

    /// Calls within one process, by the libraries for actors.
    pub(crate) fn actors(&self, figures: &mut Figures) -> Result<()> {
        self.run(figures, &["kameo"])?;
        self.run(figures, &["ractor"])
    }

    /// Puts on three members of etcd.
    pub(crate) fn etcd(&self, figures: &mut Figures) -> Result<()> {
        let etcd = Etcd::start()?;
        self.run(figures, &["etcd", &etcd.clients.join(",")])
    }

    fn run(&self, figures: &mut Figures, arguments: &[&str]) -> Result<()> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("gritmesh-bench-peers"),
        };
        let ran = Command::new(&program).args(arguments).stderr(Stdio::inherit()).output();
        let ran = ran.with_context(|| format!("{}: `./run bench peers` builds it", program.display()))?;
        ensure!(ran.status.success(), "{} {arguments:?} failed", program.display());
        for line in String::from_utf8(ran.stdout)?.lines() {
            let (name, value) = line.split_once('=').with_context(|| format!("not a figure: {line}"))?;
            let (value, unit) =
                value.split_once(' ').with_context(|| format!("a figure without unit: {line}"))?;
            let unit = UNITS.iter().find(|known| **known == unit).context("a unit that is not known")?;
            figures.add(name, unit, value.parse()?);
        }
        Ok(())
    }
}

/// Units of the peers' figures.
const UNITS: [&str; 3] = ["calls/s", "puts/s", "us"];

/// Members of etcd on loopback, ended when dropped.
struct Etcd {
    members: Vec<Child>,
    /// Where clients reach them.
    clients: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let ports = free_ports(MEMBERS * 2)?;
        let url = |port: &u16| format!("http://127.0.0.1:{port}");
        let (peers, clients) = ports.split_at(MEMBERS);
        let cluster: Vec<_> =
            peers.iter().enumerate().map(|(member, port)| format!("m{member}={}", url(port))).collect();
        let mut etcd = Self {
            members: Vec::new(),
            clients: clients.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
            _directory: directory,
        };
        for member in 0..MEMBERS {
            let (peer, client) = (url(&peers[member]), url(&clients[member]));
            let child = Command::new("etcd")
                .args(["--name", &format!("m{member}"), "--log-level", "error", "--data-dir"])
                .arg(etcd._directory.path().join(member.to_string()))
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--initial-cluster", &cluster.join(",")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("etcd does not start: install Debian's package etcd-server")?;
            etcd.members.push(child);
        }
        etcd.wait()?;
        Ok(etcd)
    }

    fn wait(&self) -> Result<()> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(1))).build().into();
        let started = Instant::now();
        let healthy = |client: &String| agent.get(format!("http://{client}/health")).call().is_ok();
        while !self.clients.iter().all(healthy) {
            ensure!(started.elapsed() < PATIENCE, "etcd is not healthy after {PATIENCE:?}");
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}
