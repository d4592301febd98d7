//! What lies on the disks: the chains of the durable actors, and the rows of the shards.

use std::collections::BTreeMap;

use gritmesh_runtime::{Reads, Table, Token};
use gritmesh_shard::{DiskObjects, HeadRow, head, keys, verify_actor};
use gritmesh_store::{CHAIN_STEPS_MAX, ObjectId, walk};

use super::cuts::{self, Voters};
use super::load::{self, Kind};
use crate::cluster::Sim;
use crate::history::{History, Remains, ReplicaRows, Rows, StepSeen};
use crate::world::NodeIndex;

/// Rows of one table in one shard that are read: more than a run makes.
const ROWS_MAX: usize = 1_000_000;

/// Tables whose rows are the same on all replicas of a shard. Objects are not among them: each replica tidies up when
/// it likes.
const REPLICATED: [Table; 6] =
    [Table::Head, Table::Outbox, Table::Reminder, Table::Answer, Table::Letter, Table::Paused];

/// What was seen on the disks so far.
#[derive(Default)]
pub(super) struct Disks {
    steps: BTreeMap<(NodeIndex, String), BTreeMap<u64, ObjectId>>,
}

impl Disks {
    /// Walks from every head on every disk back to what is known, and writes down what is new.
    pub(super) fn look(&mut self, sim: &Sim, history: &mut History) {
        let now = sim.now();
        for node in (0..sim.len()).map(NodeIndex) {
            let contents = sim.world().disk_contents(node);
            for (kind, actor) in load::members() {
                let Some(head) = head_of(&*contents, kind, &actor) else { continue };
                let token = kind.address(&actor).token();
                let known = self.steps.entry((node, actor.clone())).or_default();
                if known.get(&head.number) == Some(&head.id) {
                    continue;
                }
                let objects = DiskObjects::new(&*contents, token);
                // A replica that is still being filled lacks objects; what it has is checked all the same.
                for (id, step) in walk(&objects, head.id).map_while(Result::ok) {
                    if known.insert(step.number, id) == Some(id) {
                        break;
                    }
                    let (actor, number) = (actor.clone(), step.number);
                    history.steps.push(StepSeen { at: now, node, actor, number, id });
                }
            }
        }
    }
}

fn head_of(reads: &dyn Reads, kind: Kind, actor: &str) -> Option<HeadRow> {
    head(reads, &kind.address(actor)).ok().flatten()
}

/// The rows of every replica.
pub(super) fn rows(sim: &Sim) -> Vec<ReplicaRows> {
    let mut found = Vec::new();
    let ranges = ranges(sim);
    for (shard, (_, replicas)) in cuts::voters(sim) {
        let Some((first, last)) = ranges.get(&shard) else { continue };
        let range = keys::token_range(*first, *last);
        for node in replicas {
            let contents = sim.world().disk_contents(node);
            let read = |table: Table| {
                let rows = contents.scan(table, &range.start..&range.end, ROWS_MAX);
                (table, rows.expect("rows are never damaged in the simulator").into_iter().collect::<Rows>())
            };
            found.push(ReplicaRows { shard, node, tables: REPLICATED.map(read).into() });
        }
    }
    found
}

/// First and last token of each shard.
fn ranges(sim: &Sim) -> BTreeMap<u32, (Token, Token)> {
    let token = |text: &str| u64::from_str_radix(text, 16).ok().map(Token);
    let statuses = sim.running().flat_map(|(_, node)| node.shard_statuses());
    statuses.filter_map(|shard| Some((shard.shard, (token(&shard.start)?, token(&shard.end)?)))).collect()
}

/// Why these rows are not at rest: a message is on its way, or a replica has not got something yet.
pub(super) fn unrest(replicas: &[ReplicaRows]) -> Option<String> {
    let mut first: BTreeMap<u32, &ReplicaRows> = BTreeMap::new();
    for replica in replicas {
        let (shard, node) = (replica.shard, replica.node);
        let messages = replica.tables.get(&Table::Outbox);
        if let Some((key, _)) = messages.and_then(BTreeMap::first_key_value) {
            let (count, key) = (messages.map_or(0, BTreeMap::len), key.escape_ascii());
            return Some(format!(
                "{count} messages of shard {shard} are on their way, says {node}, first {key}"
            ));
        }
        let one = first.entry(shard).or_insert(replica);
        if one.tables != replica.tables {
            return Some(format!("the replicas of shard {shard} on {} and {node} differ", one.node));
        }
    }
    None
}

/// What the nodes have given up: the load has no message that cannot be read, and no actor that keeps failing.
pub(super) fn given_up(replicas: &[ReplicaRows]) -> Vec<String> {
    let mut found = Vec::new();
    for (replica, table) in
        replicas.iter().flat_map(|replica| [(replica, Table::Letter), (replica, Table::Paused)])
    {
        for (key, value) in replica.tables.get(&table).into_iter().flatten() {
            let (table, node) = (table.as_str(), replica.node);
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            found.push(format!("given up on {node}, table {table}, key {key}: {value}"));
        }
    }
    found
}

/// Proves the chains of all actors on all replicas, and finds the last step of each.
pub(super) fn prove(sim: &Sim, bits_flip: bool, remains: &mut Remains) {
    let voters = cuts::voters(sim);
    let ranges = ranges(sim);
    for (kind, actor) in load::members() {
        let replicas = replicas_of(&voters, &ranges, kind.address(&actor).token());
        let mut errors = Vec::new();
        for node in replicas.iter().copied() {
            let contents = sim.world().disk_contents(node);
            let Some(head) = head_of(&*contents, kind, &actor) else { continue };
            let last = remains.heads.entry(actor.clone()).or_default();
            *last = head.number.max(*last);
            match verify_actor(&*contents, &kind.address(&actor), CHAIN_STEPS_MAX) {
                Ok(proof) if proof.is_whole => {}
                Ok(proof) => errors.push(format!("the chain of {actor} on {node} ends after {proof:?}")),
                Err(error) => errors.push(format!("the chain of {actor} on {node} breaks: {error}")),
            }
        }
        // Where bits flip, one good copy is enough.
        if !bits_flip || errors.len() == replicas.len() {
            remains.broken_chains.extend(errors);
        }
    }
}

fn replicas_of<'a>(
    voters: &'a Voters,
    ranges: &BTreeMap<u32, (Token, Token)>,
    token: Token,
) -> &'a [NodeIndex] {
    let has = |(shard, (first, last)): (&u32, &(Token, Token))| {
        (first.0..=last.0).contains(&token.0).then_some(*shard)
    };
    let shard = ranges.iter().find_map(has);
    shard.and_then(|shard| voters.get(&shard)).map_or(&[], |(_, replicas)| replicas)
}
