//! `config check`: whether a node could be started with the settings.

use serde_json::json;

use super::arguments::CheckArguments;
use super::output::{Failed, Output};
use crate::address::check_addresses;
use crate::config::Layers;

pub(super) fn check(arguments: &CheckArguments, output: &Output) -> Result<(), Failed> {
    let layers = Layers::new().file(arguments.config.as_deref()).environment(std::env::vars_os());
    let settings = layers.load()?;
    check_addresses(&settings)?;
    match output.is_json() {
        true => output.json(&json!({ "ok": true })),
        false => output.line("ok: every setting is known, in its range, and of its form"),
    }
    Ok(())
}
