use std::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn plan(number: u64) -> Plan {
    Plan::from_seed(&Seed::from_number(number), 5, MINUTE)
}

#[test]
fn a_plan_follows_from_its_seed_and_survives_being_written_down() {
    assert_eq!(plan(1), plan(1));
    assert_ne!(plan(1), plan(2));
    for number in 0..50 {
        let plan = plan(number);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        assert!(plan.to_string().lines().count() >= 5);
    }
}

#[test]
fn every_class_is_on_in_some_runs_and_off_in_others() {
    let as_bools = |classes: Classes| {
        let value = serde_json::to_value(classes).unwrap();
        value.as_object().unwrap().values().map(|on| on.as_bool().unwrap()).collect::<Vec<_>>()
    };
    let runs: Vec<Vec<bool>> =
        (0..100).map(|number| as_bools(Classes::from_seed(&Seed::from_number(number)))).collect();
    for class in 0..runs[0].len() {
        let seen: BTreeSet<bool> = runs.iter().map(|run| run[class]).collect();
        assert_eq!(seen.len(), 2, "class {class}");
    }
    assert!(as_bools(Classes::ALL).iter().all(|on| *on));
}

#[test]
fn what_begins_ends_within_the_safety_phase() {
    for number in 0..200 {
        let plan = Plan::of_classes(&Seed::from_number(number), Classes::ALL, 5, MINUTE);
        let (mut down, mut left) = (BTreeSet::new(), BTreeSet::new());
        let (mut stalled, mut partitioned, mut flipping) = (0i32, false, None);
        let (mut flipped, mut cut) = (BTreeSet::new(), BTreeSet::new());
        let (mut lying, mut liars, mut shown) = (None, BTreeSet::new(), BTreeSet::new());
        let mut last = 0;
        for planned in &plan.schedule {
            assert!(last <= planned.at_micros && planned.at() <= MINUTE);
            last = planned.at_micros;
            match planned.intervention {
                Intervention::Crash(node) => assert!(down.insert(node)),
                Intervention::Restart(node) => assert!(down.remove(&node)),
                Intervention::Leave(node) => assert!(left.insert(node)),
                Intervention::Return(node) => assert!(left.remove(&node)),
                Intervention::Stall(_) => stalled += 1,
                Intervention::Resume(_) => stalled -= 1,
                Intervention::Partition(_) => assert!(!std::mem::replace(&mut partitioned, true)),
                Intervention::Heal => partitioned = false,
                Intervention::CutPair { one, other, .. } => assert!(one != other && cut.insert((one, other))),
                Intervention::MendPair { one, other } => assert!(cut.remove(&(one, other))),
                Intervention::FlipBits { node, per_million: 0 } => assert_eq!(flipping.take(), Some(node)),
                Intervention::FlipBits { node, .. } => {
                    assert_eq!(flipping.replace(node), None);
                    flipped.insert(node);
                    assert!(
                        flipped.len() == 1 && planned.at() >= Duration::from_secs(5),
                        "one disk, and late"
                    );
                }
                Intervention::Lie { node, per_million: 0 } => assert_eq!(lying.take(), Some(node)),
                Intervention::Lie { node, .. } => {
                    assert_eq!(lying.replace(node), None);
                    liars.insert(node);
                }
                Intervention::Name(ref nodes) => {
                    assert!(shown.iter().all(|node| nodes.contains(node)), "a name never shows less");
                    shown.extend(nodes.iter().copied());
                }
                _ => {}
            }
        }
        assert!(lying.is_none() && liars.len() <= 1, "one liar, and not for ever");
        assert_eq!(shown.len(), 5, "in the end the name shows all");
        assert!(down.is_empty() && left.is_empty() && stalled == 0 && !partitioned && flipping.is_none());
        assert!(cut.is_empty());
    }
}

#[test]
fn a_class_draws_the_same_whatever_else_is_on() {
    let seed = Seed::from_number(9);
    let crashes = |classes| -> Vec<PlannedIntervention> {
        let plan = Plan::of_classes(&seed, classes, 5, MINUTE);
        let is_crash = |planned: &PlannedIntervention| matches!(planned.intervention, Intervention::Crash(_));
        plan.schedule.into_iter().filter(is_crash).collect()
    };
    let alone = Classes { crashes: true, ..Classes::NONE };
    assert_eq!(crashes(alone), crashes(Classes::ALL));
    assert!(!crashes(alone).is_empty());
}

#[test]
fn degenerate_plans_are_empty_or_harmless() {
    let seed = Seed::from_number(3);
    assert!(Plan::of_classes(&seed, Classes::ALL, 0, MINUTE).schedule.is_empty());
    assert!(Plan::of_classes(&seed, Classes::ALL, 5, Duration::ZERO).schedule.is_empty());
    assert!(Plan::of_classes(&seed, Classes::NONE, 5, MINUTE).schedule.is_empty());
    Plan::of_classes(&seed, Classes::ALL, 1, MINUTE);
    Plan::of_classes(&seed, Classes::ALL, 2, Duration::from_micros(1));
}
