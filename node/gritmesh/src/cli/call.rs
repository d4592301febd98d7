//! `call` and `send`.

use std::time::Duration;

use gritmesh_actor::codec;
use gritmesh_runtime::ActorAddress;
use serde_json::Value;

use super::arguments::{CallArguments, MessageArguments, SendArguments};
use super::output::{Failed, Output};
use crate::ask::{Refusal, encoded};

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
    let ask = asking.ask_within(timeout.map_or(CALL_TIME_MAX, |timeout| timeout.saturating_add(SLACK)))?;
    let ask = ask.with_tenant(address.tenant()).with_key(key);
    let answer = ask.post(&path, &values(&message)).map_err(|refusal| explained(refusal, &message))?;
    output.json(&answer);
    Ok(())
}

pub(super) fn send(arguments: SendArguments, output: &Output) -> Result<(), Failed> {
    let SendArguments { message, delay, key, asking } = arguments;
    let address = message.subject.address()?;
    let mut path = path("send", &address, &message.method);
    if let Some(delay) = delay {
        path += &format!("?delay={}", encoded(&humantime::format_duration(delay).to_string()));
    }
    let ask = asking.ask()?.with_tenant(address.tenant()).with_key(key);
    let accepted = ask.post(&path, &values(&message)).map_err(|refusal| explained(refusal, &message))?;
    match output.is_json() {
        true => output.json(&accepted),
        false => output.line("accepted"),
    }
    Ok(())
}

pub(super) fn path(verb: &str, address: &ActorAddress, method: &str) -> String {
    format!("/v1/{verb}/{}/{}/{}", encoded(address.actor_type()), encoded(address.id()), encoded(method))
}

/// Each argument is JSON, or a text if it is none; a text as well what is a number that JSON here cannot hold.
pub(super) fn values(message: &MessageArguments) -> Value {
    message.arguments.iter().map(|text| value(text)).collect()
}

fn value(text: &str) -> Value {
    codec::read_json(text.as_bytes()).unwrap_or_else(|_| Value::from(text))
}

/// What the node numbers the arguments by, in the detail of `bad_arguments`.
const ARGUMENT: &str = "argument ";

/// Says how an argument is to be typed that was read as something else than a text, if it is the one that does not fit.
fn explained(refusal: Refusal, message: &MessageArguments) -> Failed {
    let hint = (refusal.code() == "bad_arguments").then(|| quoting(refusal.detail(), message)).flatten();
    Failed::Refused(refusal, hint)
}

fn quoting(detail: &str, message: &MessageArguments) -> Option<String> {
    let (_, rest) = detail.rsplit_once(ARGUMENT)?;
    let number: usize = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let typed = message.arguments.get(number.checked_sub(1)?)?;
    let kind = match value(typed) {
        Value::Number(_) => "a number",
        Value::Bool(_) | Value::Null => "a JSON word",
        Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(format!("`{typed}` is read as {kind}; where a text is wanted, type '\"{typed}\"'"))
}
