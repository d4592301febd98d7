//! `secret new`: a secret that nobody can guess.

use serde_json::json;

use super::output::{Failed, Output};
use crate::start::{StartError, entropy};

/// 256 random bits, as hexadecimal digits.
pub(super) fn new(output: &Output) -> Result<(), Failed> {
    let bits = entropy().map_err(StartError::Entropy)?;
    let secret: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    match output.is_json() {
        true => output.json(&json!({ "secret": secret })),
        false => output.line(&secret),
    }
    Ok(())
}
