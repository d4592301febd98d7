//! The life of one connection, from its first stream to the report of its loss.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use gritmesh_runtime::{LossReason, NetworkEvent, NodeId, Tag, TrafficClass};
use libp2p::swarm::{ConnectionId, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};

use crate::admission::{Admission, Admitted, Side, settle};
use crate::control::{ControlError, ControlMessage, ControlStream};
use crate::lanes::{Lane, Lanes, OpenRequest, Opened};
use crate::link::{self, LinkEnd, LinkReport};
use crate::options::{ADMISSION_TIME_MAX, CLOSE_TIME_MAX};
use crate::outbox::Order;
use crate::peer::{Peer, SessionOrder};
use crate::places::{Place, lost};
use crate::reach::{DialOrigin, DialOutcome};
use crate::shared::Shared;
use crate::silence::{Silence, Silent};

/// A connection as libp2p hands it over: encrypted, authenticated, not yet admitted.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// Whose key it is.
    pub(crate) peer: NodeId,
    pub(crate) remote: SocketAddr,
    pub(crate) lanes: Lanes,
    /// Set if we dialled.
    pub(crate) origin: Option<DialOrigin>,
    /// Held by a stranger until it is admitted.
    pub(crate) place: Option<Place>,
}

/// Looks after a connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, mut connection: Connection) {
    let id = connection.id;
    let origin = connection.origin.take();
    let (address, outcome) = origin.map(|origin| (origin.address, origin.outcome)).unzip();
    let is_dialler = outcome.is_some();
    let report = |result| {
        if let Some(outcome) = outcome {
            // Nobody may be waiting any more.
            let _ = outcome.send(result);
        }
    };
    let place = connection.place.take();
    let begun = tokio::select! {
        biased;
        begun = begin(&shared, &mut connection, is_dialler) => Some(begun),
        // What was decided is returned at once, so nothing half done is cut off here.
        () = lost(place) => None,
    };
    match begun {
        Some(Ok((control, admitted))) => {
            report(DialOutcome::Admitted);
            Session::new(&shared, connection.lanes, is_dialler, control, admitted).run().await;
        }
        Some(Err(Admission::Refused { by_us, refusal })) => {
            shared.refused(address, &connection, by_us, refusal);
            report(DialOutcome::Refused);
        }
        Some(Err(Admission::Failed(detail))) => {
            if !is_dialler {
                shared.meter.inbound_rejected.fetch_add(1, Relaxed);
                tracing::debug!(peer = %connection.peer.short(), detail, "a connection was not admitted");
            }
            report(DialOutcome::Failed(detail));
        }
        Some(Err(Admission::Admitted(_) | Admission::Redundant)) => report(DialOutcome::Redundant),
        None => shared.reject_inbound(&connection.remote, &"it gave way to newer ones that await admission"),
    }
    shared.close(id).await;
}

async fn begin(
    shared: &Shared,
    connection: &mut Connection,
    is_dialler: bool,
) -> Result<(ControlStream, Admitted), Admission> {
    let stream = timeout(ADMISSION_TIME_MAX, control_stream(&mut connection.lanes, is_dialler)).await;
    let stream = stream.unwrap_or_else(|_| Err("no control stream was opened".into()));
    let mut control = ControlStream::new(stream.map_err(Admission::Failed)?);
    let side = if is_dialler { Side::Dialler } else { Side::Listener };
    match settle(shared, connection, &mut control, side).await {
        Admission::Admitted(admitted) => Ok((control, admitted)),
        ending => Err(ending),
    }
}

async fn control_stream(lanes: &mut Lanes, is_dialler: bool) -> Opened {
    if is_dialler {
        return open(lanes, Lane::Control).await.unwrap_or_else(|_| Err("the connection broke".into()));
    }
    match lanes.arrivals.recv().await {
        Some((Lane::Control, stream)) => Ok(stream),
        Some(_) => Err("a stream was opened before admission".into()),
        None => Err("the connection broke".into()),
    }
}

fn open(lanes: &Lanes, lane: Lane) -> oneshot::Receiver<Opened> {
    let (reply, opened) = oneshot::channel();
    // The channel has room for every lane; if the connection is gone, the reply is dropped with it.
    let _ = lanes.opens.try_send(OpenRequest { lane, reply });
    opened
}

/// What happens to a session.
enum Happening {
    Order(SessionOrder),
    Control(Result<ControlMessage, ControlError>),
    LinkEnded(Result<LinkReport, JoinError>),
    Arrived(Option<(Lane, Stream)>),
    Tick,
    DrainOver,
}

/// An admitted connection.
struct Session<'a> {
    shared: &'a Arc<Shared>,
    peer: Arc<Peer>,
    control: ControlStream,
    orders: mpsc::Receiver<SessionOrder>,
    lanes: Lanes,
    links: JoinSet<LinkReport>,
    /// Links that wait for the other side to open their stream.
    awaiting: [Option<oneshot::Sender<Opened>>; TrafficClass::ALL.len()],
    /// Counts reads of all streams: signs of life.
    activity: Arc<AtomicU64>,
    silence: Silence,
    /// Whoever waits for a sign of life, with the ping that has to be answered.
    checks: Vec<(u64, oneshot::Sender<()>)>,
    pings: u64,
    ticks: Interval,
    began: Instant,
    version: u16,
    /// The peer announced that it closes.
    said_goodbye: bool,
    /// Set once this node closes in good order: how long the peer may take to read what is left and to close.
    draining_until: Option<tokio::time::Instant>,
    unsent: Vec<Tag>,
    pending_verdict: Option<ControlMessage>,
}

impl<'a> Session<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        lanes: Lanes,
        is_dialler: bool,
        control: ControlStream,
        admitted: Admitted,
    ) -> Self {
        let Admitted { peer, orders, verdict } = admitted;
        let period = shared.options.silence_max / Silence::TICKS;
        let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut session = Self {
            shared,
            peer,
            control,
            orders,
            lanes,
            links: JoinSet::new(),
            awaiting: Default::default(),
            activity: Arc::default(),
            silence: Silence::new(shared.options.silence_max),
            checks: Vec::new(),
            pings: 0,
            ticks,
            began: Instant::now(),
            version: shared.hello.lock().info.wire_version,
            said_goodbye: false,
            draining_until: None,
            unsent: Vec::new(),
            pending_verdict: verdict.map(ControlMessage::Verdict),
        };
        session.start_links(is_dialler);
        session
    }

    /// Starts a link per class. Each waits for its stream by itself.
    fn start_links(&mut self, is_dialler: bool) {
        for class in TrafficClass::ALL {
            let stream = if is_dialler {
                open(&self.lanes, Lane::Class(class))
            } else {
                let (arrived, stream) = oneshot::channel();
                self.awaiting[class as usize] = Some(arrived);
                stream
            };
            let (shared, peer) = (self.shared.clone(), self.peer.clone());
            let activity = self.activity.clone();
            self.links.spawn(async move {
                match timeout(ADMISSION_TIME_MAX, stream).await {
                    Ok(Ok(Ok(stream))) => link::run(shared, peer, class, activity, stream).await,
                    _ => LinkReport { end: LinkEnd::Broken, unsent: Vec::new() },
                }
            });
        }
    }

    async fn run(mut self) {
        let verdict = self.pending_verdict.take();
        let mut reason = match verdict {
            Some(verdict) => self.send(verdict).await,
            None => None,
        };
        while reason.is_none() {
            let happening = self.next().await;
            reason = self.handle(happening).await;
        }
        self.finish(reason.unwrap_or(LossReason::Local)).await;
    }

    async fn next(&mut self) -> Happening {
        let draining = self.draining_until.is_some();
        let drain_over = sleep_until(self.draining_until.unwrap_or_else(tokio::time::Instant::now));
        // Every branch may be cancelled without loss.
        tokio::select! {
            biased;
            Some(order) = self.orders.recv() => Happening::Order(order),
            message = self.control.receive() => Happening::Control(message),
            Some(report) = self.links.join_next() => Happening::LinkEnded(report),
            arrival = self.lanes.arrivals.recv() => Happening::Arrived(arrival),
            _ = self.ticks.tick() => Happening::Tick,
            () = drain_over, if draining => Happening::DrainOver,
        }
    }

    /// Why the connection is over, if it is.
    async fn handle(&mut self, happening: Happening) -> Option<LossReason> {
        match happening {
            Happening::Order(order) => self.obey(order).await,
            Happening::Control(Ok(message)) => self.answer(message).await,
            Happening::Control(Err(ControlError::Refused(refusal))) => {
                self.shared.malformed(self.peer.id, format!("control stream: {refusal}"));
                Some(LossReason::Local)
            }
            Happening::Control(Err(_)) | Happening::Arrived(None) => Some(self.broken()),
            Happening::LinkEnded(report) => {
                let end = report.as_ref().map(|report| report.end).unwrap_or(LinkEnd::Malformed);
                self.note_link(report);
                match end {
                    LinkEnd::Malformed | LinkEnd::Ordered => Some(LossReason::Local),
                    // In good order, the peer reads every link to its end before it closes.
                    LinkEnd::Broken if self.draining_until.is_some() && !self.links.is_empty() => None,
                    LinkEnd::Broken => Some(self.broken()),
                }
            }
            Happening::DrainOver => Some(LossReason::Local),
            Happening::Arrived(Some((lane, stream))) => {
                self.hand_over(lane, stream);
                None
            }
            Happening::Tick => match self.silence.tick(self.activity.load(Relaxed), Instant::now()) {
                Silent::No => None,
                Silent::Ask => self.ping().await,
                Silent::TooLong => Some(LossReason::Unreachable),
            },
        }
    }

    /// Gives a stream to the link that waits for it.
    fn hand_over(&mut self, lane: Lane, stream: Stream) {
        if let Lane::Class(class) = lane
            && let Some(link) = self.awaiting[class as usize].take()
        {
            let _ = link.send(Ok(stream));
        }
    }

    async fn obey(&mut self, order: SessionOrder) -> Option<LossReason> {
        match order {
            SessionOrder::Check(reply) => {
                self.checks.retain(|(_, waiting)| !waiting.is_closed());
                self.checks.push((self.pings + 1, reply));
                self.ping().await
            }
            SessionOrder::Replace => Some(LossReason::Unreachable),
            SessionOrder::Forget => {
                let _ = self.send(ControlMessage::Goodbye).await;
                Some(LossReason::Local)
            }
            SessionOrder::ShutDown => {
                let _ = self.send(ControlMessage::Goodbye).await;
                self.order_links(Order::Drain);
                self.draining_until = Some(tokio::time::Instant::now() + CLOSE_TIME_MAX);
                None
            }
        }
    }

    async fn answer(&mut self, message: ControlMessage) -> Option<LossReason> {
        self.activity.fetch_add(1, Relaxed);
        match message {
            ControlMessage::Ping(number) => self.send(ControlMessage::Pong(number)).await,
            ControlMessage::Pong(number) => {
                for (_, check) in self.checks.extract_if(.., |(ping, _)| *ping <= number) {
                    let _ = check.send(());
                }
                None
            }
            ControlMessage::Goodbye => {
                self.said_goodbye = true;
                None
            }
            ControlMessage::Greeting(_) | ControlMessage::Proof(_) | ControlMessage::Verdict(_) => {
                self.shared.malformed(self.peer.id, "control stream: a message out of turn".into());
                Some(LossReason::Local)
            }
        }
    }

    const fn broken(&self) -> LossReason {
        match (self.draining_until, self.said_goodbye) {
            (Some(_), _) => LossReason::Local,
            (None, true) => LossReason::Closed,
            (None, false) => LossReason::Reset,
        }
    }

    async fn ping(&mut self) -> Option<LossReason> {
        self.pings += 1;
        self.send(ControlMessage::Ping(self.pings)).await
    }

    /// Sends a control message. They are tiny, so a stream that does not take one is dead.
    async fn send(&mut self, message: ControlMessage) -> Option<LossReason> {
        match timeout(CLOSE_TIME_MAX, self.control.send(self.version, &message)).await {
            Ok(Ok(())) => None,
            // What has arrived is still to be read; the streams' ends will be noticed.
            Ok(Err(_)) => None,
            Err(_) => Some(LossReason::Unreachable),
        }
    }

    fn note_link(&mut self, report: Result<LinkReport, JoinError>) {
        match report {
            Ok(report) => self.unsent.extend(report.unsent),
            Err(error) => tracing::error!(peer = %self.peer.id.short(), %error, "handling an event panicked"),
        }
    }

    fn order_links(&self, order: Order) {
        self.peer.outboxes().iter().for_each(|outbox| outbox.set_order(order));
    }

    /// Waits for the links to end by themselves, up to a limit.
    async fn await_links(&mut self) {
        let deadline = tokio::time::Instant::now() + CLOSE_TIME_MAX;
        while let Ok(Some(report)) = timeout_at(deadline, self.links.join_next()).await {
            self.note_link(report);
        }
    }

    /// Ends the links, reports the loss and makes way for another connection.
    async fn finish(mut self, mut reason: LossReason) {
        while let Ok((lane, stream)) = self.lanes.arrivals.try_recv() {
            self.hand_over(lane, stream);
        }
        self.awaiting = Default::default();
        if matches!(reason, LossReason::Reset | LossReason::Closed) {
            // Nothing more comes, but what has come is read to its end. The goodbye may be among it.
            self.await_links().await;
            while let Ok(Ok(message)) = timeout(Duration::ZERO, self.control.receive()).await {
                if message == ControlMessage::Goodbye {
                    reason = LossReason::Closed;
                }
            }
        }
        self.order_links(Order::Stop);
        self.await_links().await;
        // Only a link whose handler does not return is left. What it holds may have been sent.
        self.links.abort_all();
        if self.began.elapsed() < CLOSE_TIME_MAX {
            self.peer.failed(self.shared.jitter());
        } else {
            self.peer.succeeded();
        }
        let mut slot = self.peer.slot.lock().await;
        slot.standing = None;
        self.peer.drain(&mut self.unsent);
        self.peer.connected.store(false, SeqCst);
        self.shared.meter.connections.fetch_sub(1, Relaxed);
        let (peer, unsent) = (self.peer.id, std::mem::take(&mut self.unsent));
        tracing::info!(peer = %peer.short(), reason = reason.as_str(), unsent = unsent.len(), "connection lost");
        self.shared.emit(NetworkEvent::Lost { peer, reason, unsent });
        drop(slot);
        if self.peer.known.load(SeqCst) {
            self.shared.reach_if_queued(&self.peer);
        }
    }
}
