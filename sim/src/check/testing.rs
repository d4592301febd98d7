//! Histories written by hand, clean and broken, for the tests of the checkers.

use std::time::Duration;

use gritmesh_runtime::{FailureCode, Instant};

use super::Found;
use crate::history::{Action, Call, End, History, Left, Operation, Remains};
use crate::world::NodeIndex;

/// A history that is being written.
pub(super) struct Story {
    pub(super) history: History,
}

/// An instant in the story.
pub(super) fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

impl Story {
    pub(super) fn new() -> Self {
        Self { history: History::new(5) }
    }

    /// An operation that nobody asked for yet. Gives its number.
    pub(super) fn operation(&mut self, actor: &str, action: Action, keyed: bool) -> u64 {
        self.history.operations.push(Operation { actor: actor.to_owned(), shard: 0, action, keyed });
        self.history.operations.len() as u64 - 1
    }

    /// A call through n0.
    pub(super) fn call(&mut self, operation: u64, begin: u64, end: u64, outcome: Result<u64, FailureCode>) {
        self.call_through(0, operation, begin, end, outcome);
    }

    pub(super) fn call_through(
        &mut self,
        through: u16,
        operation: u64,
        begin: u64,
        end: u64,
        outcome: Result<u64, FailureCode>,
    ) {
        let ended = End {
            at: at(end),
            after: Duration::from_millis(end - begin),
            stopped: Duration::ZERO,
            outcome: outcome.map(|_| operation),
            value: outcome.unwrap_or(0),
        };
        let actor = self.history.operations[operation as usize].actor.clone();
        self.history.calls.push(Call {
            at: at(begin),
            through: NodeIndex(through),
            actor,
            operation: Some(operation),
            timeout: Duration::from_secs(4),
            one_way: false,
            abandoned: false,
            stopped_before: Duration::ZERO,
            ends: vec![ended],
        });
    }

    /// An operation that was asked for and answered.
    pub(super) fn done(&mut self, actor: &str, action: Action, begin: u64, end: u64, value: u64) -> u64 {
        let number = self.operation(actor, action, false);
        self.call(number, begin, end, Ok(value));
        number
    }

    /// An operation that ended as a failure.
    pub(super) fn failed(
        &mut self,
        actor: &str,
        action: Action,
        begin: u64,
        end: u64,
        code: FailureCode,
    ) -> u64 {
        let number = self.operation(actor, action, false);
        self.call(number, begin, end, Err(code));
        number
    }

    /// What an actor says of itself in the end.
    pub(super) fn left(&mut self, actor: &str) -> &mut Left {
        let remains = self.history.remains.get_or_insert_with(Remains::default);
        remains.actors.entry(actor.to_owned()).or_default()
    }

    /// Has an actor say that it ran something so often.
    pub(super) fn ran(&mut self, actor: &str, operation: u64, times: u32) {
        self.left(actor).ran.insert(operation, times);
    }

    /// What a checker finds.
    pub(super) fn found(&self, check: fn(&History, Found<'_>)) -> Vec<String> {
        let mut details = Vec::new();
        check(&self.history, &mut |_, _, detail| details.push(detail));
        details
    }

    /// Asserts that a checker finds nothing.
    pub(super) fn is_clean(&self, check: fn(&History, Found<'_>)) {
        assert_eq!(self.found(check), Vec::<String>::new());
    }

    /// Asserts that a checker finds one thing, and says so in these words.
    pub(super) fn is_broken(&self, check: fn(&History, Found<'_>), words: &str) {
        let found = self.found(check);
        assert!(found.iter().any(|detail| detail.contains(words)), "not found: {words}, but {found:?}");
    }
}
