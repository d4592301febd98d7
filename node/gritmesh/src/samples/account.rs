use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Context, actor, handlers};

/// How long a transfer waits for the other account. Two accounts that transfer to each other at the same moment
/// wait for each other, and this is when they stop.
const DEPOSIT_TIME_MAX: Duration = Duration::from_secs(5);

/// Holds an amount in whole units.
///
/// A transfer takes from this account and then calls the other one. If that call surely did not run, the amount is
/// given back. If its outcome is not known, or the process dies in between, the amount may be gone: a
/// volatile actor has nothing to look it up in. The same transfer between durable actors will be exact.
#[actor(volatile)]
#[derive(Debug, Default)]
pub struct Account {
    balance: u64,
}

/// Why an account refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    /// There is not that much; nothing changed.
    #[error("{wanted} are wanted and {balance} are there")]
    InsufficientFunds {
        /// What is there.
        balance: u64,
        /// What was wanted.
        wanted: u64,
    },
    /// The sum does not fit into 64 bits; nothing changed.
    #[error("the account cannot hold that much")]
    Overflow,
    /// The other account cannot be named like that, or is this one; nothing changed.
    #[error("cannot transfer to `{to}`: {reason}")]
    BadReceiver {
        /// The id that was given.
        to: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The other account took nothing; the amount was given back.
    #[error("nothing was transferred: {reason}")]
    NotTransferred {
        /// What stood in the way.
        reason: String,
    },
    /// The amount was taken, and whether it arrived is not known.
    #[error("{amount} were taken, and whether they arrived is not known: {reason}")]
    Uncertain {
        /// How much.
        amount: u64,
        /// What happened.
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
        Ok(self.balance)
    }

    /// Moves `n` to the account `to` and answers with the new balance of this one.
    pub async fn transfer(&mut self, to: String, n: u64, ctx: &mut Context<'_>) -> Result<u64, AccountError> {
        let bad = |reason: String| AccountError::BadReceiver { to: to.clone(), reason };
        if to == ctx.address().id() {
            return Err(bad("it is this account".into()));
        }
        let receiver = ctx.try_actor::<Self>(&to).map_err(|error| bad(error.to_string()))?;
        self.withdraw(n)?;
        match receiver.deposit(n).deadline(DEPOSIT_TIME_MAX).await {
            Ok(_) => Ok(self.balance),
            // A refusal changed nothing there either.
            Err(error) if error.surely_not_run() || matches!(error, crate::CallError::Failed(_)) => {
                self.balance += n;
                Err(AccountError::NotTransferred { reason: error.to_string() })
            }
            Err(error) => Err(AccountError::Uncertain { amount: n, reason: error.to_string() }),
        }
    }

    /// What is there.
    #[query]
    pub fn balance(&self) -> u64 {
        self.balance
    }
}
