//! How the state of a durable actor becomes bytes and comes back.

use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::{Failure, FailureCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError};
use crate::collections::{CollectionField, Contents};
use crate::durable::gate::Tie;
use crate::durable::{Flushed, History, STATE_BYTES_MAX};
use crate::turn::contained;

/// How an actor is kept: its plain fields as one value, its collections by difference. `#[actor]` writes it.
pub struct Keeping<A> {
    start: fn() -> A,
    encode: fn(&A) -> Result<Vec<u8>, CodecError>,
    decode: fn(&[u8]) -> Result<A, CodecError>,
    fields: fn(&mut A, &mut Fields<'_>),
}

/// The state of a durable actor: what serde can write and read, and what `Default` starts with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept",
    label = "this is durable, but does not derive all of `Default`, `Serialize` and `Deserialize`",
    note = "put `#[derive(Default, serde::Serialize, serde::Deserialize)]` on `{Self}`, or make it \
            `#[actor(volatile)]`"
)]
pub trait Kept: Default + Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<A: Default + Serialize + DeserializeOwned> Kept for A {}

impl<A> Keeping<A> {
    /// Keeps a type with serde. `fields` hands each collection field to [`Fields::collection`].
    pub const fn of(fields: fn(&mut A, &mut Fields<'_>)) -> Self
    where
        A: Kept,
    {
        Self { start: A::default, encode: codec::encode, decode: codec::decode, fields }
    }
}

impl<A> Clone for Keeping<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Keeping<A> {}

impl<A> fmt::Debug for Keeping<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeping")
    }
}

/// Walks over the collection fields of an actor.
pub struct Fields<'a> {
    visit: &'a mut dyn FnMut(&'static str, &mut Contents) -> Result<(), Failure>,
    result: Result<(), Failure>,
}

impl Fields<'_> {
    /// A field of a type of this crate, by the name under which it is stored.
    pub fn collection(&mut self, name: &'static str, field: &mut impl CollectionField) {
        if self.result.is_ok() {
            self.result = (self.visit)(name, field.contents());
        }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

/// An actor's thread through its store, with what it takes to know whether anything changed.
pub(crate) struct Thread {
    pub(crate) history: Box<dyn History>,
    pub(crate) tie: Arc<Tie>,
    /// What an actor that was never stored starts with: it has no step until it differs from that.
    initial: Option<Vec<u8>>,
}

/// What a turn leaves to be written.
#[derive(Default)]
pub(crate) struct Saved {
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) collections: Vec<(&'static str, Flushed)>,
}

/// Why a state cannot be saved.
pub(crate) enum SaveError {
    /// It is beyond a limit; the turn is refused.
    TooLarge(Failure),
    /// The store failed; the turn did not happen.
    Store(Failure),
    /// The application's own code failed, which is a mistake in it.
    Code(String),
}

impl Thread {
    /// Reads the state as of the newest step.
    pub(crate) fn load<A>(
        keeping: &Keeping<A>,
        history: Box<dyn History>,
        tie: Arc<Tie>,
    ) -> Result<(A, Self), Failure> {
        let mut thread = Self { history, tie, initial: None };
        let state = thread.restore(keeping)?;
        if thread.history.state().is_none() {
            let encoded = contained(|| (keeping.encode)(&state).map_err(|error| error.to_string()));
            thread.initial = Some(encoded.and_then(|encoded| encoded).map_err(|reason| unreadable(&reason))?);
        }
        Ok((state, thread))
    }

    /// Reads the state again.
    pub(crate) fn restore<A>(&self, keeping: &Keeping<A>) -> Result<A, Failure> {
        let stored = self.history.state();
        let decoded = contained(|| match stored {
            Some(bytes) => (keeping.decode)(&bytes).map_err(|error| error.to_string()),
            None => Ok((keeping.start)()),
        });
        let mut state = decoded.and_then(|state| state).map_err(|reason| unreadable(&reason))?;
        visit(keeping, &mut state, &mut |name, contents| {
            contents.attach(self.history.collection(name)?);
            Ok(())
        })?;
        Ok(state)
    }

    /// What of the state differs from the newest step.
    pub(crate) fn save<A>(&mut self, keeping: &Keeping<A>, state: &mut A) -> Result<Saved, SaveError> {
        // First, since what a handler has put in place of a collection becomes one here.
        let mut collections = Vec::new();
        let flushed = visit(keeping, state, &mut |name, contents| {
            let flushed = contents.flush(|| self.history.collection(name))?;
            collections.extend(flushed.map(|flushed| (name, flushed)));
            Ok(())
        });
        flushed.map_err(SaveError::Store)?;
        let encoded = contained(|| (keeping.encode)(state).map_err(|error| error.to_string()));
        let encoded = encoded.and_then(|encoded| encoded).map_err(SaveError::Code)?;
        if encoded.len() > STATE_BYTES_MAX {
            let detail = format!(
                "the actor's plain fields have {} bytes, more than {STATE_BYTES_MAX}: move what grows into a \
                 `Map`, `List`, `Value` or `Blob`",
                encoded.len()
            );
            return Err(SaveError::TooLarge(Failure::new(FailureCode::TooLarge, detail)));
        }
        let stored = self.history.state();
        if stored.is_some() {
            self.initial = None;
        }
        let known = stored.as_deref().or(self.initial.as_deref());
        let state = (known != Some(&encoded)).then_some(encoded);
        Ok(Saved { state, collections })
    }

    /// The first failure of the store that the handler met, whatever it made of it.
    pub(crate) fn failure<A>(keeping: &Keeping<A>, state: &mut A) -> Option<Failure> {
        visit(keeping, state, &mut |_, contents| contents.take_failure().map_or(Ok(()), Err)).err()
    }
}

fn visit<A>(
    keeping: &Keeping<A>,
    state: &mut A,
    visit: &mut dyn FnMut(&'static str, &mut Contents) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut fields = Fields { visit, result: Ok(()) };
    (keeping.fields)(state, &mut fields);
    fields.result
}

fn unreadable(reason: &str) -> Failure {
    let detail = format!("its state does not fit its type: {reason}");
    Failure::new(FailureCode::ActivationFailed, detail)
}
