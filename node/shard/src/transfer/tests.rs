//! A replica that gets what it lacks is equal to the one it got it from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use gritmesh_actor::{Draft, Late, Origin, Outgoing, ReminderChange};
use gritmesh_runtime::{Change, Failure, FailureCode, Table};
use proptest::prelude::*;

use super::*;
use crate::scenario::{ALL, Shard, Tables, gate};
use crate::{Command, StateError};

const LIMITS: TransferLimits = TransferLimits::PRODUCTION;

fn chunk_of(
    from: &Tables,
    request: &TransferRequest,
    cursor: &Cursor,
    chunk_bytes: usize,
) -> Result<Chunk, StateError> {
    next_chunk(from, request, cursor, false, &TransferLimits { chunk_bytes, ..LIMITS })
}

/// A step with outputs of every kind, by its number.
fn step(shard: &mut Shard, of: u8, seed: u16) {
    let name = format!("tenant{}:account/{}", of % 2, of % 7);
    let mut history = shard.open(&name);
    let (kind, state) = (seed % 6, vec![seed as u8; 20 + usize::from(seed % 1_500)]);
    let mut draft = Draft { state: Some(state), ..Draft::new("set".into(), Origin::Call) };
    match kind {
        0 => {
            let to = format!("account/{}", seed % 5).parse().unwrap();
            draft.sends = vec![Outgoing { to, method: "get".into(), arguments: vec![1; 9], durable: true }];
        }
        1 => {
            draft.origin = Origin::Keyed { key: seed.to_le_bytes().as_slice().into() };
            draft.answer = Some(Ok(vec![3]));
        }
        2 => {
            let (name, method, arguments) = (format!("r{}", seed % 3), "tick".into(), Vec::new());
            let (due_unix_ms, every_ms, late) = (u64::from(seed), None, Late::Once);
            draft.reminders =
                vec![ReminderChange::Set { name, due_unix_ms, every_ms, late, method, arguments }];
        }
        3 => {
            let mut map = history.collection("map").unwrap();
            (0..seed % 300).for_each(|at| map.put(&at.to_be_bytes(), vec![seed as u8; 30]));
            (0..seed % 500).step_by(3).for_each(|at| map.remove(&at.to_be_bytes()));
            draft.collections = vec![("map", map.flush().unwrap())];
        }
        4 => {
            draft.origin =
                Origin::Message { from: "account/x".parse().unwrap(), sequence: seed.into(), id: [1; 32] };
            draft.letter = Some(Failure::new(FailureCode::BadArguments, "no"));
        }
        _ => {
            let actor = ActorKey::of(&name.parse().unwrap());
            let row = crate::PausedRow { time_unix_ms: 1, reason: "panics".into() };
            let pause = seed.is_multiple_of(4);
            let command = if pause { Command::Pause { actor, row } } else { Command::Resume { actor } };
            shard.replica.commit(&[command]);
        }
    }
    let (gate, told) = gate();
    history.commit(draft, gate);
    shard.settle();
    assert_eq!(*told.lock(), Some(Ok(())));
}

/// Brings one set of tables to the state of another; returns the keys of objects that were written.
fn transfer(from: &Tables, to: &Tables, chunk_bytes: usize) -> Result<Vec<Vec<u8>>, StateError> {
    let mut assembly = Assembly::new(ALL, LIMITS);
    let mut written = Vec::new();
    while let Some(request) = assembly.request(to)? {
        let request = TransferRequest::decode(request.encode().into())?;
        let chunk = chunk_of(from, &request, &request.cursor, chunk_bytes)?;
        let chunk = Chunk::decode(chunk.encode().into())?;
        let changes = assembly.take(chunk, to)?;
        to.write(&changes);
        written.extend(changes.into_iter().map(|change| match change {
            Change::Put { table: Table::Object, key, .. } => key,
            other => panic!("{other:?} is no object"),
        }));
    }
    to.write(&assembly.finish());
    Ok(written)
}

/// As [`transfer`], by one request for as many chunks as it covers, up to a limit.
fn stream(
    (from, to): (&Tables, &Tables),
    mut assembly: Assembly,
    chunk_bytes: usize,
    mut limit: usize,
) -> Result<(Assembly, usize), StateError> {
    let mut packs = 0;
    while let Some(request) = assembly.request(to)? {
        let mut cursor = Some(request.cursor.clone());
        while let Some(here) = cursor.take_if(|cursor| request.covers(cursor)) {
            if limit == 0 {
                return Ok((assembly, packs));
            }
            limit -= 1;
            let chunk = chunk_of(from, &request, &here, chunk_bytes)?;
            packs += chunk.items.iter().filter(|item| matches!(item, Item::Pack(_))).count();
            cursor = chunk.next.clone();
            let changes = assembly.take(chunk, to)?;
            to.write(&changes);
        }
        assert!(assembly.is_complete() || assembly.has_to_ask());
    }
    Ok((assembly, packs))
}

/// Everything but how far the log is applied, which the log's own snapshot says.
fn rows(tables: &Tables) -> BTreeMap<(Table, Vec<u8>), Vec<u8>> {
    tables.rows().into_iter().filter(|((table, _), _)| *table != Table::Group).collect()
}

fn history(steps: &[(u8, u16)], old: usize) -> (Tables, Arc<Tables>) {
    let mut shard = Shard::new();
    steps[..old].iter().for_each(|(of, seed)| step(&mut shard, *of, *seed));
    let before = shard.replica.tables.copy();
    steps[old..].iter().for_each(|(of, seed)| step(&mut shard, *of, *seed));
    (before, shard.replica.tables)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_old_state_becomes_the_new_one_by_what_it_lacks(
        steps in prop::collection::vec(any::<(u8, u16)>(), 1..60),
        old in any::<prop::sample::Index>(),
        chunk_bytes in prop_oneof![Just(1), 500..3_000_usize, Just(LIMITS.chunk_bytes)],
    ) {
        let (before, after) = history(&steps, old.index(steps.len() + 1));
        let had: BTreeSet<Vec<u8>> = rows(&before).into_keys().map(|(_, key)| key).collect();
        let written = transfer(&after, &before, chunk_bytes).unwrap();
        prop_assert_eq!(rows(&before), rows(&after));
        // Places of objects that came back are written again; packs are not.
        let packs = written.iter().filter(|key| {
            let row = &after.rows()[&(Table::Object, (*key).clone())];
            row.len() != crate::keys::ID_BYTES
        });
        for key in packs {
            prop_assert!(!had.contains(key), "a pack that was there was sent");
        }
        prop_assert!(transfer(&after, &before, chunk_bytes).unwrap().is_empty(), "nothing is lacking any more");
    }

    #[test]
    fn a_later_state_is_pulled_on_top_of_what_came_of_an_earlier_one(
        steps in prop::collection::vec(any::<(u8, u16)>(), 1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 2),
        taken in 0..40_usize,
        chunk_bytes in prop_oneof![Just(1), 500..3_000_usize],
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(steps.len() + 1)).collect();
        cuts.sort_unstable();
        let (before, middle) = history(&steps[..cuts[1]], cuts[0]);
        let (_, after) = history(&steps, 0);
        let whole = stream((&middle, &before.copy()), Assembly::new(ALL, LIMITS), chunk_bytes, usize::MAX).unwrap().1;
        let (assembly, first) = stream((&middle, &before), Assembly::new(ALL, LIMITS), chunk_bytes, taken).unwrap();
        let is_complete = assembly.is_complete();
        let scratch = before.copy();
        let all = stream((&after, &scratch), Assembly::new(ALL, LIMITS), chunk_bytes, usize::MAX).unwrap().1;
        let (assembly, rest) = stream((&after, &before), assembly.restart(), chunk_bytes, usize::MAX).unwrap();
        before.write(&assembly.finish());
        prop_assert_eq!(rows(&before), rows(&after));
        prop_assert!(rest <= all, "{} packs came, and {} would have without the first {}", rest, all, first);
        if is_complete {
            prop_assert!(rest <= all - whole, "what came was sent again: {} of {}", rest, all);
        }
    }

    #[test]
    fn changed_bytes_are_refused_or_harmless(
        at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<bool>(), known in any::<bool>(),
    ) {
        let steps: Vec<(u8, u16)> = (0..12).map(|number| (number % 3, u16::from(number) * 7)).collect();
        let (before, after) = history(&steps, if known { 6 } else { 0 });
        let mut assembly = Assembly::new(ALL, LIMITS);
        let request = assembly.request(&before).unwrap().unwrap();
        let mut asked = request.encode();
        let place = at.index(asked.len());
        asked[place] ^= flip;
        if let Ok(asked) = TransferRequest::decode(asked.into()) {
            let _ = chunk_of(&after, &asked, &asked.cursor, 4_000);
        }
        let mut bytes = chunk_of(&after, &request, &request.cursor, 4_000).unwrap().encode();
        let place = at.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= flip }
        let taken = Chunk::decode(bytes.into()).and_then(|chunk| assembly.take(chunk, &before));
        if let Ok(changes) = taken {
            before.write(&changes);
            // A place may be in another pack than the leader's, but what is there is what the id says.
            for (_, key) in before.rows().into_keys().filter(|(table, _)| *table == Table::Object) {
                let token = Token(u64::from_be_bytes(*key.first_chunk().unwrap()));
                let id = ObjectId::from_bytes(key[8..].try_into().unwrap());
                prop_assert!(crate::spare(&before, token, &id).is_ok(), "an object that is not what its id says");
            }
        }
    }
}

#[test]
fn a_window_that_is_too_small_for_all_heads_is_moved_on() {
    let mut shard = Shard::new();
    for number in 0..WINDOW_HEADS_MAX + 300 {
        shard.step(&format!("account/{number}"), b"old");
    }
    let before = shard.replica.tables.copy();
    shard.step("account/7", b"new");
    shard.step("account/another", b"new");
    let written = transfer(&shard.replica.tables, &before, LIMITS.chunk_bytes).unwrap();
    assert_eq!(rows(&before), rows(&shard.replica.tables));
    assert_eq!(written.len(), 2, "only the two packs that were lacking");
}

#[test]
fn heads_that_the_leader_does_not_know_are_gone_afterwards() {
    let mut stray = Shard::new();
    stray.step("account/stray", b"x");
    let mut shard = Shard::new();
    shard.step("account/alice", b"x");
    transfer(&shard.replica.tables, &stray.replica.tables, LIMITS.chunk_bytes).unwrap();
    let heads = |tables: &Tables| tables.rows_of(Table::Head);
    assert_eq!((heads(&stray.replica.tables), heads(&shard.replica.tables)), (1, 1));
}

#[test]
fn a_leader_that_lies_is_refused() {
    let steps: Vec<(u8, u16)> = (0..12).map(|number| (number % 3, u16::from(number) * 7)).collect();
    let (before, after) = history(&steps, 3);
    let first = Assembly::new(ALL, LIMITS).request(&before).unwrap().unwrap();
    let chunk = chunk_of(&after, &first, &first.cursor, LIMITS.chunk_bytes).unwrap();
    let refused = |items: Vec<Item>, next: Option<Cursor>| {
        Assembly::new(ALL, LIMITS).take(Chunk { items, next }, &before).unwrap_err().to_string()
    };
    assert!(Assembly::new(ALL, LIMITS).take(chunk.clone(), &before).is_ok());
    let without = |drop: &dyn Fn(usize, &Item) -> bool| {
        let items = chunk.items.iter().enumerate().filter(|(at, item)| !drop(*at, item));
        items.map(|(_, item)| item.clone()).collect::<Vec<_>>()
    };
    // A step of a chain left out, all packs left out, heads twice, rows twice, back to where it was.
    let pack = chunk.items.iter().position(|item| matches!(item, Item::Pack(_))).unwrap();
    assert!(refused(without(&|at, _| at == pack), None).contains("history is broken"));
    assert!(refused(without(&|_, item| matches!(item, Item::Pack(_))), None).contains("missing"));
    assert!(refused([chunk.items.clone(), chunk.items.clone()].concat(), None).contains("order"));
    assert!(refused(chunk.items.clone(), Some(Cursor::first(ALL))).contains("goes on"));
    let narrow = (Token(0), Token(1));
    assert!(Assembly::new(narrow, LIMITS).take(chunk.clone(), &before).is_err(), "rows outside of the range");
    let stray = Item::Pack(Bytes::from_static(b"\x01"));
    assert!(refused(vec![stray], None).contains("not asked for"));
    assert!(Chunk::decode(vec![1; CHUNK_BYTES_LIMIT + 1].into()).is_err());
}

/// Whatever bit of a pack has flipped, its name too: who could not use what it got is told, and the pack is repaired.
#[test]
fn a_careful_leader_finds_every_damaged_pack() {
    let (empty, after) = history(&[(1, 1), (1, 2)], 0);
    let request = Assembly::new(ALL, LIMITS).request(&empty).unwrap().unwrap();
    let is_pack = |(table, _): &(Table, Vec<u8>), row: &[u8]| *table == Table::Object && row.len() > 32;
    let packs = rows(&after).into_iter().filter(|(key, row)| is_pack(key, row));
    for ((_, key), pack) in packs {
        for at in 0..pack.len() {
            let mut damaged = pack.clone();
            damaged[at] ^= 1;
            let tables = after.copy();
            tables.write(&[Change::put(Table::Object, key.clone(), damaged)]);
            let chunk = next_chunk(&tables, &request, &request.cursor, true, &LIMITS);
            assert!(chunk.is_err_and(|error| error.is_damage()), "byte {at} of {}", pack.len());
        }
    }
}
