//! Asks other nodes, and answers when it is asked; see [`crate::requests`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{Either, select};
use gritmesh_runtime::{ActorAddress, NodeId};

use super::Node;
use crate::requests::{Ended, NodeAnswer, NodeRefusal, NodeRequest, NodeRequestError, may_answer, tag};
use crate::status::{ActorStatus, NodeReport};
use crate::wire::{Answer, Envelope, Request};

impl Node {
    /// What a node says of itself.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn report_of(&self, node: NodeId, timeout: Duration) -> Result<NodeReport, NodeRequestError> {
        match self.ask_node(node, NodeRequest::Report, timeout).await? {
            NodeAnswer::Report(report) => Ok(report),
            _ => Err(self.unfit(node)),
        }
    }

    /// Actors that a node has in memory, of one type or of all, at most `limit` of them; and how many there are.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn actors_of(
        &self,
        node: NodeId,
        actor_type: Option<&str>,
        limit: usize,
        timeout: Duration,
    ) -> Result<(Vec<ActorStatus>, u64), NodeRequestError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = NodeRequest::Actors { actor_type: actor_type.map(str::to_owned), limit };
        match self.ask_node(node, request, timeout).await? {
            NodeAnswer::Actors { actors, total } => Ok((actors, total)),
            _ => Err(self.unfit(node)),
        }
    }

    /// Whether a node has an actor in memory.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn in_memory_of(
        &self,
        node: NodeId,
        actor: &ActorAddress,
        timeout: Duration,
    ) -> Result<bool, NodeRequestError> {
        let request = NodeRequest::InMemory { actor: actor.as_key().to_owned() };
        match self.ask_node(node, request, timeout).await? {
            NodeAnswer::InMemory(is) => Ok(is),
            _ => Err(self.unfit(node)),
        }
    }

    /// Asks one node, this one or another, and waits so long for its answer.
    ///
    /// # Errors
    /// If there is no such node, if it is not reached or does not answer in time, and if it refuses.
    pub async fn ask_node(
        &self,
        node: NodeId,
        request: NodeRequest,
        timeout: Duration,
    ) -> Result<NodeAnswer, NodeRequestError> {
        let name = self.name_of(node);
        if node == self.info.node_id {
            let answer = self.answer_request(None, request);
            return answer.map_err(|refusal| NodeRequestError::Refused { name, refusal });
        }
        match self.view.load().members.get(&node) {
            None => return Err(NodeRequestError::Unknown { node }),
            Some(member) if !member.state.is_active() => {
                return Err(NodeRequestError::Down { name, state: member.state.as_str() });
            }
            Some(_) => {}
        }
        let begun = self.asked.lock().begin(node);
        let Some((number, end)) = begun else {
            let detail = "too many requests of this node wait for an answer".to_owned();
            return Err(NodeRequestError::NotDelivered { name, detail });
        };
        let _waits = Waits { node: self, number };
        let request = Request { number, incarnation: self.info.incarnation.0, node, request };
        let body = Envelope::Request(request).to_bytes(0);
        if let Err(error) = self.send_call_class(node, tag(number), &body) {
            return Err(NodeRequestError::NotDelivered { name, detail: error.to_string() });
        }
        let deadline = self.environment.clock.now() + timeout;
        let lost = || "the connection to it broke".to_owned();
        match select(end, self.environment.spawn.sleep_until(deadline)).await {
            Either::Left((Ok(Ended::Answered(Ok(answer))), _)) => Ok(answer),
            Either::Left((Ok(Ended::Answered(Err(refusal))), _)) => {
                Err(NodeRequestError::Refused { name, refusal })
            }
            Either::Left((Ok(Ended::Unsent), _)) => {
                Err(NodeRequestError::NotDelivered { name, detail: lost() })
            }
            Either::Left((Ok(Ended::Lost) | Err(_), _)) => {
                Err(NodeRequestError::NoAnswer { name, detail: lost() })
            }
            Either::Right(_) => {
                let detail = format!("{timeout:?} have passed");
                Err(NodeRequestError::NoAnswer { name, detail })
            }
        }
    }

    /// An answer of another kind than the question.
    pub(super) fn unfit(&self, node: NodeId) -> NodeRequestError {
        tracing::warn!(peer = %node.short(), "a node answered something else than it was asked");
        let detail = "its answer does not fit the question".to_owned();
        NodeRequestError::NoAnswer { name: self.name_of(node), detail }
    }

    /// A peer asks. It is answered by a task, as an answer may take a walk through all actors.
    pub(super) fn request_received(self: &Arc<Self>, from: NodeId, bytes: usize, request: Request) {
        let Request { number, incarnation, node, request } = request;
        let answer = move |result| Envelope::Answer(Answer { number, incarnation, result }).to_bytes(0);
        let answering = self.answering.fetch_add(1, Ordering::Relaxed);
        if let Err(refusal) = may_answer(self.info.node_id, node, bytes, answering) {
            self.answering.fetch_sub(1, Ordering::Relaxed);
            return self.answer_asker(from, &answer(Err(refusal)));
        }
        let this = self.weak.clone();
        self.environment.spawn.spawn(Box::pin(async move {
            let Some(this) = this.upgrade() else { return };
            let result = this.answer_request(Some(from), request);
            this.answering.fetch_sub(1, Ordering::Relaxed);
            this.answer_asker(from, &answer(result));
        }));
    }

    fn answer_asker(&self, to: NodeId, body: &[u8]) {
        self.network_send(gritmesh_runtime::TrafficClass::Calls, to, body);
    }

    /// Answers a request that is for this node. Whatever it orders may have been ordered before.
    fn answer_request(&self, from: Option<NodeId>, request: NodeRequest) -> Result<NodeAnswer, NodeRefusal> {
        match request {
            NodeRequest::Report => Ok(NodeAnswer::Report(self.report())),
            NodeRequest::Actors { actor_type, limit } => {
                let (actors, total) = self.actors(actor_type.as_deref(), limit as usize);
                Ok(NodeAnswer::Actors { actors, total: total as u64 })
            }
            NodeRequest::InMemory { actor } => {
                let address = ActorAddress::from_key(&actor);
                let address =
                    address.map_err(|error| NodeRefusal::Malformed { detail: error.to_string() })?;
                Ok(NodeAnswer::InMemory(self.directory.get(address.token(), &address).is_some()))
            }
            NodeRequest::Drain { forced } => self.obeyed(from, "drain", self.obey_drain(from, forced)),
            NodeRequest::Undrain => self.obeyed(from, "undrain", self.obey_undrain(from)),
            NodeRequest::Forget { node } => self.obeyed(from, "forget", self.obey_forget(from, node)),
        }
    }
}

/// Somebody waits for the end of a request; gone when they are.
struct Waits<'a> {
    node: &'a Node,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.node.asked.lock().forget(self.number);
    }
}
