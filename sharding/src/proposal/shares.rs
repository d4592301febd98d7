//! How much each of several may take of a whole: by weight, between a least and a most.

/// What one of them may ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) weight: u64,
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Room of several, and what is left over after rounding.
#[derive(Debug)]
pub(super) struct Room {
    guaranteed: Vec<u64>,
    /// Who may still take one of the extras.
    rounded_down: Vec<bool>,
    extras: u64,
}

impl Room {
    /// Divides `total` by weight. Where that gives somebody less than its least or more than its most, it
    /// gets that bound, and the rest is divided among the others.
    pub(super) fn divide(total: u64, claims: &[Claim]) -> Self {
        let divided = divide(total, claims);
        let guaranteed: Vec<u64> = divided.iter().map(|part| part.whole).collect();
        let extras = total.saturating_sub(guaranteed.iter().sum());
        Self { guaranteed, rounded_down: divided.iter().map(|part| part.remainder > 0).collect(), extras }
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.guaranteed[place] > 0 || (self.extras > 0 && self.rounded_down[place])
    }

    /// Takes one of those that are left to this one alone, if there is one.
    pub(super) fn take_guaranteed(&mut self, place: usize) -> bool {
        let may = self.guaranteed[place] > 0;
        self.guaranteed[place] -= u64::from(may);
        may
    }

    /// Takes one, if there is room.
    pub(super) fn take(&mut self, place: usize) -> bool {
        if self.take_guaranteed(place) {
            return true;
        }
        let may = self.has(place);
        if may {
            self.rounded_down[place] = false;
            self.extras -= 1;
        }
        may
    }
}

/// Divides `total` into whole parts; what is left over goes to the greatest remainders.
pub(super) fn apportion(total: u64, claims: &[Claim]) -> Vec<u64> {
    let divided = divide(total, claims);
    let mut parts: Vec<u64> = divided.iter().map(|part| part.whole).collect();
    let mut by_remainder: Vec<usize> =
        (0..parts.len()).filter(|place| divided[*place].remainder > 0).collect();
    by_remainder.sort_by_key(|place| std::cmp::Reverse(divided[*place].remainder));
    let left = total.saturating_sub(parts.iter().sum());
    by_remainder.into_iter().take(left as usize).for_each(|place| parts[place] += 1);
    parts
}

#[derive(Clone, Copy, Debug)]
struct Part {
    whole: u64,
    /// In units that are the same for all parts; 0 where a bound was met.
    remainder: u128,
}

/// Every round fixes those at the bound that is hurt more, so that what is left for the others stays right.
fn divide(total: u64, claims: &[Claim]) -> Vec<Part> {
    let mut fixed: Vec<Option<u64>> = vec![None; claims.len()];
    loop {
        let free = || claims.iter().zip(&fixed).filter(|(_, fixed)| fixed.is_none()).map(|(claim, _)| claim);
        let weights: u128 = free().map(|claim| u128::from(claim.weight)).sum();
        let left = u128::from(total.saturating_sub(fixed.iter().flatten().sum()));
        let below = |claim: &Claim| {
            (u128::from(claim.least) * weights).saturating_sub(left * u128::from(claim.weight))
        };
        let above = |claim: &Claim| {
            (left * u128::from(claim.weight)).saturating_sub(u128::from(claim.most) * weights)
        };
        let (missing, excess): (u128, u128) = (free().map(below).sum(), free().map(above).sum());
        if missing == 0 && excess == 0 {
            let part = |(claim, fixed): (&Claim, &Option<u64>)| match fixed {
                Some(bound) => Part { whole: *bound, remainder: 0 },
                None if weights == 0 => Part { whole: claim.least, remainder: 0 },
                None => {
                    let share = left * u128::from(claim.weight);
                    Part { whole: (share / weights) as u64, remainder: share % weights }
                }
            };
            return claims.iter().zip(&fixed).map(part).collect();
        }
        for (claim, fixed) in claims.iter().zip(&mut fixed).filter(|(_, fixed)| fixed.is_none()) {
            if missing >= excess && below(claim) > 0 {
                *fixed = Some(claim.least);
            } else if excess >= missing && above(claim) > 0 {
                *fixed = Some(claim.most);
            }
        }
    }
}
