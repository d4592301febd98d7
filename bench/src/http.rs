//! Calls by HTTP on three real processes: each caller has a connection that stays open, and one call outstanding.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::cluster::{self, Cluster};
use crate::figures::Figures;
use crate::load;

/// Callers, and calls of each kind for each measurement with so many.
const LOADS: [(usize, usize); 2] = [(1, 5_000), (64, 100_000)];
const NODES: usize = 3;
/// The end of a response's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What is called: the name of its figure, the path, and the arguments. The first is volatile, the second durable.
const CALLS: [(&str, &str, &str); 2] =
    [("http_echo", "echo/e{}/echo", "[7]"), ("http_durable", "counter/c{}/add", "[1]")];

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let binary = cluster::stock_binary(None)?;
    let mut figures = Figures::default();
    for _ in 0..runs {
        let cluster = Cluster::start(&binary, NODES)?;
        load::runtime()?.block_on(run(&mut figures, cluster.http_port(0)))?;
    }
    Ok(figures)
}

async fn run(figures: &mut Figures, port: u16) -> Result<()> {
    for (name, path, arguments) in CALLS {
        for (callers, calls) in LOADS {
            let mut connections = BTreeMap::new();
            for caller in 0..callers {
                let path = path.replace("{}", &caller.to_string());
                let mut connection = Connection::open(port, &path, arguments).await?;
                // Brings the actor into memory.
                connection.call().await?;
                connections.insert(caller, Arc::new(Mutex::new(connection)));
            }
            let connections = Arc::new(connections);
            let loaded = load::run(callers, calls, move |caller, _| {
                let connection = Arc::clone(&connections[&caller]);
                async move { connection.lock().await.call().await }
            })
            .await?;
            figures.add(format!("{name}_{callers}"), "calls/s", loaded.per_second);
            figures.add(format!("{name}_{callers}_p50"), "us", loaded.p50_us);
            figures.add(format!("{name}_{callers}_p99"), "us", loaded.p99_us);
        }
    }
    Ok(())
}

/// A connection on which the same request is sent over and over.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Connection {
    async fn open(port: u16, path: &str, arguments: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let length = arguments.len();
        let head =
            format!("POST /v1/call/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n");
        let request = format!("{head}content-length: {length}\r\n\r\n{arguments}").into_bytes();
        Ok(Self { stream, request, response: Vec::new() })
    }

    async fn call(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.response.clear();
        let bytes = loop {
            ensure!(self.stream.read_buf(&mut self.response).await? > 0, "the node closed the connection");
            if let Some(bytes) = response_bytes(&self.response)? {
                break bytes;
            }
        };
        while self.response.len() < bytes {
            ensure!(self.stream.read_buf(&mut self.response).await? > 0, "the node closed the connection");
        }
        Ok(())
    }
}

/// How long a response is, once its head is there. It must be a success.
fn response_bytes(received: &[u8]) -> Result<Option<usize>> {
    let Some(end) = received.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end])?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "not a success: {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("a response has a length")?.trim().parse()?;
    Ok(Some(end + HEAD_END.len() + length))
}
