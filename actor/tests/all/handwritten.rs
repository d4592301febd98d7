//! The traits without the macros, and an actor whose state can be watched from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gritmesh_actor::codec::{self, CodecError};
use gritmesh_actor::{
    ActivationError, Actor, ActorOptions, ActorRef, Context, Handler, Message, Method, NoError,
};

use crate::probe::world;

/// Holds something that its caller can see being dropped.
pub(crate) struct Holder {
    held: Option<Arc<AtomicU64>>,
    bad_drop: bool,
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.bad_drop {
            panic!("no drop");
        }
    }
}

impl Actor for Holder {
    const TYPE: &'static str = "holder";
    type Ref = ActorRef<Self>;

    async fn activate(_: &mut Context<'_>) -> Result<Self, ActivationError> {
        Ok(Self { held: None, bad_drop: false })
    }

    fn options() -> ActorOptions {
        ActorOptions::DEFAULT.with_mailbox_capacity(7)
    }

    fn methods() -> Vec<Method<Self>> {
        vec![Method::of::<Hold>(), Method::of::<DropBadly>()]
    }
}

/// Only within one process.
#[derive(Debug)]
pub(crate) struct Hold(pub(crate) Arc<AtomicU64>);

impl Message for Hold {
    const METHOD: &'static str = "hold";
    type Reply = u64;
    type Error = NoError;

    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(&(self.0.load(Ordering::SeqCst),))
    }

    fn decode(arguments: &[u8]) -> Result<Self, CodecError> {
        let (number,) = codec::decode(arguments)?;
        if number == 666 {
            panic!("a bad number");
        }
        Ok(Self(Arc::new(AtomicU64::new(number))))
    }
}

impl Handler<Hold> for Holder {
    async fn handle(&mut self, Hold(held): Hold, _: &mut Context<'_>) -> Result<u64, NoError> {
        let before = held.load(Ordering::SeqCst);
        self.held = Some(held);
        Ok(before)
    }
}

/// Makes the state panic when it is dropped.
#[derive(Debug)]
pub(crate) struct DropBadly;

impl Message for DropBadly {
    const METHOD: &'static str = "drop_badly";
    type Reply = ();
    type Error = NoError;

    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(codec::encode_no_arguments())
    }

    fn decode(arguments: &[u8]) -> Result<Self, CodecError> {
        codec::decode_no_arguments(arguments).map(|()| Self)
    }
}

impl Handler<DropBadly> for Holder {
    async fn handle(&mut self, _: DropBadly, _: &mut Context<'_>) -> Result<(), NoError> {
        self.bad_drop = true;
        Ok(())
    }
}

#[test]
fn works_without_macros() {
    let (world, host) = world();
    let holder = host.reference::<Holder>("a");
    let held = Arc::new(AtomicU64::new(5));
    let message = Hold(Arc::clone(&held));
    assert_eq!(world.run(async move { holder.call(message).await }), Ok(5));
    assert_eq!(Arc::strong_count(&held), 2, "the actor has the other");
    let activation = host.activation("holder/a").unwrap();
    assert_eq!(activation.info().options.mailbox_capacity, 7);
    activation.close(None);
    assert_eq!(Arc::strong_count(&held), 1);
}
