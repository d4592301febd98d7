//! What is stripped is filled again, and no bytes do harm.

use proptest::prelude::*;

use super::*;
use crate::command::{Command, Commands};
use crate::keys::ActorKey;
use crate::rows::PausedRow;
use crate::scenario::{Shard, Tables, state_draft};

/// An entry with steps of a history, as the log gets them.
fn entry() -> (Bytes, Vec<Command>) {
    let shard = Shard::new();
    let mut history = shard.open("account/alice");
    for number in 0..3_u8 {
        history.commit(state_draft(&vec![number; 40 + 1_000 * usize::from(number)]), Box::new(drop));
    }
    let mut commands: Vec<Command> =
        shard.node.queue.lock().drain(..).map(|proposal| proposal.command).collect();
    let actor = ActorKey::of(&"account/bob".parse().unwrap());
    let row = PausedRow { time_unix_ms: 5, reason: "panics".into() };
    commands.insert(1, Command::Pause { actor: actor.clone(), row });
    commands.push(Command::Forget { answers: vec![actor.with(b"\0key").into()] });
    (Commands::encode(&commands).into(), commands)
}

#[test]
fn an_entry_round_trips_with_and_without_its_packs() {
    let (entry, commands) = entry();
    assert_eq!(Commands::decode(&entry).unwrap(), commands);
    let (stub, changes) = strip(&entry).unwrap();
    assert!(stub.len() < entry.len() / 2, "{} of {}", stub.len(), entry.len());
    let bare = Commands::decode(&stub.clone().into()).unwrap();
    let without_pack = |command: &Command| match command {
        Command::Step(step) => {
            Command::Step(Box::new(crate::StepCommand { pack: Bytes::new(), ..*step.clone() }))
        }
        other => other.clone(),
    };
    assert_eq!(bare, commands.iter().map(without_pack).collect::<Vec<_>>());
    let tables = Tables::default();
    assert!(matches!(fill(&stub, &tables), Err(StateError::Damaged { missing: true, .. })));
    tables.write(&changes);
    assert_eq!(fill(&stub, &tables).unwrap(), entry);
    assert_eq!(fill(&entry, &tables).unwrap(), entry, "what is full stays so");
    assert_eq!(strip(&stub.clone().into()).unwrap(), (stub, Vec::new()), "what is bare stays so");
}

#[test]
fn an_empty_entry_is_empty() {
    assert_eq!(strip(&Bytes::new()).unwrap(), (Vec::new(), Vec::new()));
    assert!(fill(&[], &Tables::default()).unwrap().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(),
                      flip in 1..=255_u8, cut in any::<prop::sample::Index>()) {
        let (entry, _) = entry();
        let mut changed = entry.to_vec();
        changed[at.index(entry.len())] ^= flip;
        let shortened = entry.slice(..cut.index(entry.len()));
        let mut versioned = bytes.clone();
        versioned.insert(0, VERSION);
        for bytes in [Bytes::from(bytes), changed.into(), shortened, versioned.into()] {
            let _ = Commands::decode(&bytes);
            if let Ok((stub, changes)) = strip(&bytes) {
                let tables = Tables::default();
                tables.write(&changes);
                let _ = Commands::decode(&stub.clone().into());
                let _ = fill(&stub, &tables);
            }
        }
    }
}
