//! The programming model as applications and nodes use it, on a local host.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking, in the functions they share too")]

mod busy;
mod chains;
mod closing;
mod durable;
mod handwritten;
mod host;
mod inline;
mod macros;
mod misuse;
mod panics;
mod probe;
mod threads;
mod virtual_time;
mod wire;
