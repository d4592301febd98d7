//! Fields of durable actors that may grow large: [`Map`], [`List`], [`Value`] and [`Blob`].
//!
//! **Problem.** The plain fields of an actor are written whole whenever one of them changes. That is right for a few
//! hundred bytes, and ruinous for a million orders.
//!
//! **Design.** A collection stays in the store and is read where it is asked for. What a handler changes is kept in
//! memory until its step is written, and then costs a few small objects, however large the rest is. All four are
//! sorted maps of bytes underneath; they differ in what they make of keys and values.
//!
//! | type | keys | good for |
//! |---|---|---|
//! | [`Map<K, V>`] | any value that [has an order](Map#keys) | lookups and ranges |
//! | [`List<T>`] | 0, 1, 2, … | what is appended and read in pages |
//! | [`Value<T>`] | pieces of one value | something big that few messages need |
//! | [`Blob`] | pieces of 64 KiB | bytes |
//!
//! A collection is a field of the actor's own struct, not of something inside it. One that was never attached to a
//! store, as in a test of the struct alone, works in memory.
//!
//! ```
//! use gritmesh_actor::{Map, StateError, actor, handlers};
//! # use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! struct Order { item: String, pieces: u32 }
//!
//! #[actor(crate = gritmesh_actor)]
//! #[derive(Default, Serialize, Deserialize)]
//! struct Shop { next: u64, orders: Map<u64, Order> }
//!
//! #[handlers(crate = gritmesh_actor)]
//! impl Shop {
//!     async fn order(&mut self, order: Order) -> Result<u64, StateError> {
//!         self.next += 1;
//!         self.orders.insert(&self.next, &order)?;
//!         Ok(self.next)
//!     }
//!
//!     #[query]
//!     fn find(&self, number: u64) -> Result<Option<Order>, StateError> {
//!         self.orders.get(&number)
//!     }
//! }
//!
//! let mut shop = Shop::default();
//! shop.orders.insert(&7, &Order { item: "tea".into(), pieces: 2 })?;
//! assert_eq!(shop.find(7)?.unwrap().pieces, 2);
//! # Ok::<(), StateError>(())
//! ```
//!
//! **Deliberately absent.** Caches and iterators that hold the store open: a page is read at once, and the handler
//! asks for the next.

mod blob;
mod contents;
mod key;
mod list;
mod map;
mod value;

pub use blob::Blob;
pub use contents::{CollectionField, Contents};
pub use list::List;
pub use map::Map;
pub use value::Value;

use gritmesh_runtime::Failure;
use serde::{Deserialize, Serialize};

use crate::codec::CodecError;

/// Why a collection did not do what it was asked. A handler may pass it on as its own error.
///
/// After a failure of the store the turn is undone whatever the handler makes of the error: nobody knows what it
/// would have done with the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StateError {
    /// The store could not read.
    #[error("the store failed: {detail}")]
    Store {
        /// How.
        detail: String,
    },
    /// A key or a value cannot be written, or what is stored is of another type.
    #[error("a key or value does not fit: {detail}")]
    Unfit {
        /// How.
        detail: String,
    },
    /// There is no such element.
    #[error("{index} is not below the length, {len}")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// How many there are.
        len: u64,
    },
}

impl From<CodecError> for StateError {
    fn from(error: CodecError) -> Self {
        Self::Unfit { detail: error.to_string() }
    }
}

impl From<Failure> for StateError {
    fn from(failure: Failure) -> Self {
        Self::Store { detail: failure.to_string() }
    }
}
