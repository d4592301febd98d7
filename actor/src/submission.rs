//! Calls on their way: what the node routes without knowing what is in it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures::channel::oneshot;
use gritmesh_runtime::{ActorAddress, Failure, Incarnation, Instant, NodeId, Token};

use crate::any_activation::AnyActivation;
use crate::chain::Chain;
use crate::durable::Origin;
use crate::turn::WireTurn;

/// Longest chain of calls that run inside each other on one stack. A longer one goes on in a task.
pub(crate) const INLINE_LINKS_MAX: usize = 8;

/// The part of a call that routing reads.
#[derive(Clone, Debug)]
pub struct Header {
    /// Whom it is for.
    pub address: ActorAddress,
    /// Where that falls on the ring; computed once.
    pub token: Token,
    /// Which method.
    pub method: Cow<'static, str>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// Who waits for it.
    pub chain: Chain,
    /// Whether nobody waits for an answer.
    pub one_way: bool,
    /// Why it is made.
    pub origin: Origin,
}

impl Header {
    /// Whether the call may run on the stack of its caller.
    pub(crate) fn runs_inline(&self) -> bool {
        !self.one_way && self.chain.len() < INLINE_LINKS_MAX
    }
}

/// A call that is not in its actor's mailbox yet.
pub struct Submission {
    /// What routing reads.
    pub header: Header,
    /// The message, and where its answer goes.
    pub payload: Box<dyn Payload>,
}

impl Submission {
    /// Ends the call without running it.
    pub fn refuse(self, failure: Failure) {
        self.payload.answer(Err(failure));
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A message with the way back to its caller, its types hidden. It wants to be delivered or answered; if it is
/// dropped, as when the node stops, a caller in this process is told that the outcome is unknown.
pub trait Payload: Send {
    /// The arguments as bytes, for another node.
    ///
    /// # Errors
    /// If a value cannot be represented.
    fn encode(&self) -> Result<Vec<u8>, Failure>;

    /// How many bytes of arguments came from outside; 0 for values of this process.
    fn bytes(&self) -> usize {
        0
    }

    /// Puts the message into the mailbox of its actor, which is in memory here.
    fn deliver(self: Box<Self>, header: Header, activation: Arc<dyn AnyActivation>);

    /// Tells the caller how the call ended.
    fn answer(self: Box<Self>, result: Result<Vec<u8>, Failure>);
}

/// Where the answer to a call that came as bytes goes.
pub enum WireReply {
    /// Nobody waits.
    None,
    /// To another node, which knows the call by this number.
    Peer {
        /// The node.
        peer: NodeId,
        /// Its number for the call.
        slot: u64,
        /// Which start of the node counts so: a restarted one counts anew.
        incarnation: Incarnation,
    },
    /// To somebody in this process.
    Local(oneshot::Sender<Result<Vec<u8>, Failure>>),
    /// To whoever delivers messages and reminders. For those, `Ok` says that the step that read it is committed,
    /// whatever the handler answered, and a failure that it was not read, or not surely: it has to come again.
    Told(Box<dyn FnOnce(Result<Vec<u8>, Failure>) + Send>),
}

impl fmt::Debug for WireReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Peer { peer, slot, incarnation } => write!(f, "Peer({peer}, {slot}, {incarnation:?})"),
            Self::Local(_) => f.write_str("Local"),
            Self::Told(_) => f.write_str("Told"),
        }
    }
}

/// A call whose arguments are bytes: from a peer, from HTTP, from the command line.
pub struct DynamicPayload {
    arguments: Vec<u8>,
    reply: WireReply,
    host: Arc<dyn crate::Host>,
}

impl DynamicPayload {
    /// A payload of MessagePack arguments.
    pub fn new(arguments: Vec<u8>, reply: WireReply, host: Arc<dyn crate::Host>) -> Self {
        Self { arguments, reply, host }
    }
}

impl Payload for DynamicPayload {
    fn encode(&self) -> Result<Vec<u8>, Failure> {
        Ok(self.arguments.clone())
    }

    fn bytes(&self) -> usize {
        self.arguments.len()
    }

    fn deliver(self: Box<Self>, header: Header, activation: Arc<dyn AnyActivation>) {
        activation.enter_wire(WireTurn {
            method: &header.method,
            arguments: &self.arguments,
            deadline: header.deadline,
            chain: header.chain,
            one_way: header.one_way,
            origin: header.origin,
            reply: self.reply,
        });
    }

    fn answer(self: Box<Self>, result: Result<Vec<u8>, Failure>) {
        self.host.answer(self.reply, result);
    }
}

impl fmt::Debug for DynamicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicPayload").field("bytes", &self.arguments.len()).finish_non_exhaustive()
    }
}
