//! What others say of shards, against what this node knows first-hand.
//!
//! A word that is newer than the table's replaces it, whoever said it: that is how news travels. So a lie with a great
//! term would replace the truth for good, if nobody corrected it. Whoever serves a shard does: it says the same again
//! with a term beyond the lie. The terms of the table are no longer those of the shard's log then; a leader that is
//! elected later goes beyond them too, and all words keep one order.
//!
//! A leader may also have been deposed without knowing it yet. So it keeps its own view, and contradicts only if it is
//! still the leader after [`DOUBT`], by which time a deposed one has heard from its successor or lost its lease.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, ShardId};

use super::{Effect, Placement, Review, Settling, is_alive};
use crate::table::{Adopted, Descriptor, Shard, ShardTable, Version};

/// How long a leader waits for its own deposition before it contradicts those who say that another one leads.
const DOUBT: Duration = Duration::from_millis(1500);

/// Terms by which a word may be ahead of a leader that is about to learn of its deposition. What is further ahead is a
/// lie, or follows one.
const PLAUSIBLE_MAX: u64 = 1024;

/// By how many terms a contradiction goes beyond what it contradicts, so that the next leader sees at once that the
/// table's terms are not the log's.
const STEP: u64 = 2 * PLAUSIBLE_MAX;

/// A shard's leader contradicts no more often than this, however often it is provoked.
const CONTRADICTION_INTERVAL: Duration = Duration::from_millis(200);

/// Living members up to which a deposed leader is told of its deposition by whoever hears of it. In a larger cluster
/// only doubtful news is worth so many messages.
const ASKED_BY_ALL_MAX: usize = 16;

/// Words about shards that are led here which say something else. At most one for each shard of the table.
#[derive(Debug, Default)]
pub(super) struct Disputes {
    open: BTreeMap<ShardId, Dispute>,
    contradicted: BTreeMap<ShardId, Instant>,
}

#[derive(Debug)]
struct Dispute {
    /// The newest of the words.
    word: Descriptor,
    due: Instant,
}

impl Disputes {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|dispute| dispute.due).min()
    }

    /// Whether others may be right about this shard.
    pub(super) fn is_open(&self, shard: ShardId) -> bool {
        self.open.contains_key(&shard)
    }
}

impl Placement {
    /// Takes in a whole table: the first one almost as it is, later ones entry by entry. Returns whether the other side
    /// knows less.
    pub(super) fn take_in(&mut self, now: Instant, table: ShardTable, out: &mut Vec<Effect>) -> bool {
        let Some(known) = &self.table else {
            let table = self.table.insert(table.within_reach());
            // The local replicas may have spoken before.
            self.own.retain(|_, own| !matches!(table.adopt_own(own.clone()), Adopted::Refused(_)));
            self.changed();
            self.proposal = None;
            self.settling = Some(Settling::restart(self.settling, now, self.options.settle_moves));
            self.dispute_first(now, out);
            return false;
        };
        // A table with other ranges is of no use until ranges can change; it was never ours.
        let mut other_is_behind = false;
        if known.has_ranges_of(&table) {
            for shard in table.shards() {
                other_is_behind |= matches!(self.hear(now, shard.descriptor(), out), Adopted::Stale(_));
            }
        }
        other_is_behind
    }

    /// The first table may know what seems newer than what local leaders have said before it came.
    fn dispute_first(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let table = self.table.iter().flat_map(|table| table.shards());
        let others = table.filter(|shard| shard.leader != Some(self.me) && self.own.contains_key(&shard.id));
        let words: Vec<Descriptor> = others.map(Shard::descriptor).collect();
        words.into_iter().for_each(|word| self.surpass(now, false, word, out));
    }

    pub(super) fn adopt(&mut self, now: Instant, descriptor: Descriptor, out: &mut Vec<Effect>) {
        let claimant = descriptor.leader;
        if let Adopted::Stale(known) = self.hear(now, descriptor, out) {
            self.correct(claimant, known, out);
        }
    }

    /// Takes in what others say of a shard. What is newer and differs from what a local leader says of itself is
    /// disputed instead.
    fn hear(&mut self, now: Instant, mut word: Descriptor, out: &mut Vec<Effect>) -> Adopted {
        // The table that is on its way contains it, or a comparison will bring it.
        let Some(table) = &mut self.table else { return Adopted::Known };
        let Some(known) = table.shard(word.shard) else { return table.adopt(word) };
        let known = known.descriptor();
        if let Some(own) = self.own.get(&word.shard)
            && word.check().is_ok()
        {
            word.version = word.version.within_reach_of(known.version);
            if word.rank() > known.rank() && !word.agrees_with(own) {
                self.dispute(now, word, out);
                return Adopted::Known;
            }
        }
        let adopted = table.adopt(word.clone());
        if adopted == Adopted::Newer {
            self.changed();
            self.ask_deposed(&known, word, out);
        }
        adopted
    }

    /// Tells a leader who is said to lead in its place: if that is not so, it says so to everybody.
    fn ask_deposed(&self, known: &Descriptor, word: Descriptor, out: &mut Vec<Effect>) {
        let Some(to) = known.leader.filter(|leader| *leader != self.me && known.leader != word.leader) else {
            return;
        };
        let doubtful = word.version.term > known.version.term.saturating_add(PLAUSIBLE_MAX);
        let few = self.alive_peers().nth(ASKED_BY_ALL_MAX).is_none();
        if (few || doubtful) && is_alive(&self.candidates, &to) {
            out.push(Effect::Tell { to, descriptor: word });
        }
    }

    /// Takes in what a local replica says of its shard.
    pub(super) fn take_in_own(&mut self, now: Instant, own: Descriptor, out: &mut Vec<Effect>) {
        let (shard, leads) = (own.shard, own.leader == Some(self.me));
        let adopted = self.table.as_mut().map(|table| table.adopt_own(own.clone()));
        if let Some(Adopted::Refused(_)) = adopted {
            return;
        }
        if adopted == Some(Adopted::Newer) {
            self.changed();
        }
        self.review = Review::Now;
        let before = if leads { self.own.insert(shard, own.clone()) } else { self.own.remove(&shard) };
        if before.as_ref() == Some(&own) {
            return;
        }
        match adopted {
            Some(Adopted::Stale(known)) if leads => self.surpass(now, before.is_some(), known, out),
            Some(Adopted::Stale(_)) => {}
            _ => out.push(Effect::Broadcast(own)),
        }
    }

    /// The table knows what seems newer than what a local leader says for the first time.
    fn surpass(&mut self, now: Instant, led: bool, known: Descriptor, out: &mut Vec<Effect>) {
        let Some(own) = self.own.get(&known.shard) else { return };
        let ahead = known.version.term.saturating_sub(own.version.term);
        if known.leader == Some(self.me) && led {
            // Its own earlier word, which had to go beyond a lie.
            let term = known.version.term + u64::from(own.version.epoch <= known.version.epoch);
            self.say_own(known.shard, term, out);
        } else if ahead > PLAUSIBLE_MAX {
            self.say_own(known.shard, known.version.term.saturating_add(STEP), out);
        } else {
            self.dispute(now, known, out);
        }
    }

    /// Remembers a word against a local leader, and has the replica find out whether it still leads.
    fn dispute(&mut self, now: Instant, word: Descriptor, out: &mut Vec<Effect>) {
        let shard = word.shard;
        match self.disputes.open.get_mut(&shard) {
            Some(dispute) if dispute.word.rank() < word.rank() => dispute.word = word,
            Some(_) => {}
            None => {
                let last = self.disputes.contradicted.get(&shard).copied().unwrap_or_default();
                let due = (now + DOUBT).max(last + CONTRADICTION_INTERVAL);
                self.disputes.open.insert(shard, Dispute { word, due });
                out.push(Effect::Doubt(shard));
            }
        }
    }

    /// Contradicts what has been said for long enough against leaders that still are.
    pub(super) fn contradict(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let open = &self.disputes.open;
        let due: Vec<ShardId> =
            open.iter().filter(|(_, dispute)| dispute.due <= now).map(|(shard, _)| *shard).collect();
        for shard in due {
            let Some(dispute) = self.disputes.open.remove(&shard) else { continue };
            if self.options.never_contradicts {
                continue;
            }
            let known = self.table.as_ref().and_then(|table| table.shard(shard)).map(Shard::descriptor);
            if known.is_some_and(|known| known.leader == Some(self.me) && known.rank() > dispute.word.rank())
            {
                continue;
            }
            self.disputes.contradicted.insert(shard, now);
            self.say_own(shard, dispute.word.version.term.saturating_add(STEP), out);
        }
    }

    /// Says what the local leader says, with a term that everybody takes for newer.
    fn say_own(&mut self, shard: ShardId, term: u64, out: &mut Vec<Effect>) {
        let (Some(own), Some(table)) = (self.own.get(&shard), &mut self.table) else { return };
        let known = table.shard(shard).map_or(Version::ZERO, Shard::version);
        let version = Version { term: term.max(known.term), epoch: own.version.epoch };
        let word = Descriptor { version, ..own.clone() };
        if table.adopt_own(word.clone()) == Adopted::Newer {
            self.changed();
            out.push(Effect::Broadcast(word));
        }
    }

    /// The local replica leads no more: those who said so were right.
    pub(super) fn lost(&mut self, shard: ShardId) {
        self.own.remove(&shard);
        self.review = Review::Now;
        self.disputes.contradicted.remove(&shard);
        let dispute = self.disputes.open.remove(&shard);
        if let (Some(dispute), Some(table)) = (dispute, &mut self.table)
            && table.adopt(dispute.word) == Adopted::Newer
        {
            self.changed();
        }
    }

    /// Tells a node that believes to lead a shard of ours that it does not.
    fn correct(&self, claimant: Option<NodeId>, known: Descriptor, out: &mut Vec<Effect>) {
        let Some(to) = claimant else { return };
        if known.leader == Some(self.me) && to != self.me && is_alive(&self.candidates, &to) {
            out.push(Effect::Tell { to, descriptor: known });
        }
    }
}
