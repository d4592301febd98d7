//! Each rule of the engine, seen from outside: events go in, effects come out.

mod calls;
mod commits;
mod crashes;
mod damage;
mod detours;
mod disk;
mod handing;
mod retention;
mod stopping;
mod takeover;
mod three;
mod transfers;
mod world;
