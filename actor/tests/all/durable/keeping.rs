//! State as bytes: what is written, what older and newer builds make of it, and where it ends.

use gritmesh_actor::{
    Actor, CallError, List, Map, Origin, Registry, STATE_BYTES_MAX, StateError, actor, codec, handlers,
};
use gritmesh_runtime::{Failure, FailureCode};
use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, Refused, message, submit, taken, world};
use crate::host::LocalHost;
use crate::virtual_time::World;

/// What an older build wrote: a field less, and one that is gone now.
#[derive(Serialize)]
struct OldLedger {
    total: u64,
    gone: u8,
}

#[test]
fn fields_may_come_and_go() {
    let (world, host) = world();
    host.store().put_state("ledger/a", &codec::encode(&OldLedger { total: 3, gone: 1 }).unwrap());
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.add(1).await }), Ok(4));
    let head = host.store().committed("ledger/a");
    let shown = codec::to_json(head.state.as_deref().unwrap()).unwrap();
    assert_eq!(shown, serde_json::json!({ "total": 4, "text": "", "entries": null, "log": null }));
}

#[test]
fn a_state_beyond_the_limit_is_refused_and_taken_back() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    let outcomes = world.run(async move {
        (ledger.write(1_000).await, ledger.write(STATE_BYTES_MAX).await, ledger.add(1).await)
    });
    let (Ok(()), Err(CallError::AnswerLost { code, detail }), Ok(1)) = outcomes else {
        panic!("it is too large: {outcomes:?}")
    };
    assert_eq!(code, FailureCode::TooLarge);
    assert!(detail.contains("move what grows into a `Map`, `List`, `Value` or `Blob`"), "{detail}");
    let state = host.store().committed("ledger/a").state.unwrap();
    assert_eq!(codec::decode::<Ledger>(&state).unwrap().text.len(), 1_000);
    let mut read = submit(&host, "ledger/a", "write", &(STATE_BYTES_MAX,), message(1));
    assert_eq!(taken(&mut read), Some(Ok(vec![])), "the message counts as read");
}

#[test]
fn collections_can_be_put_in_the_place_of_others() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    world.run(async move {
        ledger.enter("x".into(), 1).await.unwrap();
        ledger.start_over("y".into()).await.unwrap();
    });
    host.activation("ledger/a").unwrap().undo();
    let ledger = host.actor::<Ledger>("a");
    let entries = world.run(async move {
        (ledger.entry("x".into()).await, ledger.entry("y".into()).await, ledger.lines().await)
    });
    assert_eq!(entries, (Ok(None), Ok(Some(1)), Ok(vec![])));
}

#[test]
fn a_failure_of_the_store_is_not_an_answer_of_the_handler() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    world.run(async move { ledger.enter("x".into(), 1).await }).unwrap();
    host.store().fail_reads(Some(Failure::new(FailureCode::Unknown, "a bad sector")));
    let ledger = host.actor::<Ledger>("a");
    let Err(CallError::NoAnswer { detail }) = world.run(async move { ledger.entry("x".into()).await }) else {
        panic!("it cannot be read")
    };
    assert_eq!(detail, "a bad sector");
    let mut delivered = submit(&host, "ledger/a", "enter", &("y", 1u64), message(1));
    assert_eq!(taken(&mut delivered).unwrap().unwrap_err().code, FailureCode::Unknown, "it comes again");
    host.store().fail_reads(None);
    let mut delivered = submit(&host, "ledger/a", "enter", &("y", 1u64), message(1));
    assert_eq!(taken(&mut delivered), Some(Ok(vec![])));
    let ledger = host.actor::<Ledger>("a");
    let refused: Result<Vec<String>, CallError<StateError>> = world.run(async move { ledger.lines().await });
    assert_eq!(refused.unwrap(), ["x", "y"]);
    assert_eq!(
        Refused::from(StateError::OutOfRange { index: 1, len: 1 }).to_string(),
        "1 is not below the length, 1"
    );
}

mod renamed {
    pub(super) use gritmesh_actor::Map as Table;
    pub(super) type Log = gritmesh_actor::List<String>;
}

/// Collections under other names, and in a tuple.
#[actor(crate = gritmesh_actor)]
#[derive(Serialize, Deserialize)]
struct Shapes(u64, renamed::Table<(u8, i16), char>, renamed::Log, Option<Inner>);

#[derive(Default, Serialize, Deserialize)]
struct Inner {
    misplaced: Map<u8, u8>,
}

impl Default for Shapes {
    fn default() -> Self {
        let mut table = renamed::Table::default();
        table.insert(&(1, -1), &'a').unwrap();
        Self(0, table, List::default(), None)
    }
}

#[handlers(crate = gritmesh_actor)]
impl Shapes {
    fn first(&mut self) -> Result<Option<char>, StateError> {
        self.0 += 1;
        self.2.push(&"line".to_owned())?;
        Ok(self.1.page(None, 10)?.first().map(|(_, letter)| *letter))
    }

    fn misplace(&mut self, key: u8) -> Result<(), StateError> {
        let mut misplaced = Map::default();
        misplaced.insert(&key, &key)?;
        self.3 = Some(Inner { misplaced });
        Ok(())
    }
}

#[test]
fn a_collection_is_found_whatever_it_is_called() {
    const { assert!(Shapes::DURABLE) };
    let world = World::default();
    let mut registry = Registry::new();
    registry.register::<Shapes>().unwrap();
    let host = LocalHost::new(world.clone(), world.clone(), registry);
    host.keep();
    let shapes = host.actor::<Shapes>("a");
    assert_eq!(world.run(async move { shapes.first().await }).unwrap(), Some('a'), "from the default");
    let head = host.store().committed("shapes/a");
    assert_eq!(head.collections.keys().collect::<Vec<_>>(), ["1", "2"]);
    let shapes = host.actor::<Shapes>("a");
    let Err(CallError::Panicked { detail }) = world.run(async move { shapes.misplace(1).await }) else {
        panic!("it would be lost")
    };
    assert!(detail.contains("only as a field of the durable actor itself"), "{detail}");
    let mut again = submit(&host, "shapes/a", "first", &(), Origin::Call);
    assert!(taken(&mut again).unwrap().is_ok());
}
