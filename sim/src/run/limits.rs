//! Which limits of the nodes are small in a run, by its seed.
//!
//! What happens at a limit of production would never happen in a run of twenty seconds. Half of the runs have those; the
//! others have small values for few, some or most of them, so that what one small limit hides another run shows.

use std::fmt;
use std::str::FromStr;

use gritmesh_core::NodeLimits;
use gritmesh_runtime::{Limits, Seed};

/// Of how many runs one has small limits at all.
const RUNS_WITH_SMALL: u64 = 2;

/// Of how many limits one is small, in a run that has small ones.
const ONE_OF: [u64; 4] = [40, 12, 4, 2];

/// A limit by its name, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenLimit {
    /// `room.limit`, as `delivery.window`.
    pub name: String,
    /// Its value, as `8` or `250ms`.
    pub value: String,
}

impl fmt::Display for ChosenLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl FromStr for ChosenLimit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (name, value) = text.split_once('=').ok_or_else(|| LimitError::Form { text: text.to_owned() })?;
        let limit = Self { name: name.to_owned(), value: value.to_owned() };
        limits_with(std::slice::from_ref(&limit)).map(|_| limit)
    }
}

/// Which limits a run has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LimitChoice {
    /// Those that its seed draws.
    #[default]
    Drawn,
    /// Those of production, but for these.
    Chosen(Vec<ChosenLimit>),
}

/// Why limits cannot be set as they were chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It is no name with a value.
    #[error("{text} is not of the form NAME=VALUE, as delivery.window=1")]
    Form {
        /// What it is.
        text: String,
    },
    /// There is none of that name.
    #[error("there is no limit with the name {name}; there are: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: Vec<String>,
    },
    /// The value is none for it.
    #[error("{value} is no value for {name}, which is {production} in production")]
    Value {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// What it is in production.
        production: String,
    },
}

impl LimitChoice {
    /// The limits that are other than in production.
    pub fn small(&self, seed: &Seed) -> Vec<ChosenLimit> {
        match self {
            Self::Drawn => drawn(seed),
            Self::Chosen(chosen) => chosen.clone(),
        }
    }
}

fn drawn(seed: &Seed) -> Vec<ChosenLimit> {
    let mut rng = seed.child("limits").rng();
    let has_small = rng.below(RUNS_WITH_SMALL) == 0;
    let one_of = ONE_OF[rng.below(ONE_OF.len() as u64) as usize];
    let mut small = Vec::new();
    NodeLimits::default().each(&mut |limit| {
        let is_small = rng.below(one_of) == 0;
        let value = limit.small[rng.below(limit.small.len() as u64) as usize];
        if has_small && is_small {
            small.push(ChosenLimit { name: limit.name, value: value.to_owned() });
        }
    });
    small
}

/// The limits of production with some others.
///
/// # Errors
/// If there is none of a name, or its value is none.
pub fn limits_with(chosen: &[ChosenLimit]) -> Result<NodeLimits, LimitError> {
    let mut limits = NodeLimits::default();
    for ChosenLimit { name, value } in chosen {
        let (mut found, mut known) = (None, Vec::new());
        limits.each(&mut |limit| {
            if limit.name == *name {
                let production = limit.value.text();
                found = Some(limit.value.read(value).then_some(()).ok_or(production));
            }
            known.push(limit.name);
        });
        match found {
            Some(Ok(())) => {}
            None => return Err(LimitError::Unknown { name: name.clone(), known }),
            Some(Err(production)) => {
                return Err(LimitError::Value { name: name.clone(), value: value.clone(), production });
            }
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(number: u64) -> Vec<ChosenLimit> {
        LimitChoice::Drawn.small(&Seed::from_number(number))
    }

    #[test]
    fn every_limit_is_small_in_some_run_and_half_of_the_runs_have_none() {
        let mut never = std::collections::BTreeSet::new();
        NodeLimits::default().each(&mut |limit| never.extend([limit.name]));
        let all = never.len();
        let without = (0..200).filter(|number| {
            let small = small(*number);
            never.retain(|name| small.iter().all(|limit| limit.name != *name));
            small.is_empty()
        });
        let without = without.count();
        assert!((80..130).contains(&without), "{without} of 200");
        assert!(never.is_empty(), "{never:?} of {all}");
    }

    #[test]
    fn what_is_drawn_can_be_set_and_differs_from_production() {
        for number in 0..200 {
            for limit in small(number) {
                let set = limits_with(std::slice::from_ref(&limit)).unwrap_or_else(|error| panic!("{error}"));
                assert_ne!(set, NodeLimits::default(), "{limit}");
            }
        }
    }

    #[test]
    fn names_and_values_that_do_not_fit_are_named() {
        let chosen = |name: &str, value: &str| ChosenLimit { name: name.into(), value: value.into() };
        let error = limits_with(&[chosen("delivery.windows", "1")]).unwrap_err().to_string();
        assert!(error.contains("delivery.windows") && error.contains("delivery.window,"), "{error}");
        let error = limits_with(&[chosen("delivery.window", "1s")]).unwrap_err().to_string();
        assert_eq!(error, "1s is no value for delivery.window, which is 50 in production");
    }
}
