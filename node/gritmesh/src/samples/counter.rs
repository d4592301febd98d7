use serde::{Deserialize, Serialize};

use crate::{actor, handlers};

/// Adds up numbers. Durable: what was added stays added.
#[actor]
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter {
    total: i64,
}

/// Why a counter refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CounterError {
    /// The sum does not fit into 64 bits; the total stays as it was.
    #[error("{total} and {n} together are more than a counter holds")]
    Overflow {
        /// The total so far.
        total: i64,
        /// What was to be added.
        n: i64,
    },
}

#[handlers]
impl Counter {
    /// Adds `n`, which may be negative, and answers with the new total.
    pub fn add(&mut self, n: i64) -> Result<i64, CounterError> {
        let total = self.total.checked_add(n).ok_or(CounterError::Overflow { total: self.total, n })?;
        self.total = total;
        Ok(total)
    }

    /// The total.
    #[query]
    pub fn get(&self) -> i64 {
        self.total
    }
}
