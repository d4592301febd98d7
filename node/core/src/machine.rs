//! What all protocols look like to the driver.

use gritmesh_runtime::Instant;

/// A protocol as a synchronous value: events and the time go in, effects come out in order.
///
/// A machine has no clock, no randomness but what it was given at birth, no threads and no I/O, so a run of it
/// can be repeated exactly.
pub(crate) trait Machine: Send {
    /// What happens to it.
    type Event: Send;
    /// What it wants done.
    type Effect: Send;

    /// Takes one event.
    fn handle(&mut self, now: Instant, event: Self::Event, out: &mut Vec<Self::Effect>);

    /// Called once after the events of a batch: what is better done for all of them together.
    fn flush(&mut self, _now: Instant, _out: &mut Vec<Self::Effect>) {}

    /// When it next wants to hear of the time, if nothing else happens.
    fn next_deadline(&self) -> Option<Instant>;

    /// The event that tells it of the time.
    fn tick() -> Self::Event;
}
