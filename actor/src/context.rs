//! What a handler may ask of the world.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{ActorAddress, AddressError, BoxFuture, Instant, UnixTime};

use crate::actor::Actor;
use crate::chain::Chain;
use crate::durable::notes::Notes;
use crate::host::Host;
use crate::reference::ActorRef;

/// Time, randomness and other actors, for the length of one message.
///
/// In the simulator these are virtual and seeded. A handler that takes them from here runs there in the same
/// way on every machine.
pub struct Context<'a> {
    pub(crate) host: &'a Arc<dyn Host>,
    pub(crate) address: &'a ActorAddress,
    pub(crate) chain: &'a Chain,
    pub(crate) deadline: Option<Instant>,
    /// Where a durable handler's doings are noted.
    pub(crate) notes: Option<&'a Arc<Notes>>,
}

impl Context<'_> {
    /// The actor that this is.
    pub const fn address(&self) -> &ActorAddress {
        self.address
    }

    /// Monotonic time of this node.
    pub fn now(&self) -> Instant {
        self.host.clock().now()
    }

    /// Wall-clock time of this node; may jump.
    pub fn unix_time(&self) -> UnixTime {
        self.host.clock().unix_time()
    }

    /// When the caller of this message stops waiting; `None` if nobody waits.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What tells this run of this handler from all others and stays the same when it is repeated: the caller's
    /// idempotency key, the message, the reminder, or else chance. For use as a key in other systems. `None` in a
    /// volatile actor, which repeats nothing.
    pub fn invocation(&self) -> Option<&[u8]> {
        self.notes.map(|notes| &**notes.invocation(self.host.as_ref()))
    }

    /// 64 random bits.
    pub fn random(&self) -> u64 {
        self.host.random()
    }

    /// What the application provided of a type when it built the node; `None` if it provided none.
    pub fn resource<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.host.resource(TypeId::of::<T>())?.downcast().ok()
    }

    /// Waits. The actor handles nothing else meanwhile.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.host.spawn().sleep_until(self.now() + duration)
    }

    /// Another actor of the same tenant. A call to it ends by this message's own deadline, if not earlier: nobody
    /// waits for it any longer.
    ///
    /// # Panics
    /// If `id` is not a valid id; use [`Self::try_actor`] for ids that come from outside.
    pub fn actor<A: Actor>(&self, id: &str) -> A::Ref {
        self.try_actor::<A>(id).expect("an actor id written in code is valid")
    }

    /// This actor itself, for messages and reminders to it. To await a call to it would be to wait for oneself, and
    /// is refused.
    ///
    /// # Panics
    /// If this is no handler of `A`.
    pub fn this<A: Actor>(&self) -> A::Ref {
        assert_eq!(A::TYPE, self.address.actor_type(), "an actor refers to itself by its own type");
        self.reference::<A>(self.address.clone())
    }

    /// Another actor of the same tenant.
    ///
    /// # Errors
    /// If `id` is empty, too long, or holds control characters.
    pub fn try_actor<A: Actor>(&self, id: &str) -> Result<A::Ref, AddressError> {
        let address = ActorAddress::in_tenant(self.address.tenant(), A::TYPE, id)?;
        Ok(self.reference::<A>(address))
    }

    fn reference<A: Actor>(&self, address: ActorAddress) -> A::Ref {
        let chain = self.chain.then(self.address.clone());
        let reference = ActorRef::new(Arc::clone(self.host), address, chain);
        reference.within(self.deadline, self.notes.cloned()).into()
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("address", &self.address).finish_non_exhaustive()
    }
}
