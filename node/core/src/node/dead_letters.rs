//! Dead letters: messages for whose outcome nobody waits, and which came to nothing.
//!
//! **Problem.** Who sends a message goes on. If it cannot be read, or reaches nobody, or its handler refuses, there is nobody
//! to be told, and somebody has to find out weeks later where it is.
//!
//! **Design.** The node that finds out counts it, says so in its log, and keeps it in memory: the newest thousand, as
//! a ring. Messages between durable actors are no part of this: they come again, or become letters of their receiver.

use std::collections::VecDeque;
use std::time::Duration;

use gritmesh_actor::{DeadLetter, Header, Submission};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Instant, SendError};

use super::Node;
use crate::metrics::CodeLabel;
use crate::status::DeadLetterStatus;
use crate::wire::{ArchivedEnvelope, Envelope};

/// How many are kept, and how many bytes of them.
const KEPT_MAX: usize = 1000;
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Arguments that are longer are not kept with their message.
const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;

/// How often the log speaks of them. Where there is one there may be a million.
const SAID_PERIOD: Duration = Duration::from_secs(10);

/// Those that are kept, oldest first.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    kept: VecDeque<DeadLetterStatus>,
    bytes: usize,
    /// When the log spoke of one, and how many it has passed over since.
    said: Option<Instant>,
    unsaid: u64,
}

impl DeadLetters {
    fn keep(&mut self, letter: DeadLetterStatus) {
        self.bytes += bytes_of(&letter);
        self.kept.push_back(letter);
        while self.kept.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// How many the log has passed over, if it is to speak now.
    fn say(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now < said + SAID_PERIOD) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn bytes_of(letter: &DeadLetterStatus) -> usize {
    let arguments = letter.arguments.as_ref().map_or(0, Vec::len);
    size_of::<DeadLetterStatus>() + letter.actor.len() + letter.method.len() + letter.detail.len() + arguments
}

impl Node {
    /// Ends a call that an engine has had.
    pub(super) fn end(&self, submission: Submission, result: Result<Vec<u8>, Failure>) {
        self.metrics.outcome(result.as_ref().err().map(|failure| failure.code));
        match result {
            Err(failure) => self.refuse(submission, failure),
            Ok(_) => submission.payload.answer(result),
        }
    }

    /// Ends a call without running it.
    pub(super) fn refuse(&self, submission: Submission, failure: Failure) {
        let Header { address, method, one_way, .. } = &submission.header;
        if *one_way {
            let arguments = submission.payload.encode().ok();
            self.bury(DeadLetter { address, method, arguments: arguments.as_deref(), failure: &failure });
        }
        submission.refuse(failure);
    }

    /// A message without a waiting caller could not be handed to the network.
    pub(super) fn refuse_unsent(&self, body: &[u8], error: &SendError) {
        let Ok(ArchivedEnvelope::Call(call)) = Envelope::access(body) else { return };
        let Ok(address) = ActorAddress::from_key(&call.key) else { return };
        let failure = Failure::new(FailureCode::NotDelivered, error.to_string());
        let arguments = Some(&*call.arguments);
        self.bury(DeadLetter { address: &address, method: &call.method, arguments, failure: &failure });
    }

    /// Counts, tells and keeps a message that came to nothing.
    pub(super) fn bury(&self, letter: DeadLetter<'_>) {
        let DeadLetter { address, method, arguments, failure } = letter;
        let code = failure.code.as_str();
        self.metrics.dead_letters.get_or_create(&CodeLabel { code }).inc();
        let clock = &self.environment.clock;
        let status = DeadLetterStatus {
            time_unix_ms: clock.unix_time().0,
            actor: address.to_string(),
            method: method.to_owned(),
            code: code.to_owned(),
            detail: failure.detail.clone(),
            arguments: arguments.filter(|bytes| bytes.len() <= ARGUMENTS_BYTES_MAX).map(<[u8]>::to_vec),
        };
        let mut letters = self.dead_letters.lock();
        letters.keep(status);
        let say = letters.say(clock.now());
        drop(letters);
        if let Some(unsaid) = say {
            tracing::warn!(
                actor = %address, method, code, detail = failure.detail, unsaid,
                "a message came to nothing, and nobody waits for its answer"
            );
        }
    }

    /// Messages that came to nothing on this node, newest first.
    pub fn dead_letters(&self, limit: usize) -> Vec<DeadLetterStatus> {
        self.dead_letters.lock().kept.iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(arguments: usize) -> DeadLetterStatus {
        DeadLetterStatus {
            time_unix_ms: 0,
            actor: "counter/a".into(),
            method: "add".into(),
            code: "bad_arguments".into(),
            detail: String::new(),
            arguments: Some(vec![0; arguments]),
        }
    }

    #[test]
    fn the_newest_are_kept() {
        let mut letters = DeadLetters::default();
        for number in 0..=KEPT_MAX {
            letters.keep(letter(number));
        }
        assert_eq!((letters.kept.len(), letters.kept[0].arguments.as_ref().unwrap().len()), (KEPT_MAX, 1));
        for _ in 0..KEPT_MAX {
            letters.keep(letter(ARGUMENTS_BYTES_MAX));
        }
        let bytes: usize = letters.kept.iter().map(bytes_of).sum();
        assert!(bytes == letters.bytes && bytes <= KEPT_BYTES_MAX, "{bytes} {}", letters.bytes);
    }

    #[test]
    fn the_log_speaks_of_some_and_counts_the_rest() {
        let mut letters = DeadLetters::default();
        let start = Instant::ZERO;
        assert_eq!(letters.say(start), Some(0));
        assert_eq!((letters.say(start), letters.say(start + SAID_PERIOD / 2)), (None, None));
        assert_eq!(letters.say(start + SAID_PERIOD), Some(2));
        assert_eq!(letters.say(start + SAID_PERIOD * 3), Some(0));
    }
}
