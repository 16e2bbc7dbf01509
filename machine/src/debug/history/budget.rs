//! When the next snapshot may be taken: snapshots and the copies that they lead to cost a fixed share of the run, and what
//! a cheap stretch has left over is there for a dear one, so that snapshots stand close together there, too.

use std::time::Duration;

/// Shortest time between two, of this thread's on the host's processor.
const SHORTEST: Duration = Duration::from_millis(40);
/// Longest.
const LONGEST: Duration = Duration::from_millis(1500);
/// Snapshots may cost one part in so many of the time.
const SHARE: u32 = 16;
/// What may be left over.
const AHEAD: Duration = Duration::from_millis(50);

/// What snapshots have cost beside what the run has paid for.
#[derive(Default)]
pub(super) struct Budget {
    /// Cost that is not paid for yet.
    debt: Duration,
    /// Paid for and not spent, while there is no debt.
    ahead: Duration,
}

impl Budget {
    /// How long the run goes on before the next snapshot.
    pub(super) fn gap(&self) -> Duration {
        (self.debt * SHARE).clamp(SHORTEST, LONGEST)
    }

    /// A snapshot was taken after a run of `ran`; it and the copies for the one before have cost `cost`.
    pub(super) fn settle(&mut self, ran: Duration, cost: Duration) {
        let paid = self.ahead + ran / SHARE;
        let owed = self.debt + cost;
        self.debt = owed.saturating_sub(paid).min(LONGEST / SHARE);
        self.ahead = paid.saturating_sub(owed).min(AHEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs of a guest for `time` whose snapshots cost a `part` of the gap before them; their number and longest gap.
    fn runs(b: &mut Budget, time: Duration, part: f64) -> (u32, Duration) {
        let (mut ran, mut count, mut longest) = (Duration::ZERO, 0, Duration::ZERO);
        while ran < time {
            let gap = b.gap();
            b.settle(gap, gap.mul_f64(part));
            ran += gap;
            count += 1;
            longest = longest.max(gap);
        }
        (count, longest)
    }

    #[test]
    fn a_dear_stretch_after_a_cheap_one_has_close_snapshots() {
        let mut b = Budget::default();
        runs(&mut b, 1200 * MS, 0.01);
        let (_, longest) = runs(&mut b, 300 * MS, 0.2);
        assert_eq!(longest, SHORTEST);
    }

    #[test]
    fn the_share_holds_in_the_long_run() {
        let mut b = Budget::default();
        let each = 30 * MS;
        let (mut ran, mut cost) = (Duration::ZERO, Duration::ZERO);
        while ran < 20_000 * MS {
            let gap = b.gap();
            b.settle(gap, each);
            (ran, cost) = (ran + gap, cost + each);
        }
        assert!(cost.as_secs_f64() / ran.as_secs_f64() < 0.07);
    }

    #[test]
    fn a_cost_is_paid_before_the_next() {
        let mut b = Budget::default();
        assert_eq!(b.gap(), SHORTEST);
        b.settle(Duration::ZERO, 30 * MS);
        assert_eq!(b.gap(), 480 * MS);
        b.settle(160 * MS, Duration::ZERO);
        assert_eq!(b.gap(), 320 * MS);
        b.settle(320 * MS, Duration::ZERO);
        assert_eq!(b.gap(), SHORTEST);
    }

    #[test]
    fn what_one_cost_beyond_all_measure_is_not_paid_for_ever() {
        let mut b = Budget::default();
        b.settle(Duration::ZERO, 100_000 * MS);
        assert_eq!(b.gap(), LONGEST);
        b.settle(LONGEST, Duration::ZERO);
        assert_eq!(b.gap(), SHORTEST);
    }

    #[test]
    fn little_is_left_over_of_a_long_cheap_run() {
        let mut b = Budget::default();
        b.settle(3_600_000 * MS, MS);
        b.settle(Duration::ZERO, AHEAD);
        assert_eq!(b.gap(), SHORTEST);
        b.settle(Duration::ZERO, 10 * MS);
        assert_eq!(b.gap(), 160 * MS);
    }
}
