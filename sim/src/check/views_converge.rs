//! After all faults have ended, all nodes soon see each other and every shard has a leader.

use super::Found;
use crate::history::History;

pub(crate) fn check(history: &History, found: Found<'_>) {
    if let Some((at, wrong)) = &history.not_recovered {
        found("views_converge", *at, wrong.clone());
    }
}
