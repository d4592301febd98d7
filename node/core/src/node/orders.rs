//! Orders about one node, as they are given and as they are carried out.

use std::time::Duration;

use futures::future::join_all;
use gritmesh_runtime::NodeId;

use super::Node;
use crate::control;
use crate::requests::{NodeAnswer, NodeRefusal, NodeRequest, NodeRequestError};

impl Node {
    /// Tells a node to hand over everything that it serves. Ends when it has begun.
    ///
    /// # Errors
    /// If it does not answer in time; and unless `forced`, if no other node could take over.
    pub async fn drain_node(
        &self,
        node: NodeId,
        forced: bool,
        timeout: Duration,
    ) -> Result<(), NodeRequestError> {
        self.order(node, NodeRequest::Drain { forced }, timeout).await
    }

    /// Tells a node to take part again after a drain.
    ///
    /// # Errors
    /// If it does not answer in time, or is about to stop.
    pub async fn undrain_node(&self, node: NodeId, timeout: Duration) -> Result<(), NodeRequestError> {
        self.order(node, NodeRequest::Undrain, timeout).await
    }

    /// Lets every node forget a member that is down or has left. Returns the names of those that did not say that they
    /// have; they show it for some time more.
    ///
    /// # Errors
    /// If this node does not know such a member, or any node sees it alive.
    pub async fn forget_member(
        &self,
        node: NodeId,
        timeout: Duration,
    ) -> Result<Vec<String>, NodeRequestError> {
        let view = self.view();
        if !view.members.contains_key(&node) {
            return Err(NodeRequestError::Unknown { node });
        }
        // Whoever sees it alive is likely to be this node, and then nobody else is told.
        self.order(self.info.node_id, NodeRequest::Forget { node }, timeout).await?;
        let others = view.active().filter(|(other, _)| **other != self.info.node_id);
        let told = others.map(|(other, member)| async move {
            let forgot = self.order(*other, NodeRequest::Forget { node }, timeout).await;
            (member.info.name.clone(), forgot)
        });
        let mut unreached = Vec::new();
        for (name, forgot) in join_all(told).await {
            match forgot {
                Ok(()) => {}
                Err(error @ NodeRequestError::Refused { refusal: NodeRefusal::Alive { .. }, .. }) => {
                    return Err(error);
                }
                Err(_) => unreached.push(name),
            }
        }
        Ok(unreached)
    }

    async fn order(
        &self,
        node: NodeId,
        order: NodeRequest,
        timeout: Duration,
    ) -> Result<(), NodeRequestError> {
        match self.ask_node(node, order, timeout).await? {
            NodeAnswer::Done => Ok(()),
            _ => Err(self.unfit(node)),
        }
    }

    /// What becomes of an order. One that is carried out is logged where that begins.
    pub(super) fn obeyed(
        &self,
        from: Option<NodeId>,
        order: &'static str,
        answer: Result<NodeAnswer, NodeRefusal>,
    ) -> Result<NodeAnswer, NodeRefusal> {
        if let Err(refusal) = &answer {
            tracing::info!(asker = self.asker(from), order, %refusal, "an order was refused");
        }
        answer
    }

    pub(super) fn obey_drain(&self, from: Option<NodeId>, forced: bool) -> Result<NodeAnswer, NodeRefusal> {
        if !forced && !self.drain.is_begun() && self.heirs() == 0 {
            return Err(NodeRefusal::LastNode);
        }
        self.begin_drain(forced);
        tracing::info!(asker = self.asker(from), forced, "drains by an order");
        Ok(NodeAnswer::Done)
    }

    pub(super) fn obey_undrain(&self, from: Option<NodeId>) -> Result<NodeAnswer, NodeRefusal> {
        if self.is_stopping() {
            return Err(NodeRefusal::Stopping);
        }
        self.end_drain();
        tracing::info!(asker = self.asker(from), "takes part again by an order");
        Ok(NodeAnswer::Done)
    }

    pub(super) fn obey_forget(&self, from: Option<NodeId>, node: NodeId) -> Result<NodeAnswer, NodeRefusal> {
        if let Some(member) = self.view.load().members.get(&node) {
            if member.state.is_active() {
                return Err(NodeRefusal::Alive { name: member.info.name.clone() });
            }
            tracing::info!(asker = self.asker(from), name = member.info.name, "forgets a member by an order");
        }
        self.control.post(&self.this(), control::Event::Forget(node));
        Ok(NodeAnswer::Done)
    }

    /// The name of whoever passed an order on.
    fn asker(&self, from: Option<NodeId>) -> String {
        from.map_or_else(|| self.info.name.clone(), |from| self.name_of(from))
    }
}
