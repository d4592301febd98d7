//! `#[actor]` and `#[handlers]`: an actor written as a struct and an `impl` block.
//!
//! **Problem.** A typed actor needs a message type, a handler and a reference method for each thing that it can do.
//! Written by hand that is four times the text, and the four drift apart.
//!
//! **Design.** Two attributes that know nothing of each other meet in one hidden trait, `Declared`:
//!
//! ```text
//!   #[actor] struct Counter            ──►  CounterRef            the typed reference
//!                                           __CounterMessage<N, T>  method number N with the arguments T
//!                                           impl Declared         name, options, Ref, how it is kept
//!   #[handlers] impl Counter           ──►  the block as written
//!                                           impl Message + impl Handler + CounterRef::method, for each method
//!                                           impl Actor            from Declared and the two lifecycle functions
//! ```
//!
//! The message type comes from `#[actor]` because it must be exactly as visible as the actor, which the `impl`
//! block does not show. What is wrong with one method is reported at its tokens, and everything else is generated
//! all the same, so that one mistake yields one error.
//!
//! **Deliberately absent.** Generic actors and generic handlers: a type has one name in the cluster, and a message
//! one shape on the wire.

mod actor;
mod arguments;
mod expansion;
mod handlers;
mod method;
mod tokens;

use proc_macro::TokenStream;

/// Declares a struct or an enum as the state of an actor, and defines its typed reference: `Counter` gets a
/// `CounterRef`. The actor's abilities follow in an `impl` block with [`macro@handlers`].
///
/// ```text
/// #[actor]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter { value: u64 }
/// ```
///
/// The actor is durable: an answer leaves when what it tells of is on the disks of a majority. Its fields are kept
/// with serde, by name: one that a later build adds starts with what `Default` says, one that it drops is ignored.
/// `Map`, `List`, `Value` and `Blob` fields are kept by difference, and may be of any size.
///
/// * `volatile`: the state is in memory only, and starts anew when the actor moves.
/// * `name = "counter"`: the type's name in addresses. Default: the struct's name in snake case.
/// * `idle_after = "60s"`: how long it stays in memory after its last message; units `s`, `m`, `h`. Default `5m`.
/// * `mailbox_capacity = 100`: how many messages may wait. Default 1000.
/// * `crate = path`: where the actor crate is found. Default `::gritmesh::actor`.
#[proc_macro_attribute]
pub fn actor(arguments: TokenStream, item: TokenStream) -> TokenStream {
    actor::expand(arguments.into(), item.into()).into()
}

/// Makes every method of an `impl` block a handler, and gives the actor's reference a method of the same name.
/// An actor has exactly one such block.
///
/// ```text
/// #[handlers]
/// impl Counter {
///     async fn add(&mut self, n: u64, ctx: &mut Context<'_>) -> Result<u64, CounterError> { .. }
///     #[query]
///     fn get(&self) -> u64 { self.value }
/// }
/// ```
///
/// * Arguments and answers travel, so they own what they hold and are serde types. `&mut Context<'_>` may be
///   asked for in any place and is not an argument.
/// * `Result<T, E>` is an answer `T` or the refusal `E`; any other return type is an answer that never fails.
/// * `#[query]` marks a method that takes `&self` and only reads.
/// * `async fn activate(ctx: &mut Context<'_>) -> Result<Self, ActivationError>` brings a volatile actor into memory
///   (default: `Default::default()`), `async fn deactivate(&mut self, ctx: &mut Context<'_>)` sees it off.
/// * Functions without `self` and constants stay what they are. Private methods belong into another block.
/// * `#[handlers(crate = path)]`: where the actor crate is found. Default `::gritmesh::actor`.
#[proc_macro_attribute]
pub fn handlers(arguments: TokenStream, item: TokenStream) -> TokenStream {
    handlers::expand(arguments.into(), item.into()).into()
}
