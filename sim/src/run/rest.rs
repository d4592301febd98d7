//! The end of a run: every actor is asked through every node, then all comes to rest, and what is left is written down.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::FailureCode;
use gritmesh_shard::BackoffLimits;

use super::disks;
use super::load::{self, Kind, Place};
use super::phases::Phases;
use crate::history::{Action, AlarmLeft, Left, Remains, VaultLeft};
use crate::workload::{Alarm, AlarmStatement, Entry, Fickle, Register, Statement, Vault};
use crate::world::NodeIndex;

/// How long each call may take when nothing is wrong.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long messages have to arrive and replicas to catch up: the longest wait of a message whose receiver kept failing
/// while faults went on, with its spread, and some time to arrive.
const REST_LIMIT: Duration = BackoffLimits::PRODUCTION.max.saturating_add(Duration::from_secs(15));

/// How many times an actor is asked where bits have flipped, once for each object that may have to be repaired first: a
/// step, its state, two mailboxes, and one for the answer.
const REPAIRS_MAX: u32 = 5;

/// How often the disks are compared meanwhile.
const REST_POLL: Duration = Duration::from_millis(250);

impl Phases<'_> {
    /// Every durable actor answers through every node.
    pub(super) fn durable_actors_answer(&mut self) {
        for through in 0..self.sim.len() {
            self.all_answer(through, load::members().map(|member| (member, None)).collect());
        }
    }

    /// Asks actors at once, and waits until all have answered. Where bits have flipped some may have to be asked again:
    /// an object that nobody has read since is found out, and repaired, by the call that fails.
    fn all_answer(&mut self, through: u16, mut asked: Vec<((Kind, String), Option<Action>)>) {
        let tries = if self.history.lock().bits_flip { REPAIRS_MAX } else { 1 };
        for left in (0..tries).rev() {
            let numbers = self.at(through, |place| {
                let ask = |((kind, id), action): &((Kind, String), Option<Action>)| {
                    load::answer_now(place, (*kind, id), action.clone(), LIVENESS_TIMEOUT)
                };
                asked.iter().map(ask).collect::<Vec<u64>>()
            });
            let Some(calls) = numbers else { return };
            let history = self.history.clone();
            let ended = |number: &u64| !history.lock().calls[*number as usize].ends.is_empty();
            self.sim.run_until(2 * LIVENESS_TIMEOUT, |_| calls.iter().all(ended));
            let mut again = Vec::new();
            for (number, asked) in calls.into_iter().zip(asked) {
                let mut history = history.lock();
                let call = &history.calls[number as usize];
                match call.ends.first().map(|end| end.outcome) {
                    Some(Ok(_)) => {}
                    Some(Err(FailureCode::ActivationFailed)) if left > 0 => again.push(asked),
                    outcome => {
                        let wrong = format!("{} through n{through}: {outcome:?}", call.actor);
                        history.not_served.push((self.sim.now(), wrong));
                    }
                }
            }
            if again.is_empty() {
                return;
            }
            asked = again;
            self.sim.advance(REST_POLL);
        }
    }

    /// Silences what goes on by itself, waits until nothing is under way, and writes down what is left.
    pub(super) fn come_to_rest(&mut self, calm_for: Duration) {
        for (_, id) in load::members().filter(|(kind, _)| *kind == Kind::Alarm) {
            let Some(alarm) = self.sim.node(0).map(|node| node.actor::<Alarm>(&id)) else { return };
            let rest = async move {
                alarm.rest().deadline(LIVENESS_TIMEOUT).await.map_err(|error| error.to_string())
            };
            self.must(&format!("{id} does not rest"), rest);
        }
        let until = self.sim.now() + REST_LIMIT;
        let mut replicas = disks::rows(self.sim);
        while let Some(unrest) = disks::unrest(&replicas) {
            if self.sim.now() >= until {
                let wrong = format!("{REST_LIMIT:?} after the last call, {unrest}");
                self.history.lock().not_served.push((self.sim.now(), wrong));
                break;
            }
            self.sim.advance(REST_POLL);
            replicas = disks::rows(self.sim);
        }
        for given_up in disks::given_up(&replicas) {
            self.history.lock().not_served.push((self.sim.now(), given_up));
        }
        let reads = load::members().filter(|(kind, _)| *kind == Kind::Register);
        self.all_answer(0, reads.map(|member| (member, Some(Action::Read))).collect());
        let actors = self.statements();
        let mut remains = Remains { at: self.sim.now(), calm_for, actors, replicas, ..Remains::default() };
        let bits_flip = self.history.lock().bits_flip;
        disks::prove(self.sim, bits_flip, &mut remains);
        self.history.lock().remains = Some(remains);
    }

    /// What all durable actors say of themselves.
    fn statements(&mut self) -> BTreeMap<String, Left> {
        let mut left = BTreeMap::new();
        for (at, (kind, id)) in load::members().enumerate() {
            let through = at as u16 % self.sim.len();
            let Some(node) = self.sim.node(through).cloned() else { continue };
            let statement = async {
                let said: Result<Left, String> = match kind {
                    Kind::Vault => {
                        let said = node.actor::<Vault>(&id).statement().deadline(LIVENESS_TIMEOUT).await;
                        said.map(Left::from).map_err(|error| error.to_string())
                    }
                    Kind::Register => {
                        let said = node.actor::<Register>(&id).ran().deadline(LIVENESS_TIMEOUT).await;
                        said.map(|ran| Left { ran, ..Left::default() }).map_err(|error| error.to_string())
                    }
                    Kind::Alarm => {
                        let said = node.actor::<Alarm>(&id).statement().deadline(LIVENESS_TIMEOUT).await;
                        said.map(Left::from).map_err(|error| error.to_string())
                    }
                    Kind::Fickle => {
                        let said = node.actor::<Fickle>(&id).ran().deadline(LIVENESS_TIMEOUT).await;
                        said.map(|ran| Left { ran, ..Left::default() }).map_err(|error| error.to_string())
                    }
                };
                said
            };
            if let Some(said) = self.must(&format!("{id} through n{through} makes no statement"), statement) {
                left.insert(id, said);
            }
        }
        left
    }

    /// Waits for what must succeed when nothing is wrong.
    fn must<T>(&mut self, wrong: &str, future: impl Future<Output = Result<T, String>>) -> Option<T> {
        let error = match self.sim.block_on(future) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error,
            Err(error) => error.to_string(),
        };
        self.history.lock().not_served.push((self.sim.now(), format!("{wrong}: {error}")));
        None
    }

    /// Does something as a client of a node, if that runs.
    pub(super) fn at<T>(&self, through: u16, what: impl FnOnce(&Place<'_>) -> T) -> Option<T> {
        let node = self.sim.node(through)?;
        let through = NodeIndex(through);
        let environment = self.sim.world().environment(through);
        let notes = self.sim.world().notes(through);
        Some(what(&Place { history: self.history, through, node, environment: &environment, notes: &notes }))
    }
}

impl From<Statement> for Left {
    fn from(statement: Statement) -> Self {
        let of = |wanted: Entry| {
            let entries = statement.entries.iter().filter(|((entry, _), _)| *entry == wanted);
            entries.map(|((_, number), times)| (*number, *times)).collect()
        };
        let vault =
            VaultLeft { balance: statement.balance, credited: of(Entry::Credited), drawn: of(Entry::Drawn) };
        Self { ran: of(Entry::Own), vault: Some(vault), alarm: None }
    }
}

impl From<AlarmStatement> for Left {
    fn from(statement: AlarmStatement) -> Self {
        let AlarmStatement { now_unix_ms, rings, pending, ran } = statement;
        Self { ran, vault: None, alarm: Some(AlarmLeft { now_unix_ms, rings, pending }) }
    }
}
