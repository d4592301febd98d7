//! A node without a network: every call finds its actor here.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gritmesh_actor::{
    Actor, ActorRef, AnyActivation, Chain, Directory, Header, History, Host, Registry, Submission, WireReply,
};
use gritmesh_runtime::{ActorAddress, Clock, Failure, FailureCode, Spawn, Token};

use crate::durable::store::Shelf;

pub(crate) struct LocalHost {
    clock: Box<dyn Clock>,
    spawn: Box<dyn Spawn>,
    registry: Registry,
    directory: Directory,
    pub(crate) default_deadline: Duration,
    random: AtomicU64,
    pub(crate) seconds: AtomicU32,
    /// Actors that left memory, in order.
    pub(crate) deactivated: Mutex<Vec<String>>,
    /// Panics, as `address: message`.
    pub(crate) panics: Mutex<Vec<String>>,
    pub(crate) activations: AtomicU64,
    /// Whether new activations may load on the thread of their caller.
    pub(crate) here: AtomicBool,
    /// What keeps durable actors, if anything does.
    store: Mutex<Option<Shelf>>,
}

impl LocalHost {
    pub(crate) fn new(
        clock: impl Clock + 'static,
        spawn: impl Spawn + 'static,
        registry: Registry,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: Box::new(clock),
            spawn: Box::new(spawn),
            registry,
            directory: Directory::new(),
            default_deadline: Duration::from_secs(30),
            random: AtomicU64::new(0),
            seconds: AtomicU32::new(0),
            deactivated: Mutex::default(),
            panics: Mutex::default(),
            activations: AtomicU64::new(0),
            here: AtomicBool::new(true),
            store: Mutex::default(),
        })
    }

    pub(crate) fn actor<A: Actor>(self: &Arc<Self>, id: &str) -> A::Ref {
        self.reference::<A>(id).into()
    }

    pub(crate) fn reference<A: Actor>(self: &Arc<Self>, id: &str) -> ActorRef<A> {
        let host: Arc<dyn Host> = Arc::<Self>::clone(self);
        ActorRef::new(host, ActorAddress::new(A::TYPE, id).unwrap(), Chain::EMPTY)
    }

    /// Gives the host a store.
    pub(crate) fn keep(&self) {
        *self.store.lock().unwrap() = Some(Shelf::default());
    }

    pub(crate) fn store(&self) -> Shelf {
        self.store.lock().unwrap().clone().expect("the host has a store")
    }

    pub(crate) fn activation(&self, address: &str) -> Option<Arc<dyn AnyActivation>> {
        let address: ActorAddress = address.parse().unwrap();
        self.directory.get(address.token(), &address)
    }

    pub(crate) fn header(&self, address: &str, method: &'static str) -> Header {
        let address: ActorAddress = address.parse().unwrap();
        Header {
            token: address.token(),
            address,
            method: method.into(),
            deadline: self.clock.now() + self.default_deadline,
            chain: Chain::EMPTY,
            one_way: false,
            origin: gritmesh_actor::Origin::Call,
        }
    }
}

impl Host for LocalHost {
    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn spawn(&self) -> &dyn Spawn {
        &*self.spawn
    }

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn submit(self: Arc<Self>, submission: Submission) {
        let Submission { header, payload } = submission;
        let Some(known) = self.registry.get(header.address.actor_type()) else {
            return payload.answer(Err(Failure::new(FailureCode::UnknownType, "no such type")));
        };
        let host: Arc<dyn Host> = Arc::<Self>::clone(&self);
        let (activation, created) = self.directory.get_or_create(header.token, &header.address, || {
            known.create(header.address.clone(), header.token, host)
        });
        payload.deliver(header, Arc::clone(&activation));
        if created {
            self.activations.fetch_add(1, Ordering::Relaxed);
            activation.start(self.here.load(Ordering::Relaxed));
        }
    }

    fn answer(&self, reply: WireReply, result: Result<Vec<u8>, Failure>) {
        match reply {
            WireReply::None | WireReply::Peer { .. } => {}
            WireReply::Local(caller) => drop(caller.send(result)),
            WireReply::Told(deliverer) => deliverer(result),
        }
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(1, Ordering::Relaxed)
    }

    fn coarse_seconds(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    fn default_deadline(&self) -> Duration {
        self.default_deadline
    }

    fn deactivated(&self, address: &ActorAddress) {
        self.deactivated.lock().unwrap().push(address.to_string());
    }

    fn panicked(&self, address: &ActorAddress, message: &str) {
        self.panics.lock().unwrap().push(format!("{address}: {message}"));
    }

    fn open(self: Arc<Self>, address: &ActorAddress, _: Token) -> Result<Box<dyn History>, Failure> {
        let nothing = || Failure::new(FailureCode::ActivationFailed, "this host keeps nothing");
        self.store.lock().unwrap().as_ref().ok_or_else(nothing)?.open(address)
    }
}
