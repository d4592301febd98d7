//! The time of a shard, by which answers under idempotency keys get old.
//!
//! **Problem.** An answer is kept for a day, say: whoever repeats a call within it gets the answer, and the call runs once.
//! If the leader's wall clock decided what a day is, a clock that is wrong by two days, on one node and for a minute, would
//! forget every answer, and calls would run twice. Nobody can tell a clock that is wrong from a pause of the cluster.
//!
//! **Design.** A shard has a time of its own, in milliseconds since 1970, that never goes faster than time itself:
//!
//! * **The log carries it.** Whoever leads gives every answer the shard's time. Who follows takes the time of each answer
//!   that it applies as the shard's time of that moment, and counts on from there by its monotonic clock. So all go by the
//!   leader's time, and who leads next goes on with it.
//! * **It goes on by the monotonic clock, capped by the wall clock.** Where the wall is behind, the shard's time stands still
//!   and never goes back: answers are kept longer. Where the wall is ahead, by however much, that changes nothing.
//! * **A restart begins where the time was last noted.** Each node notes it on its disk now and then. What passed between
//!   that note and the restart is not counted, nor is a pause of days: answers get old only while somebody can be asked
//!   for them.
//! * **Whoever keeps an answer has a note.** The first answer of the log is written in one batch with one, and so is a
//!   state that was pulled from the leader: it goes by the newest of its answers. So a shard of which nothing is noted has
//!   no answers, and may begin with the wall clock, right or wrong.
//! * **A note that cannot be read** leaves the time unknown until the log carries it. Nothing is forgotten before.
//! * **The wall clock of all nodes jumps while all are down**: nothing is forgotten early, as after any restart. Reminders
//!   go by the node's own clock ([`steady`](crate::steady)), which believes the wall when it starts: what was due in a
//!   pause rings late, right after it.
//!
//! Why a follower takes over a time that is *behind* its own: an answer is forgotten when the time has gone on by a day since
//! the one that it was given. A leader whose time stood still gives its answers that time, so who comes after it must not
//! count what it did not.
//!
//! **Deliberately absent.** A clock of all shards, and an entry of the log for the time alone: where no answers are given,
//! none get old.

use std::time::Duration;

use bytes::Bytes;
use gritmesh_runtime::{Change, Instant, ShardId, Table, UnixTime};
use gritmesh_shard::{AnswerRow, Command, StepCommand};

use super::Engine;

/// Answers may carry a time that differs by so much: their rows need not be copied for it.
const NEAR_MS: u64 = 1_000;

/// Notes that are made while answers are kept: a restart makes each be kept longer by at most this part.
const NOTES: u32 = 24;

/// Before the number of a shard: where its time is noted.
const KEY: &[u8] = b"time/";

/// What is known of the time of one shard.
#[derive(Debug, Default)]
pub(super) struct ShardTime {
    /// What it was, and when. `None` before anybody has asked.
    known: Option<(Instant, u64)>,
    /// What is noted on the disk.
    noted_ms: u64,
}

impl ShardTime {
    /// Goes on to `now`, when the wall shows `wall_ms`.
    fn go_on(&mut self, now: Instant, wall_ms: u64) -> Option<u64> {
        let (since, last) = self.known?;
        let passed = u64::try_from((now - since).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            // What is less than a millisecond counts later.
            let since = since + Duration::from_millis(passed);
            self.known = Some((since, last.max(last.saturating_add(passed).min(wall_ms))));
        }
        self.known.map(|(_, time)| time)
    }

    /// The log says so, by a step of another leader or an own one. Returns what has to be written together with it.
    #[must_use]
    pub(super) fn carried(
        &mut self,
        now: Instant,
        shard: ShardId,
        step: &StepCommand,
        own: bool,
    ) -> Option<Change> {
        let time = AnswerRow::time_of(&step.answer.as_ref()?.1)?;
        if !own || self.known.is_none() {
            self.known = Some((now, time));
        }
        (self.noted_ms == 0).then(|| self.note(shard, time))
    }

    /// The shard's state was replaced by one of the leader, whose newest answer was given then. Returns what has to be
    /// written together with it.
    #[must_use]
    pub(super) fn replaced(
        &mut self,
        now: Instant,
        shard: ShardId,
        newest_answer_ms: Option<u64>,
    ) -> Option<Change> {
        if let Some(time) = newest_answer_ms {
            self.known = Some((now, time));
        }
        let (_, time) = self.known?;
        Some(self.note(shard, time))
    }

    fn note(&mut self, shard: ShardId, time: u64) -> Change {
        self.noted_ms = time;
        Change::put(Table::Node, key(shard), time.to_le_bytes())
    }
}

impl Engine {
    /// Gives the answer that a step records the time of its shard.
    pub(super) fn date_answer(&mut self, now: Instant, shard: ShardId, command: &mut Command) {
        let (Command::Step(step), true) = (command, self.groups.get(&shard).is_some_and(|group| group.leads))
        else {
            return;
        };
        let Some((_, row)) = &mut step.answer else { return };
        let Some(given) = AnswerRow::time_of(row) else { return };
        if let Some(time) = self.time_of(now, shard, given)
            && time.abs_diff(given) > NEAR_MS
        {
            *row = Bytes::from(AnswerRow::dated(row, time));
        }
    }

    /// The time of a shard that is led here, when the wall shows `wall_ms`.
    pub(super) fn time_of(&mut self, now: Instant, shard: ShardId, wall_ms: u64) -> Option<u64> {
        let group = self.groups.get_mut(&shard)?;
        if group.time.known.is_none() {
            let noted = self.disk.get(Table::Node, &key(shard));
            let noted = noted.inspect_err(|error| {
                tracing::warn!(%shard, %error, "the time of a shard cannot be read: no answers are forgotten");
            });
            let noted = noted.ok()?;
            let noted = noted.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
            group.time.known = Some((now, noted.unwrap_or(wall_ms)));
            group.time.noted_ms = noted.unwrap_or(0);
        }
        group.time.go_on(now, wall_ms)
    }

    /// All times go on, and are noted now and then. To be called each second.
    pub(super) fn times_go_on(&mut self, now: Instant, wall: UnixTime) {
        let pause_ms = pause_ms(self.answers_kept);
        for (shard, group) in &mut self.groups {
            let Some(time) = group.time.go_on(now, wall.0) else { continue };
            if time.abs_diff(group.time.noted_ms) >= pause_ms {
                self.writer.lazily(vec![group.time.note(*shard, time)]);
            }
        }
    }
}

fn pause_ms(answers_kept: Duration) -> u64 {
    u64::try_from((answers_kept / NOTES).as_millis()).unwrap_or(u64::MAX)
}

/// Where the time of a shard is noted.
fn key(shard: ShardId) -> Vec<u8> {
    [KEY, &shard.0.to_be_bytes()].concat()
}

/// What deletes the note.
pub(super) fn key_range(shard: ShardId) -> Change {
    let from = key(shard);
    let to = [&*from, &[0]].concat();
    Change::DeleteRange { table: Table::Node, from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn time(ms: u64) -> ShardTime {
        ShardTime { known: Some((at(0), ms)), noted_ms: 0 }
    }

    #[test]
    fn it_goes_on_with_the_monotonic_clock_wherever_the_wall_is_ahead() {
        let mut time = time(5_000);
        assert_eq!(time.go_on(at(10), 5_010), Some(5_010));
        assert_eq!(time.go_on(at(20), 900_000_000), Some(5_020));
        assert_eq!(time.go_on(at(30), u64::MAX), Some(5_030));
        assert_eq!(ShardTime::default().go_on(at(30), 7), None);
    }

    #[test]
    fn it_stands_still_where_the_wall_is_behind_and_never_catches_up() {
        let mut time = time(5_000);
        assert_eq!(time.go_on(at(100), 4_000), Some(5_000));
        assert_eq!(time.go_on(at(200), 0), Some(5_000));
        // What was given meanwhile has the age that it should have.
        assert_eq!(time.go_on(at(300), 900_000), Some(5_100));
    }

    #[test]
    fn looking_often_loses_no_part_of_a_millisecond() {
        let mut time = time(5_000);
        for nanos in (0..=70_000_000).step_by(700_000) {
            time.go_on(Instant::from_nanos(nanos), u64::MAX);
        }
        assert_eq!(time.go_on(at(70), u64::MAX), Some(5_070));
    }
}
