//! Calls of volatile actors.

use std::time::Duration;

use gritmesh_actor::CallError;
use gritmesh_runtime::{FailureCode, Rng};

use super::{Place, Planned};
use crate::workload::{Probe, Relayed};

/// Volatile actors that are called. Few enough that every one is called often.
pub(in crate::run) const PROBES: u64 = 24;

/// What a client does.
#[derive(Debug)]
enum Kind {
    Run { millis: u64 },
    Relay { to: String },
    Circle { over: String },
    Send,
}

/// Makes one call of a random kind.
pub(super) fn call(place: &Place<'_>, timeout: Duration, rng: &mut Rng) {
    let actor = actor_id(rng);
    let kind = match rng.below(20) {
        0..=11 => Kind::Run { millis: if rng.chance(0.2) { rng.below(40) } else { 0 } },
        12..=15 => Kind::Relay { to: actor_id(rng) },
        16 => Kind::Circle { over: actor_id(rng) },
        _ => Kind::Send,
    };
    let (one_way, what) = (matches!(kind, Kind::Send), format!("{kind:?}"));
    let number = place.begin(Planned { actor: &actor, operation: None, timeout, one_way, what });
    let target = place.node.actor::<Probe>(&actor);
    let call = async move {
        let outcome = match kind {
            Kind::Run { millis } => target.run(number, millis).deadline(timeout).await.map_err(|e| e.code()),
            Kind::Relay { to } => relayed(target.relay(number, to).deadline(timeout).await),
            Kind::Circle { over } => relayed(target.circle(number, over).deadline(timeout).await),
            Kind::Send => {
                let sent = target.run(number, 0).deadline(timeout).send().await;
                sent.map(|()| number).map_err(|e| e.code())
            }
        };
        outcome.map(|answer| (answer, 0))
    };
    place.wait(number, Box::pin(call));
}

/// Calls a volatile actor, whose handler takes so long, and gives the number of the call: what must be answered.
pub(in crate::run) fn probe_now(place: &Place<'_>, probe: u64, millis: u64, timeout: Duration) -> u64 {
    let (actor, what) = (format!("p{probe}"), format!("{:?}", Kind::Run { millis }));
    let number = place.begin(Planned { actor: &actor, operation: None, timeout, one_way: false, what });
    let target = place.node.actor::<Probe>(&actor);
    let call = async move {
        let outcome = target.run(number, millis).deadline(timeout).await;
        outcome.map(|answer| (answer, 0)).map_err(|error| error.code())
    };
    place.wait(number, Box::pin(call));
    number
}

fn actor_id(rng: &mut Rng) -> String {
    format!("p{}", rng.below(PROBES))
}

/// The inner call of a relay ends like a call of its own, except that its actor surely ran the outer one.
fn relayed(outcome: Result<u64, CallError<Relayed>>) -> Result<u64, FailureCode> {
    match outcome {
        Ok(number) => Ok(number),
        Err(CallError::Failed(inner)) => {
            let code = FailureCode::ALL.into_iter().find(|code| code.as_str() == inner.code);
            Err(code.unwrap_or(FailureCode::ActorError))
        }
        Err(error) => Err(error.code()),
    }
}
