//! Where the outcome of a message goes, and its two forms: typed, and bytes.

use std::sync::Arc;

use futures::channel::oneshot;
use gritmesh_runtime::{Failure, FailureCode};

use crate::actor::Message;
use crate::call_error::CallError;
use crate::codec::{self, CodecError};
use crate::durable::Gate;
use crate::host::Host;
use crate::submission::WireReply;
use crate::turn::{Outcome, contained};

/// Where the outcome of a message goes.
pub(crate) trait Sink<M: Message>: Send + 'static {
    /// The handler ran here.
    fn finish(self, outcome: Outcome<M>);
    /// The handler ran elsewhere, or nowhere.
    fn relay(self, result: Result<Vec<u8>, Failure>);
    /// The handler ran here, but that must not be seen yet. What takes time is done now; `encoded` is the outcome as
    /// bytes, if somebody needed it so already.
    fn hold(self, outcome: Outcome<M>, encoded: Option<Result<Vec<u8>, Failure>>) -> Gate;
}

/// To a caller in this process who knows the types.
pub(crate) struct TypedSink<M: Message>(pub(crate) Option<oneshot::Sender<Outcome<M>>>);

impl<M: Message> Sink<M> for TypedSink<M> {
    fn finish(self, outcome: Outcome<M>) {
        if let Some(caller) = self.0 {
            // A caller who went away does not want to know.
            let _ = caller.send(outcome);
        }
    }

    fn relay(self, result: Result<Vec<u8>, Failure>) {
        self.finish(decode_outcome::<M>(result));
    }

    fn hold(self, outcome: Outcome<M>, _: Option<Result<Vec<u8>, Failure>>) -> Gate {
        Box::new(move |open| match open {
            Ok(()) => self.finish(outcome),
            Err(failure) => self.finish(Err(failure.into())),
        })
    }
}

/// To a caller who sent bytes.
pub(crate) struct WireSink {
    host: Arc<dyn Host>,
    reply: WireReply,
}

impl WireSink {
    pub(crate) fn new(host: Arc<dyn Host>, reply: WireReply) -> Self {
        Self { host, reply }
    }
}

impl<M: Message> Sink<M> for WireSink {
    fn finish(self, outcome: Outcome<M>) {
        if let WireReply::None = self.reply {
            return;
        }
        self.host.answer(self.reply, encode_outcome::<M>(&outcome));
    }

    fn relay(self, result: Result<Vec<u8>, Failure>) {
        self.host.answer(self.reply, result);
    }

    fn hold(self, outcome: Outcome<M>, encoded: Option<Result<Vec<u8>, Failure>>) -> Gate {
        if let WireReply::None = self.reply {
            return Box::new(|_| ());
        }
        let result = encoded.unwrap_or_else(|| encode_outcome::<M>(&outcome));
        Box::new(move |open| self.host.answer(self.reply, open.and(result)))
    }
}

pub(crate) fn encode_outcome<M: Message>(outcome: &Outcome<M>) -> Result<Vec<u8>, Failure> {
    match outcome {
        Ok(reply) => fitting(|| codec::encode(reply)),
        Err(CallError::Failed(error)) => {
            let (data, detail) = fitting(|| Ok((codec::encode(error)?, error.to_string())))?;
            Err(Failure { data, ..Failure::new(FailureCode::ActorError, detail) })
        }
        Err(error) => Err(error.to_failure()),
    }
}

fn decode_outcome<M: Message>(result: Result<Vec<u8>, Failure>) -> Outcome<M> {
    match result {
        Ok(bytes) => fitting(|| codec::decode(&bytes)).map_err(CallError::from),
        Err(failure) if failure.code == FailureCode::ActorError => {
            Err(fitting(|| codec::decode(&failure.data)).map_or_else(CallError::from, CallError::Failed))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Runs serde code of the application, which may refuse and may panic.
fn fitting<T>(code: impl FnOnce() -> Result<T, CodecError>) -> Result<T, Failure> {
    let result = contained(|| code().map_err(|error| error.to_string()));
    result.and_then(|value| value).map_err(|reason| {
        Failure::new(FailureCode::BadAnswer, format!("the answer does not fit its type: {reason}"))
    })
}
