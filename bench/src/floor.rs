//! The floors of what goes over the network: one long-lived libp2p stream with numbered, length-prefixed frames, or
//! with as many bytes as it takes, and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::FuturesAsyncReadCompatExt;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/gritmesh-bench/floor/1");
/// The stream that is only written to.
const FLOOD: StreamProtocol = StreamProtocol::new("/gritmesh-bench/flood/1");
/// What the other side writes at a time.
const FLOOD_BLOCK: usize = 64 * 1024;
const HEADER_BYTES: usize = 12;
const WRITES_WAITING: usize = 4096;

fn swarm() -> Result<Swarm<libp2p_stream::Behaviour>> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| libp2p_stream::Behaviour::new())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build())
}

/// The child process: echoes every frame, and floods whoever asks for it.
pub(crate) fn serve() -> Result<()> {
    crate::load::runtime()?.block_on(async {
        let mut swarm = swarm()?;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let mut incoming = swarm.behaviour().new_control().accept(PROTOCOL)?;
        tokio::spawn(async move {
            while let Some((_, stream)) = incoming.next().await {
                let (reader, writer) = tokio::io::split(stream.compat());
                tokio::spawn(echo(reader, writer));
            }
        });
        let mut thirsty = swarm.behaviour().new_control().accept(FLOOD)?;
        tokio::spawn(async move {
            while let Some((_, stream)) = thirsty.next().await {
                tokio::spawn(flood(stream.compat()));
            }
        });
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                println!("{address} {}", swarm.local_peer_id());
            }
        }
    })
}

async fn echo(mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) -> Result<()> {
    let (mut read, mut out) = (Vec::with_capacity(1 << 16), Vec::with_capacity(1 << 16));
    while reader.read_buf(&mut read).await? > 0 {
        let mut at = 0;
        while let Some(frame) = frame_at(&read, at) {
            out.extend_from_slice(&read[at..frame]);
            at = frame;
        }
        read.drain(..at);
        writer.write_all(&out).await?;
        writer.flush().await?;
        out.clear();
    }
    Ok(())
}

/// Writes as many bytes as it is asked for.
async fn flood(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut left = usize::try_from(stream.read_u64_le().await?)?;
    // Bytes that a disk cannot make smaller.
    let block = crate::member::text(FLOOD_BLOCK, 0).into_bytes();
    while left > 0 {
        let part = left.min(block.len());
        stream.write_all(&block[..part]).await?;
        left -= part;
    }
    Ok(stream.flush().await?)
}

/// Bytes per second of one stream in one direction; each block goes to a sink.
pub(crate) async fn bandwidth(line: &str, bytes: usize, sink: &mut dyn FnMut(&[u8])) -> Result<f64> {
    let (mut control, peer) = dial(line).await?;
    let mut stream = control.open_stream(peer, FLOOD).await?.compat();
    stream.write_u64_le(bytes as u64).await?;
    stream.flush().await?;
    let (started, mut left, mut block) = (Instant::now(), bytes, vec![0; 4 * FLOOD_BLOCK]);
    while left > 0 {
        let read = stream.read(&mut block).await?;
        ensure!(read > 0, "the stream ended early");
        sink(&block[..read]);
        left = left.saturating_sub(read);
    }
    Ok(bytes as f64 / started.elapsed().as_secs_f64())
}

/// Connects to the child that printed this line, and keeps the connection.
async fn dial(line: &str) -> Result<(libp2p_stream::Control, PeerId)> {
    let (address, peer) = line.trim().split_once(' ').context("the child says its address")?;
    let (address, peer): (Multiaddr, PeerId) = (address.parse()?, peer.parse()?);
    let mut swarm = swarm()?;
    swarm.dial(address)?;
    let control = swarm.behaviour().new_control();
    while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    Ok((control, peer))
}

/// Where the frame at `at` ends, if it is whole.
fn frame_at(bytes: &[u8], at: usize) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
    let end = at + HEADER_BYTES + length;
    (bytes.len() >= end).then_some(end)
}

type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<()>>>>;

/// A client of the floor.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    frames: mpsc::Sender<(u64, Arc<Vec<u8>>)>,
    pending: Pending,
    number: Arc<AtomicU64>,
    payload: Arc<Vec<u8>>,
}

impl Floor {
    pub(crate) async fn connect(line: &str, payload_bytes: usize) -> Result<Self> {
        let (mut control, peer) = dial(line).await?;
        let stream = control.open_stream(peer, PROTOCOL).await?;
        let (reader, writer) = tokio::io::split(stream.compat());
        let (frames, queue) = mpsc::channel(WRITES_WAITING);
        let pending = Pending::default();
        tokio::spawn(write(writer, queue));
        tokio::spawn(read(reader, Arc::clone(&pending)));
        Ok(Self { frames, pending, number: Arc::default(), payload: Arc::new(vec![7; payload_bytes]) })
    }

    pub(crate) async fn ask(&self) -> Result<()> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.pending.lock().expect("no holder panics").insert(number, sender);
        self.frames.send((number, Arc::clone(&self.payload))).await?;
        Ok(answer.await?)
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<(u64, Arc<Vec<u8>>)>,
) -> Result<()> {
    let (mut out, mut batch) = (Vec::with_capacity(1 << 16), Vec::new());
    while queue.recv_many(&mut batch, 512).await > 0 {
        for (number, payload) in batch.drain(..) {
            out.extend_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&payload);
        }
        writer.write_all(&out).await?;
        writer.flush().await?;
        out.clear();
    }
    Ok(())
}

async fn read(mut reader: impl AsyncRead + Unpin, pending: Pending) -> Result<()> {
    let mut read = Vec::with_capacity(1 << 16);
    while reader.read_buf(&mut read).await? > 0 {
        let mut at = 0;
        while let Some(end) = frame_at(&read, at) {
            let number = u64::from_le_bytes(read[at + 4..at + HEADER_BYTES].try_into()?);
            if let Some(caller) = pending.lock().expect("no holder panics").remove(&number) {
                let _ = caller.send(());
            }
            at = end;
        }
        read.drain(..at);
    }
    Ok(())
}
