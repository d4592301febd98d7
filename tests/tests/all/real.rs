//! Real processes on this machine: what the simulator cannot show. Sockets, signals, files, exit codes.
//!
//! Bounds on time are generous here, and only tell a success from a hang; the figures are `./run bench`'s.

mod applications;
mod bad_requests;
mod bad_starts;
mod bank;
mod clock;
mod command_line;
mod damage;
mod demo;
mod dev;
mod draining;
mod durable;
mod failing;
mod files;
mod forming;
mod full_disk;
mod histories;
mod leaving;
mod noise;
mod outages;
mod private;
mod refusals;
mod rolling;
