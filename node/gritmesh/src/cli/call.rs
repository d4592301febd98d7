//! `call` and `send`.

use std::time::Duration;

use gritmesh_runtime::ActorAddress;
use serde_json::Value;

use super::arguments::{CallArguments, MessageArguments, SendArguments};
use super::output::{Failed, Output};
use crate::ask::encoded;

/// What an answer may take beyond the call's own time before the node itself is given up.
const SLACK: Duration = Duration::from_secs(5);

/// How long to wait for a call that has the node's own time-out, which is not known here.
const CALL_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn call(arguments: CallArguments, output: &Output) -> Result<(), Failed> {
    let CallArguments { message, timeout, key, asking } = arguments;
    let address = message.subject.address()?;
    let mut path = path("call", &address, &message.method);
    if let Some(timeout) = timeout {
        path += &format!("?timeout={}", encoded(&humantime::format_duration(timeout).to_string()));
    }
    let ask = asking
        .ask_within(timeout.map_or(CALL_TIME_MAX, |timeout| timeout + SLACK))
        .with_tenant(address.tenant())
        .with_key(key);
    let answer = ask.post(&path, &values(&message))?;
    output.json(&answer);
    Ok(())
}

pub(super) fn send(arguments: SendArguments, output: &Output) -> Result<(), Failed> {
    let SendArguments { message, delay, asking } = arguments;
    let address = message.subject.address()?;
    let mut path = path("send", &address, &message.method);
    if let Some(delay) = delay {
        path += &format!("?delay={}", encoded(&humantime::format_duration(delay).to_string()));
    }
    let ask = asking.ask().with_tenant(address.tenant());
    let accepted = ask.post(&path, &values(&message))?;
    match output.is_json() {
        true => output.json(&accepted),
        false => output.line("accepted"),
    }
    Ok(())
}

pub(super) fn path(verb: &str, address: &ActorAddress, method: &str) -> String {
    format!("/v1/{verb}/{}/{}/{}", encoded(address.actor_type()), encoded(address.id()), encoded(method))
}

/// Each argument is JSON, or a text if it is none.
pub(super) fn values(message: &MessageArguments) -> Value {
    let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
    message.arguments.iter().map(value).collect()
}
