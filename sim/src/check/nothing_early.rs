//! Nothing leaves before it is committed: whatever anybody was told of a step, by a message or a credit, is a step that
//! its actor has in the end. (That answers are, is `acknowledged_kept`.)

use super::Found;
use crate::history::{Action, History};

const CODE: &str = "nothing_early";

pub(crate) fn check(history: &History, found: Found<'_>) {
    let Some(remains) = &history.remains else { return };
    let has = |actor: &str, number: u64| {
        remains.actors.get(actor).is_none_or(|left| left.ran.contains_key(&number))
    };
    for told in &history.witnessed {
        if !has(&told.actor, told.operation) {
            let detail = format!(
                "{} told an outsider of operation {}, which is not in its history",
                told.actor, told.operation
            );
            found(CODE, told.at, detail);
        }
    }
    for (actor, left) in &remains.actors {
        for number in left.vault.iter().flat_map(|vault| vault.credited.keys()) {
            let sender = history.operations.get(*number as usize);
            let sent = sender.is_some_and(|operation| {
                matches!(operation.action, Action::Transfer { .. }) && has(&operation.actor, *number)
            });
            if !sent {
                let from = sender.map_or("nobody", |operation| &operation.actor);
                let detail =
                    format!("{actor} was sent transfer {number} by {from}, whose history has it not");
                found(CODE, remains.at, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::history::{VaultLeft, Witnessed};

    fn story() -> (Story, u64) {
        let mut story = Story::new();
        let transfer = story.done("v0", Action::Transfer { to: "v1".into(), amount: 4 }, 2, 3, 6);
        let told = Witnessed { at: at(4), actor: "v0".into(), operation: transfer };
        story.history.witnessed.push(told);
        story.ran("v0", transfer, 1);
        let credited = [(transfer, 1)].into();
        story.left("v1").vault = Some(VaultLeft { balance: 4, credited, ..VaultLeft::default() });
        (story, transfer)
    }

    #[test]
    fn what_happened_may_be_told() {
        story().0.is_clean(check);
    }

    #[test]
    fn what_was_told_and_undone_is_found() {
        let (mut story, transfer) = story();
        story.left("v0").ran.remove(&transfer);
        story.is_broken(check, "v0 told an outsider of operation 0");
        story.is_broken(check, "v1 was sent transfer 0 by v0, whose history has it not");
    }
}
