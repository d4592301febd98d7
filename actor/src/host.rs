//! What an activation asks of the node that it lives in.

use std::any::{Any, TypeId};
use std::sync::Arc;

use gritmesh_runtime::{ActorAddress, Clock, Failure, FailureCode, Spawn, Token};

use crate::directory::Directory;
use crate::durable::History;
use crate::submission::{Submission, WireReply};

/// A message for whose outcome nobody waits, and which came to nothing.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// Whom it was for.
    pub address: &'a ActorAddress,
    /// Which method.
    pub method: &'a str,
    /// The arguments, unless the handler has had them.
    pub arguments: Option<&'a [u8]>,
    /// What became of it.
    pub failure: &'a Failure,
}

/// The node around actors.
pub trait Host: Send + Sync + 'static {
    /// Time.
    fn clock(&self) -> &dyn Clock;

    /// Execution of handlers that wait.
    fn spawn(&self) -> &dyn Spawn;

    /// The actors that are in memory here.
    fn directory(&self) -> &Directory;

    /// Sends a call wherever its actor is, and brings it into memory if need be.
    fn submit(self: Arc<Self>, submission: Submission);

    /// Answers a call that came as bytes.
    fn answer(&self, reply: WireReply, result: Result<Vec<u8>, Failure>);

    /// 64 random bits.
    fn random(&self) -> u64;

    /// Seconds since the node started, by a coarse clock that costs nothing to read.
    fn coarse_seconds(&self) -> u32;

    /// How long a call may take whose caller set no deadline.
    fn default_deadline(&self) -> std::time::Duration;

    /// Something that the application provides to its actors, by its type.
    fn resource(&self, _type: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// An actor left memory.
    fn deactivated(&self, address: &ActorAddress);

    /// A handler panicked.
    fn panicked(&self, address: &ActorAddress, message: &str);

    /// A message came to nothing, and nobody waits for its outcome.
    fn dead_letter(&self, _letter: DeadLetter<'_>) {}

    /// Opens a durable actor that this node leads. Called while its activation loads.
    ///
    /// # Errors
    /// If this node does not lead it, or cannot read it, or keeps nothing at all.
    fn open(self: Arc<Self>, address: &ActorAddress, _token: Token) -> Result<Box<dyn History>, Failure> {
        let detail = format!("{address} is durable, and this node keeps nothing");
        Err(Failure::new(FailureCode::ActivationFailed, detail))
    }
}
