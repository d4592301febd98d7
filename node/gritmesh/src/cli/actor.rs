//! `actor`: actors in memory, and the histories of durable ones.

mod letters;

use std::time::{Duration, UNIX_EPOCH};

use gritmesh_core::{HistoryStatus, StateStatus, StepStatus};
use gritmesh_runtime::ActorAddress;
use serde_json::{Value, json};

use super::arguments::{
    ActorArguments, ActorVerb, LogArguments, PauseArguments, ShowArguments, SubjectArguments, VerifyArguments,
};
use super::cluster::read;
use super::output::{Failed, Output, cell};
use super::printable::{one_row, printable_json};
use crate::ask::{Ask, Refusal, encoded};

/// Steps that are asked for at once; a node lists no more.
const PAGE_STEPS: usize = 1000;

/// How far back a step is looked for by the beginning of its id.
const SEARCH_STEPS: usize = 100_000;

/// Digits of a step's id in tables.
const ID_DIGITS: usize = 12;
const ID_DIGITS_ALL: usize = 64;

/// How long a proof may take: as long as the node may.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(11 * 60);

pub(super) fn run(verb: &ActorVerb, output: &Output) -> Result<(), Failed> {
    match verb {
        ActorVerb::Ls(arguments) => actors(arguments, output),
        ActorVerb::Log(arguments) => log(arguments, output),
        ActorVerb::Show(arguments) => show(arguments, output),
        ActorVerb::Verify(arguments) => verify(arguments, output),
        ActorVerb::Pause(arguments) => pause(arguments, output),
        ActorVerb::Resume(arguments) => resume(arguments, output),
        ActorVerb::Letters(verb) => letters::run(verb, output),
        ActorVerb::Outbox(arguments) => outbox(arguments, output),
    }
}

fn log(arguments: &LogArguments, output: &Output) -> Result<(), Failed> {
    let (ask, address) = asked(&arguments.subject)?;
    let first = match &arguments.from {
        Some(step) => Some(find_step(&ask, &address, step)?),
        None => None,
    };
    let mut steps: Vec<(Value, StepStatus)> = Vec::new();
    let mut pages = Pages { ask: &ask, address: &address, next: Some(first) };
    while steps.len() < arguments.limit {
        let Some(page) = pages.next(arguments.limit - steps.len())? else { break };
        steps.extend(page);
    }
    if output.is_json() {
        output.json(&steps.into_iter().map(|(value, _)| value).collect());
        return Ok(());
    }
    let row = |(_, step): &(Value, StepStatus)| {
        let from =
            step.from.as_ref().zip(step.sequence).map(|(from, sequence)| format!("{from} #{sequence}"));
        [
            step.number.to_string(),
            short(&step.id).to_owned(),
            time(step.time_unix_ms),
            step.method.clone(),
            from.unwrap_or_else(|| "-".into()),
            step.bytes.to_string(),
            step.sent.to_string(),
        ]
    };
    let header = ["step", "id", "time", "method", "from", "bytes", "sent"];
    output.table(header, steps.iter().map(row).collect());
    Ok(())
}

/// A log in parts, newest first.
struct Pages<'a> {
    ask: &'a Ask,
    address: &'a ActorAddress,
    /// Where the next part begins, `None` within for the newest step; `None` at the end.
    next: Option<Option<String>>,
}

impl Pages<'_> {
    fn next(&mut self, limit: usize) -> Result<Option<Vec<(Value, StepStatus)>>, Refusal> {
        let Some(from) = self.next.take() else { return Ok(None) };
        let from = from.map(|from| format!("&from={from}")).unwrap_or_default();
        let path = path(self.address, &format!("log?limit={}{from}", limit.min(PAGE_STEPS)));
        let (value, steps) = read::<Vec<StepStatus>>(self.ask, &path)?;
        self.next = steps.last().and_then(|step| step.previous.clone()).map(Some);
        let values = value.as_array().cloned().unwrap_or_default();
        Ok(Some(values.into_iter().zip(steps).collect()))
    }
}

/// The id of a step that is named by its number or by the beginning of its id.
fn find_step(ask: &Ask, address: &ActorAddress, named: &str) -> Result<String, Failed> {
    if named.len() == ID_DIGITS_ALL {
        return Ok(named.to_owned());
    }
    // An id may begin with digits only; as many as tables show are no number.
    let number = named.parse::<u64>().ok().filter(|_| named.len() < ID_DIGITS);
    let is_it = |step: &StepStatus| match number {
        Some(number) => step.number == number,
        None => step.id.starts_with(named),
    };
    let mut pages = Pages { ask, address, next: Some(None) };
    let mut looked_at = 0;
    while looked_at < SEARCH_STEPS {
        let Some(page) = pages.next(PAGE_STEPS)? else { break };
        looked_at += page.len();
        if let Some((_, step)) = page.into_iter().find(|(_, step)| is_it(step)) {
            return Ok(step.id);
        }
    }
    Err(Refusal::new("not_found", format!("{address} has no step {named} among its newest {looked_at}"))
        .into())
}

fn show(arguments: &ShowArguments, output: &Output) -> Result<(), Failed> {
    let (ask, address) = asked(&arguments.subject)?;
    let rest = match &arguments.step {
        Some(step) => format!("show?step={}", encoded(&find_step(&ask, &address, step)?)),
        None => "show".to_owned(),
    };
    let (value, shown) = read::<StateStatus>(&ask, &path(&address, &rest))?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    output.line(&format!(
        "actor      {address}\nstep       {}\nid         {}\nsenders    {}\nreceivers  {}",
        shown.number, shown.id, shown.senders, shown.receivers,
    ));
    for (name, entries) in &shown.collections {
        output.line(&format!("collection {}, {} entries", one_row(name), grouped(*entries)));
    }
    output.line(&format!("state      {}", printable_json(&format!("{:#}", shown.state))));
    Ok(())
}

fn verify(arguments: &VerifyArguments, output: &Output) -> Result<(), Failed> {
    let address = arguments.subject.subject.address()?;
    let ask = arguments.subject.asking.ask_within(VERIFY_TIME_MAX)?.with_tenant(address.tenant());
    let rest = arguments.limit.map_or_else(|| "verify".to_owned(), |limit| format!("verify?limit={limit}"));
    let (value, proof) = read::<HistoryStatus>(&ask, &path(&address, &rest))?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let part = if proof.whole { String::new() } else { format!(" of {}", grouped(proof.number)) };
    output.line(&format!(
        "ok: {}{part} steps, head {}, {}",
        grouped(proof.steps),
        short(&proof.head),
        size(proof.bytes),
    ));
    Ok(())
}

fn pause(arguments: &PauseArguments, output: &Output) -> Result<(), Failed> {
    let order = arguments.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let (address, answer) = give(&arguments.subject, "pause", &order)?;
    match output.is_json() {
        true => output.json(&answer),
        false => output.line(&format!("{address} is paused: {}", one_row(&cell(&answer["reason"])))),
    }
    Ok(())
}

fn resume(arguments: &SubjectArguments, output: &Output) -> Result<(), Failed> {
    let (address, answer) = give(arguments, "resume", &Value::Null)?;
    match output.is_json() {
        true => output.json(&answer),
        false => output.line(&format!("{address} goes on")),
    }
    Ok(())
}

/// Gives an order to an actor.
fn give(subject: &SubjectArguments, verb: &str, body: &Value) -> Result<(ActorAddress, Value), Failed> {
    let (ask, address) = asked(subject)?;
    let answer = match body {
        Value::Null => ask.post(&path(&address, verb), &json!({})),
        body => ask.post(&path(&address, verb), body),
    };
    Ok((address, answer?))
}

fn outbox(arguments: &SubjectArguments, output: &Output) -> Result<(), Failed> {
    let (ask, address) = asked(arguments)?;
    let value = ask.get(&path(&address, "outbox"))?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let messages = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |message: &Value| {
        let id = message["id"].as_str().map_or_else(|| "-".into(), |id| short(id).to_owned());
        let [receiver, sequence, method] =
            ["receiver", "sequence", "method"].map(|field| cell(&message[field]));
        [receiver, sequence, id, method, message["arguments"].to_string()]
    };
    output.table(["receiver", "number", "id", "method", "arguments"], messages.iter().map(row).collect());
    output.note(&format!("{} wait to be read", messages.len()));
    Ok(())
}

fn actors(arguments: &ActorArguments, output: &Output) -> Result<(), Failed> {
    let mut path = format!("/v1/actors?limit={}&all={}", arguments.limit, arguments.all);
    if let Some(actor_type) = &arguments.actor_type {
        path += &format!("&type={}", encoded(actor_type));
    }
    let value = arguments.asking.ask()?.get(&path)?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let actors = value["actors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row =
        |actor: &Value| ["address", "phase", "queued", "idle_s", "node"].map(|field| cell(&actor[field]));
    output.table(["actor", "phase", "queued", "idle s", "node"], actors.iter().map(row).collect());
    output.note(&format!("{} shown, {} in memory", actors.len(), cell(&value["total"])));
    if let Some(unreachable) = value["unreachable"].as_array().filter(|names| !names.is_empty()) {
        output.note(&format!("without an answer: {}", one_row(&cell(&Value::from(unreachable.clone())))));
    }
    Ok(())
}

/// Whom to ask about which actor.
fn asked(arguments: &SubjectArguments) -> Result<(Ask, ActorAddress), Failed> {
    let address = arguments.subject.address()?;
    Ok((arguments.asking.ask()?.with_tenant(address.tenant()), address))
}

fn path(address: &ActorAddress, rest: &str) -> String {
    format!("/v1/actors/{}/{}/{rest}", encoded(address.actor_type()), encoded(address.id()))
}

fn short(id: &str) -> &str {
    id.get(..ID_DIGITS).unwrap_or(id)
}

fn time(unix_ms: u64) -> String {
    // A clock that was far off when the step was made must not stop its being shown.
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms));
    let year_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.unwrap_or(year_9999).min(year_9999)).to_string()
}

/// A number as people read it: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")];
        cases.into_iter().for_each(|(number, text)| assert_eq!(grouped(number), text));
        let cases =
            [(1023, "1023 B"), (1024, "1.0 KiB"), (3_565_158, "3.4 MiB"), (u64::MAX, "16777216.0 TiB")];
        cases.into_iter().for_each(|(bytes, text)| assert_eq!(size(bytes), text));
    }

    #[test]
    fn times_are_shown_whatever_they_are() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(u64::MAX), "9999-12-31T23:59:59.000Z");
    }
}
