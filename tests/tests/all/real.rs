//! Real processes on this machine: what the simulator cannot show. Sockets, signals, files, exit codes.
//!
//! Bounds on time are generous here, and only tell a success from a hang; the figures are `./run bench`'s.

mod applications;
mod bad_requests;
mod bad_starts;
mod demo;
mod dev;
mod failing;
mod forming;
mod leaving;
mod noise;
mod refusals;
