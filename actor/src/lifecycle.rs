//! Coming into memory and going out of it: turns that no caller waits for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures::FutureExt;
use gritmesh_runtime::{BoxFuture, Instant};

use crate::activation::{Activation, Head, Held, TurnEnd};
use crate::actor::{ActivationError, Actor};
use crate::chain::Chain;
use crate::durable::keeping::Thread;
use crate::durable::turn::keeping;
use crate::mailbox::Turn;
use crate::turn::{contained, panic_message};

pub(crate) struct LifecycleTurn<A>(BoxFuture<TurnEnd<A>>);

impl<A> LifecycleTurn<A> {
    pub(crate) fn new(future: impl Future<Output = TurnEnd<A>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<A> Turn<A> for LifecycleTurn<A> {
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<TurnEnd<A>> {
        self.0.poll_unpin(cx)
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn expire(&mut self) {}
}

/// Loads the state on behalf of the call at the end of `chain`.
pub(crate) async fn load<A: Actor>(activation: Arc<Activation<A>>, chain: Chain) -> TurnEnd<A> {
    if A::DURABLE {
        return open(&activation);
    }
    let activating = async {
        let mut ctx = activation.context(&chain, None, None);
        A::activate(&mut ctx).await
    };
    match AssertUnwindSafe(activating).catch_unwind().await {
        Ok(Ok(state)) => TurnEnd::State(Box::new(Held { state, thread: None })),
        Ok(Err(error)) => TurnEnd::LoadFailed(error),
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            activation.head.host.panicked(&activation.head.address, &message);
            TurnEnd::LoadFailed(ActivationError::new(format!("its activation panicked: {message}")))
        }
    }
}

/// Loads a durable state, as of its newest step.
fn open<A: Actor>(activation: &Activation<A>) -> TurnEnd<A> {
    let Head { host, address, token, .. } = &activation.head;
    let opened = Arc::clone(host).open(address, *token);
    match opened.and_then(|history| Thread::load(&keeping::<A>(), history, activation.tie())) {
        Ok((state, thread)) => TurnEnd::State(Box::new(Held { state, thread: Some(Box::new(thread)) })),
        Err(failure) => TurnEnd::NotOpened(failure),
    }
}

pub(crate) async fn deactivate<A: Actor>(
    activation: Arc<Activation<A>>,
    mut held: Box<Held<A>>,
) -> TurnEnd<A> {
    let chain = Chain::EMPTY;
    let deactivating = async {
        let mut ctx = activation.context(&chain, None, None);
        held.state.deactivate(&mut ctx).await;
    };
    let panic =
        AssertUnwindSafe(deactivating).catch_unwind().await.map_err(|panic| panic_message(panic.as_ref()));
    let dropped = contained(|| drop(held));
    for message in [panic, dropped].into_iter().filter_map(Result::err) {
        activation.head.host.panicked(&activation.head.address, &message);
    }
    TurnEnd::Deactivated
}
