//! The stock binary as a person or a script uses it: real processes, signals, exit codes and what is printed.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod command_line;
mod nodes;
mod process;
mod refusals;
