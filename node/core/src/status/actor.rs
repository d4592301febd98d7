//! What is shown of one durable actor, made of what its shard says.

use gritmesh_runtime::ActorAddress;
use gritmesh_shard::{HistoryProof, LetterRow, LoggedStep, PendingMessage, Shown};
use gritmesh_store::ObjectId;

use super::{HistoryStatus, LetterStatus, MessageStatus, StateStatus, StepStatus};

impl StepStatus {
    pub(crate) fn of(step: &LoggedStep) -> Self {
        Self {
            id: step.id.to_string(),
            previous: step.previous.map(|id| id.to_string()),
            number: step.number,
            time_unix_ms: step.time_unix_ms,
            method: step.method.clone(),
            epoch: step.epoch,
            bytes: step.bytes,
            objects: step.objects,
            sent: step.sent,
            from: step.from.as_ref().map(|(from, _)| from.to_string()),
            sequence: step.from.as_ref().map(|(_, sequence)| *sequence),
        }
    }
}

impl StateStatus {
    pub(crate) fn of(shown: &Shown) -> Self {
        let (senders, receivers) = shown.peers;
        // State that has no JSON form, as a map with numbers for keys, is shown as the reason.
        let json = |bytes: &Vec<u8>| {
            gritmesh_actor::codec::to_json(bytes).unwrap_or_else(|error| error.to_string().into())
        };
        Self {
            id: shown.id.to_string(),
            number: shown.number,
            state: shown.state.as_ref().map_or(serde_json::Value::Null, json),
            collections: shown.collections.iter().cloned().collect(),
            senders,
            receivers,
        }
    }
}

impl HistoryStatus {
    pub(crate) fn of(proof: &HistoryProof) -> Self {
        Self {
            head: proof.head.id.to_string(),
            number: proof.head.number,
            steps: proof.steps,
            oldest: proof.oldest.to_string(),
            bytes: proof.bytes,
            whole: proof.is_whole,
        }
    }
}

impl LetterStatus {
    pub(crate) fn of(sender: &ActorAddress, sequence: u64, row: &LetterRow) -> Self {
        Self {
            sender: sender.to_string(),
            sequence,
            id: row.id.to_string(),
            time_unix_ms: row.time_unix_ms,
            method: row.method.clone(),
            code: row.failure.code.as_str().to_owned(),
            detail: row.failure.detail.clone(),
        }
    }
}

impl MessageStatus {
    pub(crate) fn of(message: &PendingMessage) -> Self {
        Self {
            receiver: message.receiver.to_string(),
            sequence: message.sequence,
            id: ObjectId::from_bytes(message.id).to_string(),
            method: message.method.to_string(),
            arguments: message.arguments.to_vec(),
        }
    }
}
