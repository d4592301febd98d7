use serde_json::Value;

use crate::{actor, handlers};

/// Answers what it is told.
#[actor(volatile)]
#[derive(Debug, Default)]
pub struct Echo;

#[handlers]
impl Echo {
    /// Answers with any JSON value that is handed in.
    #[query]
    pub fn echo(&self, x: Value) -> Value {
        x
    }
}
