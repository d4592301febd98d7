//! The tests of the workspace as a whole, in one binary: linking once is cheaper than linking per topic.
//!
//! * `tidy`: rules about the source that no compiler holds
//! * `docs`: what the documents say can be typed, exists and works
//! * `conformance`: what a network promises, over sockets and in the simulator
//! * `real`: real processes, with signals, ports and files

#![expect(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

mod conformance;
mod docs;
mod process;
mod real;
mod tidy;
mod tree;
