//! Requests for one node: administrative orders, and what only that node knows.
//!
//! **Problem.** Whoever orders a node to drain, or asks what it has in memory, sits at any node. An HTTP address does
//! not say who answers there: on many machines every node serves HTTP on 127.0.0.1:8080, and behind a balancer anybody
//! answers.
//!
//! **Design.** A request travels by the peers, in the class of calls, and names the node it is for by its id, which is
//! the key that its connection was proven with. Any other node refuses it. Every request is a value of one closed set,
//! may arrive twice, and so sets a state rather than changes it. The asker counts its requests; an answer counts only if
//! it comes from the node that was asked, in this start of the asker. What is under way is bounded on both sides.
//!
//! **Deliberately absent.** Who may order what: the node that the request comes in at by HTTP has settled that. Questions
//! about one actor; those go to the leader of its shard, see [`crate::admin`].

use std::collections::BTreeMap;

use futures::channel::oneshot;
use gritmesh_runtime::{NodeId, Tag};
use rkyv::{Archive, Deserialize, Serialize};

use crate::engine::engine_of;
use crate::status::{ActorStatus, NodeReport};

/// Requests of one node that may wait for an answer: a list of all nodes of a large cluster, some times over.
const ASKED_MAX: usize = 4096;

/// Requests of peers that one node answers at once; each may walk through all actors in memory.
const ANSWERING_MAX: usize = 64;

/// Largest envelope of a request. The largest there is holds one address.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one list of actors, so that it surely fits into a frame.
pub(crate) const LISTED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What stands in a tag of a request where tags of calls have the number of their engine.
const LANE: u8 = u8::MAX;
const LANE_SHIFT: u32 = u64::BITS - u8::BITS;

/// What a node is asked, or told to do.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum NodeRequest {
    /// What the node says of itself. Answered by [`NodeAnswer::Report`].
    Report,
    /// Which actors it has in memory. Answered by [`NodeAnswer::Actors`].
    Actors {
        /// Only those of this type.
        actor_type: Option<String>,
        /// How many at most.
        limit: u32,
    },
    /// Whether it has an actor in memory. Answered by [`NodeAnswer::InMemory`].
    InMemory {
        /// The actor's address as a key.
        actor: String,
    },
    /// To hand over everything that it serves. Answered by [`NodeAnswer::Done`] as soon as it has begun.
    Drain {
        /// Even if no other node can take over.
        forced: bool,
    },
    /// To take part again after a drain. Answered by [`NodeAnswer::Done`].
    Undrain,
    /// Not to show a member any more that is down or has left. Answered by [`NodeAnswer::Done`].
    Forget {
        /// The member.
        node: NodeId,
    },
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum NodeAnswer {
    /// What it says of itself.
    Report(NodeReport),
    /// Actors in memory.
    Actors {
        /// Some of them.
        actors: Vec<ActorStatus>,
        /// How many there are of all types.
        total: u64,
    },
    /// Whether it has the actor in memory.
    InMemory(bool),
    /// The order was carried out.
    Done,
}

/// Why a node that was reached does not do what it is asked. It did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, thiserror::Error)]
pub enum NodeRefusal {
    /// The request names another node.
    #[error("it reached node {}, which it is not for", node.short())]
    OtherNode {
        /// Who refuses.
        node: NodeId,
    },
    /// It is about to stop, and does not take part again.
    #[error("it is about to stop")]
    Stopping,
    /// It answers as many requests as it may.
    #[error("it answers {ANSWERING_MAX} requests of other nodes already; try again")]
    Busy,
    /// It is the last node that can serve.
    #[error("no other node could take over from it")]
    LastNode,
    /// The member that is to be forgotten is there.
    #[error("it sees node {name}, and only members that are down or have left are forgotten")]
    Alive {
        /// That member's name.
        name: String,
    },
    /// Something in the request cannot be understood.
    #[error("it does not understand the request: {detail}")]
    Malformed {
        /// What.
        detail: String,
    },
}

/// Why there is no answer of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeRequestError {
    /// No member of the cluster has that id.
    #[error("no member of the cluster has the id {}; `gritmesh node ls` lists them", node.short())]
    Unknown {
        /// The id.
        node: NodeId,
    },
    /// The member is down, or has left.
    #[error("node {name} is {state} and cannot be asked")]
    Down {
        /// Its name.
        name: String,
        /// `down` or `left`.
        state: &'static str,
    },
    /// The request surely did not reach the node.
    #[error("the request did not reach node {name}: {detail}")]
    NotDelivered {
        /// Its name.
        name: String,
        /// Why.
        detail: String,
    },
    /// The request was sent and may have been carried out.
    #[error("node {name} did not answer: {detail}")]
    NoAnswer {
        /// Its name.
        name: String,
        /// What happened instead.
        detail: String,
    },
    /// The node refused.
    #[error("node {name} refused: {refusal}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        refusal: NodeRefusal,
    },
}

/// How a request ended, for the one who waits for it.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    Answered(Result<NodeAnswer, NodeRefusal>),
    /// It was still queued when the connection broke.
    Unsent,
    /// The connection broke, or the node died.
    Lost,
}

/// Requests of this node that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    waiting: BTreeMap<u64, Waiting>,
    numbered: u64,
}

#[derive(Debug)]
struct Waiting {
    to: NodeId,
    ended: oneshot::Sender<Ended>,
}

impl Asked {
    /// The number of the next request, and where its end is heard. `None` if too many are under way.
    pub(crate) fn begin(&mut self, to: NodeId) -> Option<(u64, oneshot::Receiver<Ended>)> {
        if self.waiting.len() >= ASKED_MAX {
            return None;
        }
        // The number also stands in a tag, below its lane.
        self.numbered = (self.numbered + 1) % (1 << LANE_SHIFT);
        let (ended, end) = oneshot::channel();
        self.waiting.insert(self.numbered, Waiting { to, ended });
        Some((self.numbered, end))
    }

    /// A node answered. What somebody else answers, or what comes late, counts for nothing.
    pub(crate) fn answered(&mut self, from: NodeId, number: u64, result: Result<NodeAnswer, NodeRefusal>) {
        if self.waiting.get(&number).is_some_and(|waiting| waiting.to == from) {
            self.end(number, Ended::Answered(result));
        }
    }

    /// The connection to a peer is gone, with what was surely not sent.
    pub(crate) fn lost(&mut self, peer: NodeId, unsent: &[u64]) {
        for tag in unsent.iter().filter(|tag| engine_of(**tag) == LANE) {
            self.end(tag & ((1 << LANE_SHIFT) - 1), Ended::Unsent);
        }
        let sent = self.waiting.iter().filter(|(_, waiting)| waiting.to == peer);
        for number in sent.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end(number, Ended::Lost);
        }
    }

    /// Nobody waits for the end any more.
    pub(crate) fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    fn end(&mut self, number: u64, ended: Ended) {
        if let Some(waiting) = self.waiting.remove(&number) {
            // Whoever went away does not want to know.
            let _ = waiting.ended.send(ended);
        }
    }
}

/// Whether a node answers a request that reached it: it is for this node, of a size that can be, and one of few.
pub(crate) fn may_answer(
    me: NodeId,
    named: NodeId,
    bytes: usize,
    answering: usize,
) -> Result<(), NodeRefusal> {
    if named != me {
        return Err(NodeRefusal::OtherNode { node: me });
    }
    if bytes > REQUEST_BYTES_MAX {
        return Err(NodeRefusal::Malformed { detail: format!("it has more than {REQUEST_BYTES_MAX} bytes") });
    }
    if answering >= ANSWERING_MAX {
        return Err(NodeRefusal::Busy);
    }
    Ok(())
}

/// By which the network names a request that it did not send.
pub(crate) const fn tag(number: u64) -> Tag {
    Tag((LANE as u64) << LANE_SHIFT | number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    #[test]
    fn only_the_node_that_was_asked_answers_and_once() {
        let mut asked = Asked::default();
        let (number, mut end) = asked.begin(A).unwrap();
        asked.answered(B, number, Ok(NodeAnswer::Done));
        assert_eq!(end.try_recv(), Ok(None));
        asked.answered(A, number, Ok(NodeAnswer::InMemory(true)));
        asked.answered(A, number, Ok(NodeAnswer::Done));
        assert_eq!(end.try_recv(), Ok(Some(Ended::Answered(Ok(NodeAnswer::InMemory(true))))));
    }

    #[test]
    fn what_was_not_sent_is_told_from_what_was() {
        let mut asked = Asked::default();
        let (first, mut first_end) = asked.begin(A).unwrap();
        let (_, mut second_end) = asked.begin(A).unwrap();
        let (_, mut other_end) = asked.begin(B).unwrap();
        // A call of engine 0 that has the same number is none of these.
        asked.lost(A, &[tag(first).0, 2, 3]);
        assert_eq!(first_end.try_recv(), Ok(Some(Ended::Unsent)));
        assert_eq!(second_end.try_recv(), Ok(Some(Ended::Lost)));
        assert_eq!(other_end.try_recv(), Ok(None));
    }

    #[test]
    fn a_node_refuses_what_is_for_another_one_or_too_much() {
        assert_eq!(may_answer(A, A, 100, 0), Ok(()));
        assert_eq!(may_answer(A, B, 100, 0), Err(NodeRefusal::OtherNode { node: A }));
        assert_eq!(may_answer(A, A, 100, ANSWERING_MAX), Err(NodeRefusal::Busy));
        assert!(matches!(may_answer(A, A, REQUEST_BYTES_MAX + 1, 0), Err(NodeRefusal::Malformed { .. })));
    }

    #[test]
    fn what_is_under_way_is_bounded_and_forgotten() {
        let mut asked = Asked::default();
        let ends: Vec<_> = (0..ASKED_MAX).map(|_| asked.begin(A).unwrap()).collect();
        assert!(asked.begin(A).is_none());
        asked.forget(ends[0].0);
        assert!(asked.begin(A).is_some());
    }
}
