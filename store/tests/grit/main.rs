//! Grit from outside: byte forms that never change, maps against a model, and bytes from strangers.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is a check")]

mod blobs;
mod chains;
mod golden;
mod hostile;
mod maps;
mod packs;
mod samples;
mod sizes;
