//! The stock `gritmesh` binary: nodes with the sample actors, the command line to look after them, and the simulator.
//!
//! An application with actors of its own has the same command line by `gritmesh::main`. This binary is such an
//! application, and adds `sim`, which runs the same nodes in virtual time.

use std::process::ExitCode;
use std::time::Instant;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use gritmesh::cli::{App, Extra};
use gritmesh_sim::cli::{SimArgs, Surroundings};

/// What a step allocates on one thread it frees on another. With the system's allocator that was 14 % of a profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let sim = Extra { command: SimArgs::augment_args(Command::new("sim")), run: simulate };
    App::new(gritmesh::samples::register).with(sim).run(std::env::args_os())
}

fn simulate(matches: &ArgMatches) -> ExitCode {
    let arguments = match SimArgs::from_arg_matches(matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let begun = Instant::now();
    let mut around = Surroundings {
        out: &mut std::io::stdout().lock(),
        notes: &mut std::io::stderr(),
        elapsed: &|| begun.elapsed(),
    };
    match arguments.run(&mut around) {
        Ok(code) => ExitCode::from(code),
        // The reader of the output has gone: there is nobody to tell.
        Err(_) => ExitCode::from(1),
    }
}
