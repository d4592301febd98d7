//! The actor types that a node hosts.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Token};

use crate::activation::{Activation, Head};
use crate::actor::{Actor, ActorOptions, Method};
use crate::any_activation::AnyActivation;
use crate::host::Host;

/// The types that a node hosts, by name.
#[derive(Clone, Default)]
pub struct Registry {
    types: BTreeMap<String, Arc<dyn ActorType>>,
    resources: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Registry {
    /// No types.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type.
    ///
    /// # Errors
    /// If its name is not a valid word, or taken, or two of its methods share a name.
    pub fn register<A: Actor>(&mut self) -> Result<(), RegistryError> {
        let name = A::TYPE;
        if ActorAddress::new(name, "x").is_err() {
            return Err(RegistryError::BadName { name: name.to_owned() });
        }
        if self.types.contains_key(name) {
            return Err(RegistryError::Taken { name: name.to_owned() });
        }
        let methods = A::methods();
        for (at, method) in methods.iter().enumerate() {
            if methods[..at].iter().any(|other| other.name() == method.name()) {
                return Err(RegistryError::TwoMethods { name: name.to_owned(), method: method.name() });
            }
        }
        let info = TypeInfo { name, options: A::options(), durable: A::DURABLE };
        self.types.insert(name.to_owned(), Arc::new(TypeOf(Arc::new(TypeEntry { info, methods }))));
        Ok(())
    }

    /// Provides something to the actors of this node: a client of another service, a connection pool, settings.
    /// Handlers find it by its type; a second one of the same type replaces the first.
    pub fn provide<T: Any + Send + Sync>(&mut self, resource: Arc<T>) {
        self.resources.insert(TypeId::of::<T>(), resource);
    }

    /// What was provided of a type.
    pub fn resource(&self, of_type: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        self.resources.get(&of_type).cloned()
    }

    /// A type by name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn ActorType>> {
        self.types.get(name)
    }

    /// The names of all types, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.types.keys()).finish()
    }
}

/// Why a type cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The name is not a word.
    #[error("`{name}` cannot name an actor type: use letters, digits, `_`, `-` and `.`")]
    BadName {
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error("two actor types are called `{name}`")]
    Taken {
        /// The name.
        name: String,
    },
    /// Two methods share a name.
    #[error("type `{name}` has two methods called `{method}`")]
    TwoMethods {
        /// The type.
        name: String,
        /// The method.
        method: &'static str,
    },
}

/// What is known of a type without its code.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo {
    /// Its name.
    pub name: &'static str,
    /// Its limits and times.
    pub options: ActorOptions,
    /// Whether its state is kept.
    pub durable: bool,
}

pub(crate) struct TypeEntry<A: Actor> {
    pub(crate) info: TypeInfo,
    pub(crate) methods: Vec<Method<A>>,
}

impl<A: Actor> TypeEntry<A> {
    pub(crate) fn method(&self, name: &str) -> Result<&Method<A>, Failure> {
        self.methods.iter().find(|method| method.name() == name).ok_or_else(|| {
            let known: Vec<&str> = self.methods.iter().map(Method::name).collect();
            let (actor_type, known) = (A::TYPE, known.join(", "));
            let detail = format!("type `{actor_type}` has no method `{name}`; it has: {known}");
            Failure::new(FailureCode::UnknownMethod, detail)
        })
    }
}

/// A registered type whose code is hidden.
pub trait ActorType: Send + Sync {
    /// What is known of it.
    fn info(&self) -> &TypeInfo;

    /// Whether it has the method and the arguments fit, without running anything.
    ///
    /// # Errors
    /// What a call would be refused with.
    fn check(&self, method: &str, arguments: &[u8]) -> Result<(), Failure>;

    /// Whether it has the method, and that only reads.
    fn is_query(&self, method: &str) -> bool;

    /// A new activation, which still has to be started.
    fn create(&self, address: ActorAddress, token: Token, host: Arc<dyn Host>) -> Arc<dyn AnyActivation>;
}

struct TypeOf<A: Actor>(Arc<TypeEntry<A>>);

impl<A: Actor> ActorType for TypeOf<A> {
    fn info(&self) -> &TypeInfo {
        &self.0.info
    }

    fn check(&self, method: &str, arguments: &[u8]) -> Result<(), Failure> {
        (self.0.method(method)?.check)(arguments)
    }

    fn is_query(&self, method: &str) -> bool {
        self.0.method(method).is_ok_and(Method::is_query)
    }

    fn create(&self, address: ActorAddress, token: Token, host: Arc<dyn Host>) -> Arc<dyn AnyActivation> {
        let now_s = host.coarse_seconds();
        Arc::new(Activation::new(Head { address, token, host, entry: Arc::clone(&self.0) }, now_s))
    }
}
