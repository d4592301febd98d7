//! References to actors.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Instant, Token};

use crate::activation::{Activation, Entered};
use crate::actor::{Actor, Handler, Message};
use crate::call::Call;
use crate::chain::{CHAIN_LINKS_MAX, Chain};
use crate::durable::Origin;
use crate::durable::notes::Notes;
use crate::host::Host;
use crate::mailbox::Job;
use crate::submission::{Header, INLINE_LINKS_MAX};

/// A typed reference to an actor, wherever it is. Cheap to clone, and always valid: it names an actor, it does
/// not hold one.
///
/// A reference remembers where it last found the actor in this process, so a held reference calls faster than
/// one that is made for each call.
pub struct ActorRef<A: Actor> {
    host: Arc<dyn Host>,
    address: ActorAddress,
    token: Token,
    chain: Chain,
    /// When the caller's own caller stops waiting: calls made for it need not take longer.
    until: Option<Instant>,
    /// Where the doings of the durable handler that made it are noted.
    notes: Option<Arc<Notes>>,
    found: Found<A>,
}

/// Where a reference last found its actor in this process.
///
/// Reading it writes nothing that two callers share: two cores hand each such write to and fro. What is used for one
/// call only remembers nothing.
struct Found<A: Actor> {
    called: AtomicBool,
    activation: OnceLock<ArcSwap<Activation<A>>>,
}

/// An activation for as long as a call is being made.
pub(crate) enum Entry<A: Actor> {
    Remembered(Guard<Arc<Activation<A>>>),
    LookedUp(Arc<Activation<A>>),
}

impl<A: Actor> Deref for Entry<A> {
    type Target = Arc<Activation<A>>;

    fn deref(&self) -> &Arc<Activation<A>> {
        match self {
            Self::Remembered(activation) => activation,
            Self::LookedUp(activation) => activation,
        }
    }
}

impl<A: Actor> Found<A> {
    const fn nowhere() -> Self {
        Self { called: AtomicBool::new(false), activation: OnceLock::new() }
    }

    fn get(&self) -> Option<Guard<Arc<Activation<A>>>> {
        self.activation.get().map(ArcSwap::load)
    }

    /// Remembers it from the second call on.
    fn remember(&self, activation: &Arc<Activation<A>>) {
        if !self.called.load(Relaxed) {
            return self.called.store(true, Relaxed);
        }
        match self.activation.get() {
            Some(known) => known.store(Arc::clone(activation)),
            None => drop(self.activation.set(ArcSwap::new(Arc::clone(activation)))),
        }
    }
}

impl<A: Actor> Clone for Found<A> {
    fn clone(&self) -> Self {
        let clone = Self::nowhere();
        if let Some(known) = self.get() {
            clone.called.store(true, Relaxed);
            // Nobody else has the clone yet.
            drop(clone.activation.set(ArcSwap::new(Arc::clone(&known))));
        }
        clone
    }
}

impl<A: Actor> ActorRef<A> {
    /// A reference for a caller at the end of `chain`.
    pub fn new(host: Arc<dyn Host>, address: ActorAddress, chain: Chain) -> Self {
        let token = address.token();
        Self { host, address, token, chain, until: None, notes: None, found: Found::nowhere() }
    }

    /// Makes it the reference of a handler: no call of it waits longer than until then, and a durable handler's are
    /// noted.
    pub(crate) fn within(mut self, deadline: Option<Instant>, notes: Option<Arc<Notes>>) -> Self {
        self.until = deadline;
        self.notes = notes;
        self
    }

    pub(crate) const fn notes(&self) -> Option<&Arc<Notes>> {
        self.notes.as_ref()
    }

    /// The actor that is referred to.
    pub const fn address(&self) -> &ActorAddress {
        &self.address
    }

    /// A call of `message`.
    pub const fn call<M: Message>(&self, message: M) -> Call<'_, A, M>
    where
        A: Handler<M>,
    {
        Call::new(self, message)
    }

    pub(crate) const fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    pub(crate) const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Whether a call may run on the caller's stack.
    pub(crate) fn runs_inline(&self) -> bool {
        self.chain.len() < INLINE_LINKS_MAX
    }

    /// When a call that is made now ends, which is not later than the call that it is part of.
    pub(crate) fn call_deadline(&self, after: Option<Duration>) -> Instant {
        let deadline = self.deadline(after);
        self.until.map_or(deadline, |until| until.min(deadline))
    }

    /// When a message that is sent now is given up.
    pub(crate) fn deadline(&self, after: Option<Duration>) -> Instant {
        self.host.clock().now() + after.unwrap_or_else(|| self.host.default_deadline())
    }

    pub(crate) fn header(
        &self,
        method: &'static str,
        deadline: Instant,
        one_way: bool,
        key: Option<Arc<[u8]>>,
    ) -> Header {
        Header {
            address: self.address.clone(),
            token: self.token,
            method: Cow::Borrowed(method),
            deadline,
            chain: if one_way { Chain::EMPTY } else { self.chain.clone() },
            one_way,
            origin: key.map_or(Origin::Call, |key| Origin::Keyed { key }),
        }
    }

    /// Refuses a call that would wait for itself.
    pub(crate) fn check_chain(&self) -> Result<(), Failure> {
        if self.chain.is_empty() {
            return Ok(());
        }
        if let Some(cycle) = self.chain.cycle_to(&self.address) {
            return Err(Failure::new(FailureCode::Deadlock, cycle));
        }
        if self.chain.is_full() {
            let detail = format!("{CHAIN_LINKS_MAX} actors already wait for each other in this call");
            return Err(Failure::new(FailureCode::Overloaded, detail));
        }
        Ok(())
    }

    /// Enters the activation in this process, if there is one.
    pub(crate) fn enter(&self, mut make: impl FnMut() -> Box<dyn Job<A>>) -> Option<(Entry<A>, Entered<A>)> {
        if let Some(known) = self.found.get() {
            match known.enter(&mut make) {
                Entered::Closed => {}
                entered => return Some((Entry::Remembered(known), entered)),
            }
        }
        let found = self.host.directory().get(self.token, &self.address)?;
        let found = found.as_any().downcast::<Activation<A>>().ok()?;
        self.found.remember(&found);
        let entered = found.enter(make);
        Some((Entry::LookedUp(found), entered))
    }
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self {
            host: Arc::clone(&self.host),
            address: self.address.clone(),
            token: self.token,
            chain: self.chain.clone(),
            until: self.until,
            notes: self.notes.clone(),
            found: self.found.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.address)
    }
}

impl<A: Actor> PartialEq for ActorRef<A> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<A: Actor> Eq for ActorRef<A> {}
