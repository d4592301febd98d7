//! Whole clusters in a small simulated world. Each test says which promise it holds.

mod failing;
mod forming;
mod large;
