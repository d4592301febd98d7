//! While all nodes agree on members and table, an actor is in memory on one node at most.

use super::Found;
use crate::history::History;

pub(crate) fn check(history: &History, found: Found<'_>) {
    for (at, double) in &history.doubles {
        found("single_activation", *at, double.clone());
    }
}
