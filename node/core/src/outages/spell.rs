//! A condition that lasts, and how often that is told.

use std::time::Duration;

use gritmesh_runtime::Instant;

/// A condition is told at most this often, whether it grows, or comes and goes.
const TOLD_PAUSE: Duration = Duration::from_secs(10);

/// A condition that stays as it is is told again after this time, so that the end of a log shows it.
const REPEAT_PAUSE: Duration = Duration::from_secs(60);

/// A condition that begins, lasts and ends.
#[derive(Debug, Default)]
pub(super) struct Spell {
    since: Option<Instant>,
    /// Its greatest extent.
    worst: usize,
    /// When, and how far it went, when it was last told in this spell.
    told: Option<(Instant, usize)>,
    /// When anything was last told, this spell or an earlier one.
    last: Option<Instant>,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Lasts { lasted: Duration },
    Over { lasted: Duration, worst: usize },
}

impl Spell {
    /// Takes how far the condition goes now; zero is not at all. `patience` is how long it must last to be told.
    pub(super) fn look(&mut self, now: Instant, extent: usize, patience: Duration) -> Option<Told> {
        if extent == 0 {
            let since = self.since.take()?;
            let (worst, told) = (std::mem::take(&mut self.worst), self.told.take());
            told?;
            self.last = Some(now);
            return Some(Told::Over { lasted: now.saturating_since(since), worst });
        }
        let since = *self.since.get_or_insert(now);
        self.worst = self.worst.max(extent);
        let rested = |pause| self.last.is_none_or(|last| now.saturating_since(last) >= pause);
        let is_due = match self.told {
            None => now.saturating_since(since) >= patience && rested(TOLD_PAUSE),
            Some((_, told)) if told != extent => rested(TOLD_PAUSE),
            Some(_) => rested(REPEAT_PAUSE),
        };
        if !is_due {
            return None;
        }
        self.told = Some((now, extent));
        self.last = Some(now);
        Some(Told::Lasts { lasted: now.saturating_since(since) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told by a spell that is looked at every second, with the second of each.
    fn told(extents: &[usize], patience_s: u64) -> Vec<(usize, Told)> {
        let mut spell = Spell::default();
        let look = |(second, extent): (usize, &usize)| {
            let now = Instant::ZERO + Duration::from_secs(second as u64);
            spell.look(now, *extent, Duration::from_secs(patience_s)).map(|told| (second, told))
        };
        extents.iter().enumerate().filter_map(look).collect()
    }

    const fn lasts(seconds: u64) -> Told {
        Told::Lasts { lasted: Duration::from_secs(seconds) }
    }

    const fn over(seconds: u64, worst: usize) -> Told {
        Told::Over { lasted: Duration::from_secs(seconds), worst }
    }

    #[test]
    fn what_passes_before_patience_ends_is_not_told() {
        assert_eq!(told(&[0, 1, 1, 0, 0, 1, 0], 2), []);
    }

    #[test]
    fn a_spell_is_told_once_it_lasts_and_when_it_is_over() {
        assert_eq!(told(&[0, 3, 5, 5, 4, 0, 0], 2), [(3, lasts(2)), (5, over(4, 5))]);
    }

    #[test]
    fn what_grows_is_told_every_ten_seconds_and_what_stays_every_minute() {
        let mut extents = vec![1, 2];
        extents.extend([2; 100]);
        assert_eq!(told(&extents, 0), [(0, lasts(0)), (10, lasts(10)), (70, lasts(70))]);
    }

    #[test]
    fn what_comes_and_goes_is_told_no_more_than_a_few_times_a_minute() {
        let extents: Vec<usize> = (0..600).map(|second| usize::from(second % 4 < 2)).collect();
        let told = told(&extents, 0);
        assert!((20..=120).contains(&told.len()), "{}", told.len());
    }
}
