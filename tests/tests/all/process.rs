//! Real processes of the built programs: started, asked over their ports, signalled by their own id, and ended when
//! the test lets go of them.
//!
//! Nothing sleeps and hopes: whatever is awaited is polled for until a deadline, which is reached only in failure.

mod cluster;
mod lines;
mod ports;
mod program;
mod web;

use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) use cluster::{Cluster, Node};
pub(crate) use lines::{Finished, Process, finish};
pub(crate) use ports::Ports;
pub(crate) use program::{example, gritmesh};
pub(crate) use web::Web;

/// For what should take a second or two. A loaded machine takes longer, and only failure reaches the end of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Waits until `look` finds something, for [`PATIENCE`].
#[track_caller]
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// Waits until `look` finds something. Panics with what was awaited when the time is over.
#[track_caller]
pub(crate) fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "within {limit:?} this did not happen: {what}");
        sleep(LOOK_PERIOD);
    }
}

/// Waits until two things are equal, for [`PATIENCE`], and shows how they differ if they never are.
#[track_caller]
pub(crate) fn until_equal<T: PartialEq + Debug>(expected: &T, mut look: impl FnMut() -> T) {
    let start = Instant::now();
    loop {
        let found = look();
        if found == *expected {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "still {found:?} instead of {expected:?}");
        sleep(LOOK_PERIOD);
    }
}
