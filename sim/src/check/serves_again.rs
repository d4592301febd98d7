//! After all faults have ended, every actor answers through every node.

use super::Found;
use crate::history::History;

pub(crate) fn check(history: &History, found: Found<'_>) {
    for (at, wrong) in &history.not_served {
        found("serves_again", *at, wrong.clone());
    }
}
