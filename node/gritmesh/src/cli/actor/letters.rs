//! `actor letters`: messages that an actor could not read.

use gritmesh_core::LetterStatus;
use serde_json::json;

use super::{asked, give, path, time};
use crate::cli::arguments::{LetterArguments, LettersVerb, SubjectArguments};
use crate::cli::cluster::read;
use crate::cli::output::{Failed, Output};

pub(super) fn run(verb: &LettersVerb, output: &Output) -> Result<(), Failed> {
    match verb {
        LettersVerb::Ls(arguments) => list(arguments, output),
        LettersVerb::Replay(arguments) => {
            // What the handler answers, as `call` shows it.
            let (_, answer) = order(arguments, "letters/replay")?;
            output.json(&answer);
            Ok(())
        }
        LettersVerb::Drop(arguments) => {
            let (address, answer) = order(arguments, "letters/drop")?;
            let LetterArguments { sender, sequence, .. } = arguments;
            match output.is_json() {
                true => output.json(&answer),
                false => output.line(&format!("{address} never reads message {sequence} from {sender}")),
            }
            Ok(())
        }
    }
}

fn order(
    arguments: &LetterArguments,
    verb: &str,
) -> Result<(gritmesh_runtime::ActorAddress, serde_json::Value), Failed> {
    let LetterArguments { subject, sender, sequence } = arguments;
    give(subject, verb, &json!({ "sender": sender, "sequence": sequence }))
}

fn list(arguments: &SubjectArguments, output: &Output) -> Result<(), Failed> {
    let (ask, address) = asked(arguments)?;
    let (value, letters) = read::<Vec<LetterStatus>>(&ask, &path(&address, "letters"))?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let row = |letter: &LetterStatus| {
        [
            letter.sender.clone(),
            letter.sequence.to_string(),
            time(letter.time_unix_ms),
            letter.method.clone(),
            letter.code.clone(),
            letter.detail.clone(),
        ]
    };
    let header = ["sender", "number", "time", "method", "code", "detail"];
    output.table(header, letters.iter().map(row).collect());
    output.note(&format!("{} letters", letters.len()));
    Ok(())
}
