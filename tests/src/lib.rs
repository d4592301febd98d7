//! Tests of the workspace as a whole live in `tests/all/`; this library is empty on purpose.

// The examples in documents, run as an application would run them.
#[cfg(doctest)]
#[doc = include_str!("../../docs/simulator.md")]
struct Simulator;
