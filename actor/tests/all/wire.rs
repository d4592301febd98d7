//! Calls that came as bytes.

use std::sync::Arc;

use futures::channel::oneshot;
use gritmesh_actor::codec;
use gritmesh_actor::{DynamicPayload, Host, Submission, WireReply};
use gritmesh_runtime::{Failure, FailureCode};
use proptest::prelude::*;

use crate::host::LocalHost;
use crate::probe::{Odd, Probe, world};

type Answer = oneshot::Receiver<Result<Vec<u8>, Failure>>;

fn submit(host: &Arc<LocalHost>, address: &str, method: &'static str, arguments: Vec<u8>) -> Answer {
    let (sender, answer) = oneshot::channel();
    let host: Arc<LocalHost> = Arc::clone(host);
    let payload =
        DynamicPayload::new(arguments, WireReply::Local(sender), Arc::clone(&host) as Arc<dyn Host>);
    let header = host.header(address, method);
    host.submit(Submission { header, payload: Box::new(payload) });
    answer
}

fn call(host: &Arc<LocalHost>, method: &'static str, json: &str) -> Result<serde_json::Value, Failure> {
    let arguments = codec::arguments_from_json(json.as_bytes()).unwrap();
    let mut answer = submit(host, "probe/a", method, arguments);
    let answer = answer.try_recv().unwrap().expect("an idle actor answers at once");
    answer.map(|bytes| codec::to_json(&bytes).unwrap())
}

#[test]
fn arguments_and_answers_are_values() {
    let (_, host) = world();
    assert_eq!(call(&host, "note", "7").unwrap(), serde_json::Value::Null);
    assert_eq!(call(&host, "note", "[8]").unwrap(), serde_json::Value::Null);
    assert_eq!(call(&host, "seen", "").unwrap(), serde_json::json!([7, 8]));
    assert_eq!(call(&host, "only_even", "6").unwrap(), 3);
}

#[test]
fn a_refusal_crosses_with_its_data() {
    let (_, host) = world();
    let failure = call(&host, "only_even", "7").unwrap_err();
    assert_eq!((failure.code, failure.detail.as_str()), (FailureCode::ActorError, "7 is odd"));
    assert_eq!(codec::decode::<Odd>(&failure.data).unwrap(), Odd { number: 7 });
}

#[test]
fn what_does_not_fit_is_named_and_leaves_no_trace() {
    let (_, host) = world();
    let failure = call(&host, "erase", "1").unwrap_err();
    assert_eq!(failure.code, FailureCode::UnknownMethod);
    assert_eq!(
        failure.detail,
        "type `probe` has no method `erase`; it has: note, slow, only_even, panic_after, relay, pass_on, seen"
    );
    assert!(host.activation("probe/a").is_none());
    for (method, json) in
        [("note", "[]"), ("note", "[1, 2]"), ("note", "\"one\""), ("seen", "[1]"), ("note", "-1")]
    {
        let failure = call(&host, method, json).unwrap_err();
        assert_eq!(failure.code, FailureCode::BadArguments, "{method}({json})");
        assert!(failure.detail.starts_with("the arguments of `probe::"), "{}", failure.detail);
        assert!(host.activation("probe/a").is_none());
    }
}

#[test]
fn panics_of_foreign_code_stay_with_the_call() {
    let (_, host) = world();
    let mut answer = submit(&host, "holder/a", "hold", codec::encode(&(666u64,)).unwrap());
    let failure = answer.try_recv().unwrap().unwrap().unwrap_err();
    assert_eq!(failure.code, FailureCode::BadArguments);
    assert!(failure.detail.ends_with("a bad number"), "{}", failure.detail);
    let failure = call(&host, "panic_after", "0").unwrap_err();
    assert_eq!((failure.code, failure.detail.as_str()), (FailureCode::Panicked, "a bug"));
}

#[test]
fn a_typed_caller_reads_what_came_from_another_node() {
    let (world, host) = world();
    // A host that relays, as the node does for an actor elsewhere.
    let relay = |result: Result<Vec<u8>, Failure>| {
        let world = world.clone();
        let elsewhere = elsewhere::Elsewhere::new(Arc::clone(&host), result);
        let probe = elsewhere.actor::<Probe>("b");
        world.run(async move { probe.only_even(4).await })
    };
    assert_eq!(relay(Ok(codec::encode(&21u64).unwrap())), Ok(21));
    let data = codec::encode(&Odd { number: 9 }).unwrap();
    let refusal = Failure { data, ..Failure::new(FailureCode::ActorError, "9 is odd") };
    assert_eq!(relay(Err(refusal)), Err(gritmesh_actor::CallError::Failed(Odd { number: 9 })));
    let codes = FailureCode::ALL.into_iter().filter(|code| *code != FailureCode::ActorError);
    for code in codes {
        let error = relay(Err(Failure::new(code, "why"))).unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(error.surely_not_run(), code.surely_not_run());
        assert!(error.to_string().contains("why"));
    }
    for garbage in [vec![], vec![0xc1], codec::encode("text").unwrap()] {
        let unread = relay(Ok(garbage.clone())).unwrap_err();
        assert_eq!(unread.code(), FailureCode::BadAnswer);
        let unread = relay(Err(Failure { data: garbage, ..Failure::new(FailureCode::ActorError, "") }));
        assert_eq!(unread.unwrap_err().code(), FailureCode::BadAnswer);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(arguments in prop::collection::vec(any::<u8>(), 0..64), method in 0usize..7) {
        let (_, host) = world();
        let method = ["note", "slow", "only_even", "relay", "pass_on", "seen", "hold"][method];
        let address = if method == "hold" { "holder/a" } else { "probe/a" };
        drop(submit(&host, address, method, arguments));
        prop_assert!(host.panics.lock().unwrap().is_empty());
    }
}

mod elsewhere {
    //! A host whose every call is answered from afar with the same bytes.

    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use gritmesh_actor::{Actor, ActorRef, Chain, Directory, Host, Submission, WireReply};
    use gritmesh_runtime::{ActorAddress, Clock, Failure, Spawn};

    use crate::host::LocalHost;

    pub(super) struct Elsewhere {
        near: Arc<LocalHost>,
        empty: Directory,
        result: Mutex<Option<Result<Vec<u8>, Failure>>>,
    }

    impl Elsewhere {
        pub(super) fn new(near: Arc<LocalHost>, result: Result<Vec<u8>, Failure>) -> Arc<Self> {
            Arc::new(Self { near, empty: Directory::new(), result: Mutex::new(Some(result)) })
        }

        pub(super) fn actor<A: Actor>(self: &Arc<Self>, id: &str) -> A::Ref {
            let host: Arc<dyn Host> = Arc::<Self>::clone(self);
            ActorRef::new(host, ActorAddress::new(A::TYPE, id).unwrap(), Chain::EMPTY).into()
        }
    }

    impl Host for Elsewhere {
        fn clock(&self) -> &dyn Clock {
            self.near.clock()
        }

        fn spawn(&self) -> &dyn Spawn {
            self.near.spawn()
        }

        fn directory(&self) -> &Directory {
            &self.empty
        }

        fn submit(self: Arc<Self>, submission: Submission) {
            assert!(submission.payload.encode().is_ok());
            let result = self.result.lock().unwrap().take().unwrap();
            submission.payload.answer(result);
        }

        fn answer(&self, _: WireReply, _: Result<Vec<u8>, Failure>) {}

        fn random(&self) -> u64 {
            0
        }

        fn coarse_seconds(&self) -> u32 {
            0
        }

        fn default_deadline(&self) -> Duration {
            Duration::from_secs(30)
        }

        fn deactivated(&self, _: &ActorAddress) {}

        fn panicked(&self, _: &ActorAddress, _: &str) {}
    }
}
