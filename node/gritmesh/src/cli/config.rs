//! `config check`: whether a node could be started with the settings.

use serde_json::json;

use super::arguments::CheckArguments;
use super::output::{Failed, Output};
use crate::config::Layers;

pub(super) fn check(arguments: &CheckArguments, output: &Output) -> Result<(), Failed> {
    let layers = Layers::new().file(arguments.config.as_deref()).environment(std::env::vars_os());
    layers.load()?;
    match output.is_json() {
        true => output.json(&json!({ "ok": true })),
        false => output.line("ok: every setting is known and in its range"),
    }
    Ok(())
}
