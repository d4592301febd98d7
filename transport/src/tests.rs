//! A node against peers that speak the protocol and break it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use gritmesh_runtime::admission::{Hello, Secret};
use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{
    Incarnation, Network, NetworkEvent, NetworkHandler, NodeId, NodeInfo, Tag, TrafficClass, TypesDigest,
    WIRE_VERSION,
};
use libp2p::swarm::{Stream, SwarmEvent};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::control::{ControlMessage, ControlStream, Greeting, Verdict};
use crate::driver;
use crate::lanes::{Lane, Lanes, OpenRequest};
use crate::{Identity, Options, Peers, bind};

const DEADLINE: Duration = Duration::from_secs(30);

fn options() -> Options {
    let info = NodeInfo {
        node_id: NodeId([0; 32]),
        incarnation: Incarnation(1),
        peer_address: ([0, 0, 0, 0], 0).into(),
        http_address: None,
        name: String::new(),
        zone: String::new(),
        weight: 1,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of([]),
    };
    Options::new(([127, 0, 0, 1], 0).into(), Secret::none().into(), Hello::new(info))
}

/// A well-behaved node whose events can be read as text.
struct Node {
    peers: Arc<Peers>,
    id: NodeId,
    address: SocketAddr,
    events: mpsc::Receiver<String>,
}

struct Recorder(mpsc::Sender<String>);

impl NetworkHandler for Recorder {
    fn handle(&self, event: NetworkEvent<'_>) {
        self.0.try_send(format!("{event:?}")).expect("a test makes few events");
    }
}

impl Node {
    async fn start(options: Options) -> Self {
        let identity = Identity::generate();
        let (peers, address) = bind(&identity, options).await.unwrap();
        let (sender, events) = mpsc::channel(1000);
        peers.run(Arc::new(Recorder(sender)));
        Self { peers, id: identity.node_id(), address, events }
    }

    async fn expect(&mut self, parts: &[&str]) {
        let event = timeout(DEADLINE, self.events.recv()).await.unwrap().unwrap();
        assert!(parts.iter().all(|part| event.contains(part)), "expected {parts:?}, got {event}");
    }
}

/// A peer whose every step is the test's.
struct Stranger {
    id: NodeId,
    lanes: Lanes,
    swarm: JoinHandle<()>,
}

impl Stranger {
    /// Has an encrypted connection to the node and nothing else.
    async fn connect(node: &Node) -> Self {
        let identity = Identity::generate();
        let (mut swarm, _) = driver::bind(&identity, &options(), 6).await.unwrap();
        swarm.dial(driver::multiaddr(node.address)).unwrap();
        let connection = loop {
            if let SwarmEvent::ConnectionEstablished { connection_id, .. } = swarm.select_next_some().await {
                break connection_id;
            }
        };
        let lanes = swarm.behaviour_mut().take(connection).unwrap();
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { id: identity.node_id(), lanes, swarm }
    }

    async fn open(&self, lane: Lane) -> Stream {
        let (reply, opened) = tokio::sync::oneshot::channel();
        self.lanes.opens.send(OpenRequest { lane, reply }).await.unwrap();
        opened.await.unwrap().unwrap()
    }

    async fn control(&self) -> ControlStream {
        ControlStream::new(self.open(Lane::Control).await)
    }

    fn greeting(&self) -> Greeting {
        let mut hello = options().hello;
        hello.info.node_id = self.id;
        hello.info.peer_address.set_port(1);
        Greeting { hello, nonce: 5, process: 6 }
    }

    /// Goes through admission as it should be.
    async fn be_admitted(&self, node: &mut Node) -> ControlStream {
        let mut control = self.control().await;
        send(&mut control, ControlMessage::Greeting(Box::new(self.greeting()))).await;
        let nonce = nonce_of(control.receive().await.unwrap());
        let proof = Secret::none().proof(self.id, node.id, 5, nonce);
        send(&mut control, ControlMessage::Proof(proof)).await;
        let ControlMessage::Proof(theirs) = control.receive().await.unwrap() else { panic!() };
        assert!(Secret::none().verify(Secret::none().proof(node.id, self.id, nonce, 5), theirs));
        if self.id > node.id {
            send(&mut control, ControlMessage::Verdict(Verdict::Ready)).await;
        }
        if self.id < node.id {
            assert_eq!(control.receive().await.unwrap(), ControlMessage::Verdict(Verdict::Ready));
            send(&mut control, ControlMessage::Verdict(Verdict::Admitted(1))).await;
        } else {
            let verdict = control.receive().await.unwrap();
            assert!(matches!(verdict, ControlMessage::Verdict(Verdict::Admitted(_))), "{verdict:?}");
        }
        node.expect(&["Connected"]).await;
        control
    }

    /// Waits until the node has closed the connection.
    async fn until_closed(mut self) {
        assert!(timeout(DEADLINE, self.lanes.arrivals.recv()).await.unwrap().is_none());
        self.swarm.abort();
    }
}

fn nonce_of(message: ControlMessage) -> u64 {
    let ControlMessage::Greeting(greeting) = message else { panic!("{message:?} is no greeting") };
    greeting.nonce
}

async fn send(control: &mut ControlStream, message: ControlMessage) {
    control.send(WIRE_VERSION, &message).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_that_lie_or_come_out_of_turn_are_refused() {
    let mut node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let mut lie = stranger.greeting();
    lie.hello.info.node_id = NodeId([3; 32]);
    for message in [
        ControlMessage::Greeting(Box::new(lie)),
        ControlMessage::Proof([0; 32]),
        ControlMessage::Ping(1),
        ControlMessage::Verdict(Verdict::Admitted(u64::MAX)),
        ControlMessage::Goodbye,
    ] {
        let stranger = Stranger::connect(&node).await;
        let mut control = stranger.control().await;
        send(&mut control, message).await;
        node.expect(&["Refused", "by_us: true", "Malformed"]).await;
        stranger.until_closed().await;
    }
    assert_eq!(node.peers.counters().refused["malformed_handshake"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_proof_to_try_secrets_on() {
    let mut node = Node::start(options()).await;
    for wrong in [false, true] {
        let stranger = Stranger::connect(&node).await;
        let mut control = stranger.control().await;
        send(&mut control, ControlMessage::Greeting(Box::new(stranger.greeting()))).await;
        assert!(matches!(control.receive().await.unwrap(), ControlMessage::Greeting(_)));
        let message =
            if wrong { ControlMessage::Proof([7; 32]) } else { ControlMessage::Verdict(Verdict::Ready) };
        send(&mut control, message).await;
        let answer = control.receive().await.unwrap();
        assert!(matches!(answer, ControlMessage::Verdict(Verdict::Refused(_))), "{answer:?}");
        node.expect(&["Refused", "by_us: true"]).await;
        stranger.until_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_change_for_connections_to_come() {
    let mut node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let mut standing = stranger.be_admitted(&mut node).await;
    node.peers.set_secrets(Secret::from_text("another one").into());
    send(&mut standing, ControlMessage::Ping(1)).await;
    assert_eq!(standing.receive().await.unwrap(), ControlMessage::Pong(1), "it goes on");
    let late = Stranger::connect(&node).await;
    let mut control = late.control().await;
    send(&mut control, ControlMessage::Greeting(Box::new(late.greeting()))).await;
    let nonce = nonce_of(control.receive().await.unwrap());
    send(&mut control, ControlMessage::Proof(Secret::none().proof(late.id, node.id, 5, nonce))).await;
    node.expect(&["Refused", "WrongSecret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_stream_of_noise_is_refused() {
    let mut node = Node::start(options()).await;
    for noise in [&[0xff; 64][..], &[4, 0, 0, 0, WIRE_VERSION as u8, 0, 0xaa, 0xbb], &[1, 0, 0, 0, 1]] {
        let stranger = Stranger::connect(&node).await;
        let mut stream = stranger.open(Lane::Control).await;
        stream.write_all(noise).await.unwrap();
        node.expect(&["Refused", "by_us: true", "Malformed"]).await;
        drop(stream);
        stranger.until_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_from_a_stranger_before_admission() {
    let node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let (reply, opened) = tokio::sync::oneshot::channel();
    let lane = Lane::Class(TrafficClass::Calls);
    stranger.lanes.opens.send(OpenRequest { lane, reply }).await.unwrap();
    // The node may close before the stream is even negotiated.
    if let Ok(Ok(mut stream)) = opened.await {
        let _ = stream.write_all(&[1, 0, 0, 0, 7]).await;
    }
    stranger.until_closed().await;
    let counters = node.peers.counters();
    assert_eq!(counters.of(TrafficClass::Calls).envelopes_received, 0);
    assert_eq!(counters.inbound_rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_says_nothing_is_closed() {
    let node = Node::start(options()).await;
    let (mute, deaf) = (Stranger::connect(&node).await, Stranger::connect(&node).await);
    let control = deaf.control().await;
    mute.until_closed().await;
    deaf.until_closed().await;
    drop(control);
    assert_eq!(node.peers.counters().inbound_rejected, 2);
    assert_eq!(node.peers.counters().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_without_a_proof_keep_nobody_out() {
    // A quarter of it awaits admission at most.
    let mut node = Node::start(Options { connections_max: 16, ..options() }).await;
    let mut idle = std::collections::VecDeque::new();
    for _ in 0..6 {
        let stranger = Stranger::connect(&node).await;
        let control = stranger.control().await;
        idle.push_back((stranger, control));
    }
    for _ in 0..2 {
        let (oldest, control) = idle.pop_front().unwrap();
        oldest.until_closed().await;
        drop(control);
    }
    assert_eq!(node.peers.counters().inbound_rejected, 2);
    let peer = Stranger::connect(&node).await;
    let mut standing = peer.be_admitted(&mut node).await;
    let (oldest, control) = idle.pop_front().unwrap();
    oldest.until_closed().await;
    drop(control);
    // Whoever is admitted needs no place any more.
    for _ in 0..4 {
        idle.push_back({
            let stranger = Stranger::connect(&node).await;
            let control = stranger.control().await;
            (stranger, control)
        });
    }
    send(&mut standing, ControlMessage::Ping(1)).await;
    assert_eq!(standing.receive().await.unwrap(), ControlMessage::Pong(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_frame_ends_the_connection() {
    let mut node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let _control = stranger.be_admitted(&mut node).await;
    let mut stream = stranger.open(Lane::Class(TrafficClass::Calls)).await;
    stream.write_all(&[2, 0, 0, 0, 7, 7]).await.unwrap();
    node.expect(&["Received", "Calls"]).await;
    stream.write_all(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes()).await.unwrap();
    node.expect(&["Malformed", "a frame announces"]).await;
    node.expect(&["Lost", "Local"]).await;
    stranger.until_closed().await;
    assert_eq!(node.peers.counters().malformed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_noise_after_admission_ends_the_connection() {
    let mut node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let mut control = stranger.be_admitted(&mut node).await;
    send(&mut control, ControlMessage::Verdict(Verdict::Ready)).await;
    node.expect(&["Malformed", "out of turn"]).await;
    node.expect(&["Lost", "Local"]).await;
    stranger.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stops_answering_is_unreachable() {
    let mut node = Node::start(Options { silence_max: Duration::from_millis(400), ..options() }).await;
    let stranger = Stranger::connect(&node).await;
    let mut control = stranger.be_admitted(&mut node).await;
    let mut streams = Vec::new();
    for class in TrafficClass::ALL {
        streams.push(stranger.open(Lane::Class(class)).await);
    }
    // It answers for a while.
    for _ in 0..5 {
        let ControlMessage::Ping(number) = control.receive().await.unwrap() else { panic!() };
        send(&mut control, ControlMessage::Pong(number)).await;
    }
    assert_eq!(node.peers.counters().connections, 1);
    node.peers.send(stranger.id, TrafficClass::Calls, Tag(7), b"maybe sent").unwrap();
    let mut read = [0; 14];
    streams[TrafficClass::Calls as usize].read_exact(&mut read).await.unwrap();
    node.expect(&["Lost", "Unreachable", "unsent: []"]).await;
    stranger.until_closed().await;
}

/// The window of a stream that is not read fills up; beyond it nothing is written, and that is known exactly.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_stream_did_not_take_is_unsent() {
    let mut node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let control = stranger.be_admitted(&mut node).await;
    let stream = stranger.open(Lane::Class(TrafficClass::Bulk)).await;
    for tag in 1..=10 {
        node.peers.send(stranger.id, TrafficClass::Bulk, Tag(tag), &[0; 100_000]).unwrap();
    }
    while node.peers.counters().of(TrafficClass::Bulk).bytes_sent == 0 {
        tokio::task::yield_now().await;
    }
    let window_is_full = async {
        // The bulk stream is stuck when the others, opened later, are through.
        let mut other = stranger.open(Lane::Class(TrafficClass::Gossip)).await;
        node.peers.send(stranger.id, TrafficClass::Gossip, Tag(99), b"").unwrap();
        other.read_exact(&mut [0; 4]).await.unwrap();
        other
    };
    let other = timeout(DEADLINE, window_is_full).await.unwrap();
    stranger.swarm.abort();
    let event = timeout(DEADLINE, node.events.recv()).await.unwrap().unwrap();
    assert!(event.contains("reason: Reset"), "{event}");
    // 256 KiB were taken: two envelopes and a part of the third.
    assert!(event.contains("unsent: [Tag(4), Tag(5), Tag(6), Tag(7), Tag(8), Tag(9), Tag(10)]"), "{event}");
    drop((control, stream, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_is_opened_once() {
    let mut node = Node::start(options()).await;
    let stranger = Stranger::connect(&node).await;
    let _control = stranger.be_admitted(&mut node).await;
    let lane = Lane::Class(TrafficClass::Calls);
    let _first = stranger.open(lane).await;
    let (reply, second) = tokio::sync::oneshot::channel();
    stranger.lanes.opens.send(OpenRequest { lane, reply }).await.unwrap();
    assert!(second.await.unwrap().is_err());
    node.peers.send(stranger.id, TrafficClass::Calls, Tag(1), b"x").unwrap();
    assert_eq!(node.peers.counters().connections, 1);
}
