//! Durable actors over a store in memory whose commits can be held back.

mod closing;
mod collections;
mod delivery;
mod gates;
mod keeping;
mod ledger;
mod outputs;
mod racing;
mod reminders;
pub(crate) mod store;
mod undoing;
