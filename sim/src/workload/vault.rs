//! A durable account.

use std::collections::BTreeMap;

use gritmesh_actor::{Context, Map, StateError, actor, handlers};
use serde::{Deserialize, Serialize};

use super::{Answer, Observer, Refusal, Witness, panic_quietly};

/// Entries that are read of a [`Map`] at once: more than a run makes.
const ENTRIES_MAX: usize = 100_000;

/// Every so many transfers, the receiver panics when it reads the credit for the first time.
const PANICS_EVERY: u64 = 16;

/// What an entry is about. Together with the number of the operation it is the entry's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// The vault was asked for the operation itself.
    Own,
    /// It was sent a transfer's money.
    Credited,
    /// Another pulled money out.
    Drawn,
}

/// Holds money, and writes down why: one half of the vaults in their plain fields, the other in a collection.
#[actor(crate = gritmesh_actor)]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Vault {
    balance: u64,
    plain: BTreeMap<(Entry, u64), u32>,
    ledger: Map<(Entry, u64), u32>,
}

/// What a vault says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) balance: u64,
    pub(crate) entries: Vec<((Entry, u64), u32)>,
}

#[handlers(crate = gritmesh_actor)]
impl Vault {
    async fn deposit(&mut self, number: u64, amount: u64, ctx: &mut Context<'_>) -> Result<Answer, Refusal> {
        self.balance += amount;
        self.note((Entry::Own, number), ctx)?;
        Ok((number, self.balance))
    }

    async fn withdraw(&mut self, number: u64, amount: u64, ctx: &mut Context<'_>) -> Result<Answer, Refusal> {
        self.note((Entry::Own, number), ctx)?;
        self.take(amount)?;
        Ok((number, self.balance))
    }

    /// Takes money out, and sends it to another vault.
    async fn transfer(
        &mut self,
        number: u64,
        to: String,
        amount: u64,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, Refusal> {
        self.note((Entry::Own, number), ctx)?;
        ctx.actor::<Self>(&to).credit(number, amount).send().await?;
        ctx.actor::<Witness>("w").hear(ctx.address().id().to_owned(), number).send().await?;
        // The messages of a handler that refuses must not leave, so it refuses last.
        self.take(amount)?;
        Ok((number, self.balance))
    }

    /// Receives what another sent.
    async fn credit(&mut self, number: u64, amount: u64, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.balance += amount;
        self.note((Entry::Credited, number), ctx)?;
        if number.is_multiple_of(PANICS_EVERY)
            && ctx.resource::<Observer>().is_some_and(|it| it.is_first(number))
        {
            panic_quietly("it has never seen such money");
        }
        Ok(())
    }

    /// Calls another vault for money, and puts it in.
    async fn pull(
        &mut self,
        number: u64,
        from: String,
        amount: u64,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, Refusal> {
        ctx.actor::<Self>(&from).draw(number, amount).await?;
        self.balance += amount;
        self.note((Entry::Own, number), ctx)?;
        Ok((number, self.balance))
    }

    /// Gives money to a vault that pulls.
    async fn draw(&mut self, number: u64, amount: u64, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.note((Entry::Drawn, number), ctx)?;
        self.take(amount)
    }

    #[query]
    fn statement(&self) -> Result<Statement, StateError> {
        let mut entries: Vec<_> = self.plain.iter().map(|(key, times)| (*key, *times)).collect();
        entries.extend(self.ledger.page(None, ENTRIES_MAX)?);
        Ok(Statement { balance: self.balance, entries })
    }
}

impl Vault {
    fn take(&mut self, amount: u64) -> Result<(), Refusal> {
        let short = Refusal::Short { balance: self.balance };
        self.balance = self.balance.checked_sub(amount).ok_or(short)?;
        Ok(())
    }

    /// Writes an entry, in one way or the other by the vault's id.
    fn note(&mut self, key: (Entry, u64), ctx: &Context<'_>) -> Result<(), StateError> {
        let in_ledger = ctx.address().id().ends_with(['1', '3', '5', '7', '9']);
        if in_ledger {
            let before = self.ledger.get(&key)?.unwrap_or(0);
            return self.ledger.insert(&key, &(before + 1));
        }
        *self.plain.entry(key).or_default() += 1;
        Ok(())
    }
}
