//! The simulated world, seen from outside: what it promises to nodes, and that it repeats itself.

mod cluster;
mod determinism;
mod disk;
mod executor;
mod faults;
mod network;
mod partitions;
mod toy;
