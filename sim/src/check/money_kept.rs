//! Money is neither made nor lost: every transfer that left one vault has arrived once in the other, and the balances
//! add up.

use std::collections::BTreeMap;

use super::Found;
use crate::history::{Action, Fate, History, Left, Remains, VaultLeft};

const CODE: &str = "money_kept";

pub(crate) fn check(history: &History, found: Found<'_>) {
    let Some(remains) = &history.remains else { return };
    // Without every vault nothing adds up; that one could not be asked is a finding of its own.
    let asked = |operation: &crate::history::Operation| remains.actors.contains_key(&operation.actor);
    if !history.operations.iter().all(asked) {
        return;
    }
    transfers(history, remains, found);
    balances(history, remains, found);
}

fn ran(remains: &Remains, actor: &str, number: u64) -> u32 {
    remains.actors.get(actor).and_then(|left| left.ran.get(&number)).copied().unwrap_or(0)
}

fn vault<'a>(remains: &'a Remains, actor: &str) -> Option<&'a VaultLeft> {
    remains.actors.get(actor)?.vault.as_ref()
}

/// What left one vault arrived in the other.
fn transfers(history: &History, remains: &Remains, found: Found<'_>) {
    for (number, operation, fate) in history.judged() {
        let actor = &operation.actor;
        let here = ran(remains, actor, number);
        match &operation.action {
            Action::Transfer { to, amount } => {
                let there =
                    vault(remains, to).and_then(|vault| vault.credited.get(&number)).copied().unwrap_or(0);
                if here != there {
                    let detail = format!(
                        "transfer {number} of {amount} left {actor} {here} times and arrived in {to} {there} times"
                    );
                    found(CODE, remains.at, detail);
                }
            }
            Action::Pull { from, amount } => {
                let there =
                    vault(remains, from).and_then(|vault| vault.drawn.get(&number)).copied().unwrap_or(0);
                // A pull that failed half way is what its client was told; one that was answered is whole.
                let half = there < here || matches!(fate, Fate::Done { .. }) && there != here;
                if half || there > 1 {
                    let detail = format!(
                        "pull {number} of {amount} left {from} {there} times and arrived in {actor} {here} times"
                    );
                    found(CODE, remains.at, detail);
                }
            }
            _ => {}
        }
    }
}

/// Each balance is what the vault's own entries add up to, and all of them are what came in from outside.
fn balances(history: &History, remains: &Remains, found: Found<'_>) {
    let amount =
        |number: u64| match history.operations.get(number as usize).map(|operation| &operation.action) {
            Some(Action::Deposit { amount } | Action::Pull { amount, .. }) => i128::from(*amount),
            Some(Action::Withdraw { amount } | Action::Transfer { amount, .. }) => -i128::from(*amount),
            _ => 0,
        };
    let sum = |entries: &BTreeMap<u64, u32>, sign: i128| {
        entries.iter().map(|(number, times)| sign * amount(*number) * i128::from(*times)).sum::<i128>()
    };
    let (mut held, mut expected) = (0, 0);
    for (actor, left) in &remains.actors {
        let Left { ran, vault: Some(vault), .. } = left else { continue };
        // A transfer counts against its sender, so it is turned round where it arrives; a pull the same.
        let entries = sum(ran, 1) + sum(&vault.credited, -1) + sum(&vault.drawn, -1);
        if entries != i128::from(vault.balance) {
            let detail = format!("{actor} holds {}, but its entries add up to {entries}", vault.balance);
            found(CODE, remains.at, detail);
        }
        held += i128::from(vault.balance);
        expected += entries;
    }
    let on_the_way = on_the_way(history, remains);
    let outside = outside(history, remains);
    if held == expected && held + on_the_way != outside {
        let detail = format!(
            "the vaults hold {held} and {on_the_way} was given up half way, but {outside} came in from outside"
        );
        found(CODE, remains.at, detail);
    }
}

/// What was deposited and not withdrawn.
fn outside(history: &History, remains: &Remains) -> i128 {
    let mut outside = 0;
    for (number, operation) in history.operations.iter().enumerate() {
        let times = i128::from(ran(remains, &operation.actor, number as u64));
        match operation.action {
            Action::Deposit { amount } => outside += times * i128::from(amount),
            Action::Withdraw { amount } => outside -= times * i128::from(amount),
            _ => {}
        }
    }
    outside
}

/// What pulls took out that were given up before they put it in.
fn on_the_way(history: &History, remains: &Remains) -> i128 {
    let mut lost = 0;
    for (number, operation) in history.operations.iter().enumerate() {
        let Action::Pull { from, amount } = &operation.action else { continue };
        let number = number as u64;
        let out = vault(remains, from).and_then(|vault| vault.drawn.get(&number)).copied().unwrap_or(0);
        let put = ran(remains, &operation.actor, number);
        lost += (i128::from(out) - i128::from(put)) * i128::from(*amount);
    }
    lost
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::FailureCode;

    use super::super::testing::Story;
    use super::*;

    /// 10 in v0, of which 4 are sent to v1, which pulls 1 more.
    fn bank() -> (Story, [u64; 3]) {
        let mut story = Story::new();
        let deposit = story.done("v0", Action::Deposit { amount: 10 }, 0, 1, 10);
        let transfer = story.done("v0", Action::Transfer { to: "v1".into(), amount: 4 }, 2, 3, 6);
        let pull = story.done("v1", Action::Pull { from: "v0".into(), amount: 1 }, 4, 5, 5);
        story.ran("v0", deposit, 1);
        story.ran("v0", transfer, 1);
        story.ran("v1", pull, 1);
        story.left("v0").vault =
            Some(VaultLeft { balance: 5, drawn: [(pull, 1)].into(), ..VaultLeft::default() });
        story.left("v1").vault =
            Some(VaultLeft { balance: 5, credited: [(transfer, 1)].into(), ..VaultLeft::default() });
        (story, [deposit, transfer, pull])
    }

    fn of<'a>(story: &'a mut Story, actor: &str) -> &'a mut VaultLeft {
        story.left(actor).vault.as_mut().unwrap()
    }

    #[test]
    fn what_adds_up_is_clean() {
        bank().0.is_clean(check);
    }

    #[test]
    fn a_transfer_that_arrived_twice_or_not_is_found() {
        for (times, balance) in [(2, 9), (0, 1)] {
            let (mut story, [_, transfer, _]) = bank();
            of(&mut story, "v1").credited.insert(transfer, times);
            of(&mut story, "v1").balance = balance;
            story.is_broken(check, &format!("left v0 1 times and arrived in v1 {times} times"));
            story.is_broken(check, "came in from outside");
        }
    }

    #[test]
    fn a_balance_of_nothing_is_found() {
        let (mut story, _) = bank();
        of(&mut story, "v0").balance = 6;
        story.is_broken(check, "v0 holds 6, but its entries add up to 5");
    }

    #[test]
    fn a_pull_may_be_given_up_half_way_unless_it_was_answered() {
        let (mut story, _) = bank();
        let given_up = Action::Pull { from: "v0".into(), amount: 2 };
        let given_up = story.failed("v1", given_up, 6, 7, FailureCode::Unknown);
        of(&mut story, "v0").drawn.insert(given_up, 1);
        of(&mut story, "v0").balance = 3;
        story.is_clean(check);
        story.call(given_up, 8, 9, Ok(7));
        story.is_broken(check, "pull 3 of 2 left v0 1 times and arrived in v1 0 times");
    }

    #[test]
    fn a_pull_that_took_twice_is_found() {
        let (mut story, [_, _, pull]) = bank();
        of(&mut story, "v0").drawn.insert(pull, 2);
        of(&mut story, "v0").balance = 4;
        story.is_broken(check, "left v0 2 times");
    }
}
