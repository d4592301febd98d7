use serde::{Deserialize, Serialize};

use crate::{Context, actor, handlers};

/// Holds an amount in whole units. Durable.
///
/// A transfer takes from this account and sends a credit to the other one, in the same step: both happen or neither,
/// and the credit arrives exactly once, whatever crashes in between. It is under way for a moment, in which the amount
/// is in neither balance but in the outbox of this account.
///
/// A balance has 64 bits. A deposit that does not fit is refused. A credit cannot be, since nobody waits for it any
/// more; what of it does not fit is held back, shown by `held`, and flows into the balance as soon as there is room. So
/// no amount is ever lost: balances, what is held and what is under way add up to what was deposited and not withdrawn.
#[actor]
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
    /// Credits that did not fit, added up: a second entry takes 2^64 units.
    held: Vec<u64>,
}

/// Why an account refuses. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    /// There is not that much.
    #[error("{wanted} are wanted and {balance} are there")]
    InsufficientFunds {
        /// What is there.
        balance: u64,
        /// What was wanted.
        wanted: u64,
    },
    /// The sum does not fit into 64 bits.
    #[error("the account cannot hold that much")]
    Overflow,
    /// The other account cannot be named like that, or is this one.
    #[error("cannot transfer to `{to}`: {reason}")]
    BadReceiver {
        /// The id that was given.
        to: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The credit could not be sent.
    #[error("nothing was transferred: {reason}")]
    NotTransferred {
        /// What stood in the way.
        reason: String,
    },
}

#[handlers]
impl Account {
    /// Puts `n` in and answers with the new balance.
    pub fn deposit(&mut self, n: u64) -> Result<u64, AccountError> {
        self.balance = self.balance.checked_add(n).ok_or(AccountError::Overflow)?;
        Ok(self.balance)
    }

    /// Takes `n` out and answers with the new balance.
    pub fn withdraw(&mut self, n: u64) -> Result<u64, AccountError> {
        let left = self.balance.checked_sub(n);
        self.balance = left.ok_or(AccountError::InsufficientFunds { balance: self.balance, wanted: n })?;
        self.let_in();
        Ok(self.balance)
    }

    /// Moves `n` to the account `to` and answers with the new balance of this one.
    pub async fn transfer(&mut self, to: String, n: u64, ctx: &mut Context<'_>) -> Result<u64, AccountError> {
        let bad = |reason: String| AccountError::BadReceiver { to: to.clone(), reason };
        if to == ctx.address().id() {
            return Err(bad("it is this account".into()));
        }
        let receiver = ctx.try_actor::<Self>(&to).map_err(|error| bad(error.to_string()))?;
        let balance = self.withdraw(n)?;
        let sent = receiver.credit(n).send().await;
        sent.map_err(|error| AccountError::NotTransferred { reason: error.to_string() })?;
        Ok(balance)
    }

    /// Takes what another account has sent.
    pub fn credit(&mut self, n: u64) {
        let last = self.held.last_mut();
        let fits = last.map_or(0, |last| {
            let fits = n.min(u64::MAX - *last);
            *last += fits;
            fits
        });
        if n > fits {
            self.held.push(n - fits);
        }
        self.let_in();
    }

    /// What is there.
    #[query]
    pub fn balance(&self) -> u64 {
        self.balance
    }

    /// Amounts that are the account's own and for which the balance has no room.
    #[query]
    pub fn held(&self) -> Vec<u64> {
        self.held.clone()
    }
}

impl Account {
    /// Fills the balance from what is held back.
    fn let_in(&mut self) {
        while let Some(last) = self.held.pop() {
            let room = u64::MAX - self.balance;
            self.balance += last.min(room);
            if last > room {
                self.held.push(last - room);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(account: &Account) -> u128 {
        account.held.iter().fold(u128::from(account.balance), |sum, held| sum + u128::from(*held))
    }

    #[test]
    fn what_does_not_fit_is_held_and_comes_in_later() {
        let mut account = Account::default();
        assert_eq!(account.deposit(u64::MAX - 5), Ok(u64::MAX - 5));
        assert_eq!(account.deposit(6), Err(AccountError::Overflow));
        account.credit(8);
        assert_eq!((account.balance(), account.held()), (u64::MAX, vec![3]));
        account.credit(u64::MAX);
        account.credit(7);
        assert_eq!(whole(&account), u128::from(u64::MAX) * 2 + 10);
        assert_eq!(account.withdraw(2), Ok(u64::MAX), "what was held takes the place");
        assert_eq!(whole(&account), u128::from(u64::MAX) * 2 + 8);
        assert!(account.held().len() <= 2, "{:?}", account.held());
        while !account.held().is_empty() {
            account.withdraw(u64::MAX).unwrap();
        }
        assert_eq!(whole(&account), u128::from(account.balance()));
    }

    #[test]
    fn an_overdraft_is_refused() {
        let mut account = Account::default();
        account.credit(3);
        assert_eq!(account.withdraw(4), Err(AccountError::InsufficientFunds { balance: 3, wanted: 4 }));
        assert_eq!((account.balance(), account.withdraw(3)), (3, Ok(0)));
    }
}
