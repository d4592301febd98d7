//! What was acknowledged is there in the end, once, and what surely did not run is not. One key has one answer.

use std::collections::BTreeMap;

use gritmesh_runtime::FailureCode;

use super::Found;
use crate::history::{Call, Fate, History};

const CODE: &str = "acknowledged_kept";

pub(crate) fn check(history: &History, found: Found<'_>) {
    one_answer_per_key(history, found);
    let Some(remains) = &history.remains else { return };
    for (number, operation, fate) in history.judged() {
        let actor = &operation.actor;
        let Some(left) = remains.actors.get(actor) else { continue };
        let ran = left.ran.get(&number).copied().unwrap_or(0);
        let about = format!("operation {number} of {actor}, {:?},", operation.action);
        match fate {
            Fate::Done { by, value, .. } if operation.leaves_a_trace(value) && ran == 0 => {
                found(CODE, by, format!("{about} was answered with {value} and is lost"));
            }
            Fate::Refused | Fate::Never if ran > 0 => {
                found(CODE, remains.at, format!("{about} ended as if it had not run ({fate:?}), but it did"));
            }
            _ if ran > 1 => found(CODE, remains.at, format!("{about} took effect {ran} times")),
            _ => {}
        }
    }
    for (actor, left) in &remains.actors {
        for number in left.ran.keys().filter(|number| **number >= history.operations.len() as u64) {
            found(CODE, remains.at, format!("{actor} ran operation {number}, which nobody asked for"));
        }
    }
    for step in &history.steps {
        let last = remains.heads.get(&step.actor).copied().unwrap_or(0);
        if step.number > last {
            let (actor, number, node) = (&step.actor, step.number, step.node);
            let detail =
                format!("step {number} of {actor} was on {node}, and its last step is {last} in the end");
            found(CODE, step.at, detail);
        }
    }
}

/// However often a key is used, its answers are the same.
fn one_answer_per_key(history: &History, found: Found<'_>) {
    let mut answers: BTreeMap<u64, (Result<u64, FailureCode>, &Call)> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| !call.one_way) {
        let Some(number) = call.operation.filter(|number| history.operations[*number as usize].keyed) else {
            continue;
        };
        for end in &call.ends {
            let answer = match end.outcome {
                Ok(_) => Ok(end.value),
                Err(FailureCode::ActorError) => Err(FailureCode::ActorError),
                Err(_) => continue,
            };
            let (first, by) = *answers.entry(number).or_insert((answer, call));
            if first != answer {
                let detail = format!(
                    "operation {number} of {} was answered {first:?} through {} and {answer:?} through {}",
                    call.actor, by.through, call.through
                );
                found(CODE, end.at, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::history::{Action, StepSeen};
    use crate::world::NodeIndex;

    const DEPOSIT: Action = Action::Deposit { amount: 5 };

    #[test]
    fn what_was_answered_is_there_and_the_rest_may_be() {
        let mut story = Story::new();
        let kept = story.done("v0", DEPOSIT, 0, 1, 5);
        let unknown = story.failed("v0", DEPOSIT, 2, 3, FailureCode::Unknown);
        story.failed("v0", DEPOSIT, 4, 5, FailureCode::Unknown);
        story.failed("v0", DEPOSIT, 6, 7, FailureCode::NoQuorum);
        story.done("r0", Action::Read, 8, 9, 0);
        story.ran("v0", kept, 1);
        story.ran("v0", unknown, 1);
        story.left("r0");
        story.is_clean(check);
    }

    #[test]
    fn a_lost_answer_is_found() {
        let mut story = Story::new();
        story.done("v0", DEPOSIT, 0, 1, 5);
        story.left("v0");
        story.is_broken(check, "operation 0 of v0, Deposit { amount: 5 }, was answered with 5 and is lost");
    }

    #[test]
    fn what_ran_twice_is_found() {
        let mut story = Story::new();
        let twice = story.failed("v0", DEPOSIT, 0, 1, FailureCode::Unknown);
        story.ran("v0", twice, 2);
        story.is_broken(check, "took effect 2 times");
    }

    #[test]
    fn what_ran_although_it_was_denied_refused_or_panicked_is_found() {
        for code in [FailureCode::NotDelivered, FailureCode::ActorError, FailureCode::Panicked] {
            let mut story = Story::new();
            let denied = story.failed("v0", DEPOSIT, 0, 1, code);
            story.ran("v0", denied, 1);
            story.is_broken(check, "as if it had not run");
        }
    }

    #[test]
    fn what_nobody_asked_for_is_found() {
        let mut story = Story::new();
        story.ran("v0", 7, 1);
        story.is_broken(check, "v0 ran operation 7, which nobody asked for");
    }

    #[test]
    fn one_key_with_two_answers_is_found() {
        let mut story = Story::new();
        let keyed = story.operation("v0", DEPOSIT, true);
        story.call(keyed, 0, 1, Ok(5));
        story.call(keyed, 2, 3, Ok(5));
        story.call(keyed, 4, 5, Err(FailureCode::NotDelivered));
        story.ran("v0", keyed, 1);
        story.is_clean(check);
        story.call_through(3, keyed, 6, 7, Ok(10));
        story.is_broken(check, "was answered Ok(5) through n0 and Ok(10) through n3");
    }

    #[test]
    fn a_step_that_is_gone_is_found() {
        let mut story = Story::new();
        story.left("v0");
        let id = gritmesh_store::ObjectId::of(gritmesh_store::ObjectKind::Step, b"step");
        let step = StepSeen { at: at(1), node: NodeIndex(2), actor: "v0".into(), number: 3, id };
        story.history.steps.push(step);
        let heads = &mut story.history.remains.as_mut().unwrap().heads;
        heads.insert("v0".into(), 3);
        story.is_clean(check);
        story.history.remains.as_mut().unwrap().heads.insert("v0".into(), 2);
        story.is_broken(check, "step 3 of v0 was on n2, and its last step is 2 in the end");
    }
}
