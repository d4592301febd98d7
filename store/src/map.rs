//! Sorted maps in objects: the trees of cores and the mailboxes.
//!
//! **Problem.** One changed entry of a million must not cost a million. A balanced tree solves that, but its shape
//! remembers the order of the changes: equal content, different ids.
//!
//! **Design.** The entries, in the order of their keys, are cut into nodes at places that the entries themselves
//! decide (`boundary`), and the nodes of one level are the entries of the next, up to the level that has one
//! node. The shape is a pure function of the content, an edit changes only the nodes beside it and those above,
//! and two maps are compared by skipping whatever has the same id.
//!
//! **Deliberately absent.** Ordering by anything but bytes, and merges of diverged maps: a chain never forks.

mod boundary;
mod compare;
mod edit;
mod node;
mod read;
mod value;

pub use boundary::NODE_BYTES_LIMIT;
pub use compare::{Compared, Difference, compare, diff};
pub use edit::{Changes, Edited};
pub(crate) use node::check as check_node;
pub use read::{Entries, SortedMap};
pub use value::{INLINE_VALUE_BYTES_MAX, KEY_BYTES_MAX, MapKind, Value};
