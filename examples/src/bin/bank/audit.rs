//! The books in the end: nothing is under way, nothing was lost or made, and every account holds what the answers said.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::customer::Tally;
use crate::teller::Teller;
use crate::{Bank, sum};

/// How often the books are looked at until they are at rest.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Wrong accounts that are named.
const WRONG_SHOWN: usize = 10;

/// What the books say.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) total: u128,
    /// What is wrong with them.
    pub(crate) wrong: Vec<String>,
    pub(crate) balance: bool,
}

/// Looks at the books until they balance, or there is no patience left.
pub(crate) fn audit(bank: &Bank, before: &[u128], tally: &Tally) -> Result<Books, String> {
    let deadline = Instant::now() + Duration::from_secs(bank.arguments.patience);
    let mut teller = bank.teller(0);
    loop {
        let books = look(bank, &mut teller, before, tally)?;
        if books.balance || Instant::now() > deadline {
            return Ok(books);
        }
        sleep(LOOK_PERIOD);
    }
}

fn look(bank: &Bank, teller: &mut Teller, before: &[u128], tally: &Tally) -> Result<Books, String> {
    let ids: Vec<String> = (0..bank.arguments.accounts).map(|index| bank.account(index)).collect();
    let mut under_way = 0;
    for id in &ids {
        under_way += teller.outbox(id)?;
    }
    let now: Vec<u128> = ids.iter().map(|id| worth(teller, id)).collect::<Result<_, _>>()?;
    let mut wrong = Vec::new();
    if under_way > 0 {
        wrong.push(format!("{under_way} credits are still under way"));
    }
    // Of a transfer that was given up nobody knows whether it took place.
    let expected = before.iter().zip(&tally.changes).map(|(before, change)| *before as i128 + change);
    if tally.given_up == 0 {
        let differs = ids.iter().zip(expected).zip(&now);
        let differs = differs.filter(|((_, expected), now)| *expected != **now as i128);
        let text = |((id, expected), now)| format!("{id} holds {now} instead of {expected}");
        wrong.extend(differs.take(WRONG_SHOWN).map(text));
    }
    let total = sum(&now);
    Ok(Books { total, balance: wrong.is_empty() && total == sum(before), wrong })
}

/// What an account holds: its balance, and what has no room in it.
pub(crate) fn worth(teller: &mut Teller, id: &str) -> Result<u128, String> {
    let mut value = |method| match teller.call(id, method, &[], None)?.result {
        Ok(value) => Ok(value),
        Err(refused) => Err(format!("{id} tells no {method}: {refused}")),
    };
    let (balance, held) = (value("balance")?, value("held")?);
    let held = held.as_array().into_iter().flatten();
    let amounts = held.chain([&balance]).map(|amount| amount.as_u64().map(u128::from));
    amounts.sum::<Option<u128>>().ok_or_else(|| format!("{id} holds no number"))
}
